// What the encoder and the decoder of bounded frames share: rows with their neighbours, the prediction, tokens.
#pragma once

#include "bytes.h"
#include "codings/bounded.h"

namespace bitpress::bounded {

inline constexpr unsigned tap_count = 10;      // W WW N NN NW NE P PW PN PNW
inline constexpr unsigned weight_bits = 12;    // a weight is in units of 2^-12
inline constexpr unsigned pad_left = 2;        // elements before a row
inline constexpr unsigned pad = pad_left + 1;  // and one after it
inline constexpr std::size_t max_chunk_rows = std::size_t{1} << 15;
inline constexpr std::size_t padded_elements = 2 * max_chunk + pad * (max_chunk_rows + 1);  // a row of zeros first
inline constexpr std::uint32_t most_magnitude = 1u << 20;
inline constexpr unsigned direct_tokens = 32;
inline constexpr unsigned token_count = direct_tokens + 27 * 8;
inline constexpr unsigned class_count = 48;
inline constexpr unsigned max_contexts = 12;

struct Predictor {
    std::int16_t weight[tap_count] = {};
    std::int32_t bias = 0;
};

// The rows of one chunk in padded form, in two planes: quantized values, and the magnitudes of their residuals.
class Rows {
  public:
    Rows(std::int32_t* values, std::uint32_t* magnitudes, std::size_t row, std::uint64_t plane,
         std::uint64_t first_row) noexcept
        : values_(values), magnitudes_(magnitudes), row_(row), plane_(plane), first_(first_row) {
        std::memset(values, 0, stride() * sizeof *values);
        std::memset(magnitudes, 0, stride() * sizeof *magnitudes);
    }
    std::size_t stride() const noexcept { return row_ + pad; }
    std::int32_t* values(std::size_t r) const noexcept { return values_ + (r + 1) * stride() + pad_left; }
    std::uint32_t* magnitudes(std::size_t r) const noexcept { return magnitudes_ + (r + 1) * stride() + pad_left; }

    // Where the neighbours of row r stand: rows that are not there are replaced by the nearest that is, or by zeros.
    struct Neighbours {
        const std::int32_t *n, *nn, *p, *pn;
        const std::uint32_t *magnitude_n, *magnitude_p;
    };
    Neighbours neighbours(std::size_t r) const noexcept {
        const std::uint64_t in_plane = (first_ + r) % plane_;
        const bool has_n = r >= 1 && in_plane >= 1;
        const bool has_nn = r >= 2 && in_plane >= 2;
        const bool has_p = r >= plane_;
        const std::size_t zero = static_cast<std::size_t>(-1);
        const std::size_t p_row = has_p ? r - static_cast<std::size_t>(plane_) : zero;
        const std::size_t n_row = has_n ? r - 1 : p_row;
        const std::size_t real_p = has_p ? p_row : n_row;
        const std::size_t pn_row =
            has_p && has_n && r - 1 >= plane_ ? r - 1 - static_cast<std::size_t>(plane_) : real_p;
        return {values(n_row),     values(has_nn ? r - 2 : n_row),  values(real_p), values(pn_row),
                magnitudes(n_row), magnitudes(has_p ? p_row : zero)};
    }
    // The elements before the first and after the last of row r: before the row is worked on, and after.
    void begin_row(std::size_t r, const Neighbours& near) const noexcept {
        values(r)[-1] = values(r)[-2] = near.n[0];
        magnitudes(r)[-1] = magnitudes(r)[-2] = near.magnitude_n[0];
    }
    void end_row(std::size_t r, std::size_t count) const noexcept {
        values(r)[count] = values(r)[count - 1];
        magnitudes(r)[count] = magnitudes(r)[count - 1];
    }

  private:
    std::int32_t* values_;
    std::uint32_t* magnitudes_;
    std::size_t row_;
    std::uint64_t plane_;
    std::uint64_t first_;
};

// All arithmetic is modulo 2^64, and the prediction modulo 2^32.
inline std::int64_t times(std::int32_t value, std::int16_t weight) noexcept {
    return static_cast<std::int64_t>(value) * weight;
}
inline std::int64_t plus(std::int64_t a, std::int64_t b) noexcept {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

// The elements of other rows around one.
struct Far {
    std::int32_t n, nn, nw, ne, p, pw, pn, pnw;
};

// The part of a prediction that comes from other rows than the element's own, rounding included.
inline std::int64_t far_sum(const Predictor& model, const Far& at) noexcept {
    const std::int16_t* const w = model.weight;
    std::int64_t sum = static_cast<std::int64_t>(model.bias) * (1 << weight_bits) + (1 << (weight_bits - 1));
    sum += times(at.n, w[2]) + times(at.nn, w[3]) + times(at.nw, w[4]) + times(at.ne, w[5]);
    sum += times(at.p, w[6]) + times(at.pw, w[7]) + times(at.pn, w[8]) + times(at.pnw, w[9]);
    return sum;  // below 2^50
}
inline std::int64_t far_part(const Predictor& model, const Rows::Neighbours& near, std::ptrdiff_t j) noexcept {
    return far_sum(model, {near.n[j], near.nn[j], near.n[j - 1], near.n[j + 1], near.p[j], near.p[j - 1], near.pn[j],
                           near.pn[j - 1]});
}

// How busy the neighbourhood is, from other rows.
inline std::uint32_t far_activity(const Rows::Neighbours& near, std::ptrdiff_t j) noexcept {
    return near.magnitude_n[j] + near.magnitude_n[j + 1] + near.magnitude_p[j];
}

// Half octaves of activity (below 2^23): 0 for 0, 1 for 1, 2 for 2, 3 for 3, 4 for 4 and 5, 5 for 6 and 7 ...
inline unsigned activity_class(std::uint32_t activity) noexcept {
    if (activity < 2) return activity;
    const unsigned top = 31 - static_cast<unsigned>(__builtin_clz(activity));
    return 2 * top + ((activity >> (top - 1)) & 1);
}

inline std::uint32_t zigzag(std::int32_t value) noexcept {
    return static_cast<std::uint32_t>(value) << 1 ^ static_cast<std::uint32_t>(value >> 31);
}
inline std::int32_t unzigzag(std::uint32_t value) noexcept {
    return static_cast<std::int32_t>((value >> 1) ^ (0u - (value & 1)));
}
inline std::uint32_t magnitude(std::int32_t residual) noexcept {
    const std::uint32_t size =
        residual < 0 ? 0u - static_cast<std::uint32_t>(residual) : static_cast<std::uint32_t>(residual);
    return size < most_magnitude ? size : most_magnitude;
}

// What a token stands for: the least number, and how many raw bits are added to it.
struct TokenTable {
    std::uint32_t base[256];
    std::uint8_t raw_bits[256];
    TokenTable() noexcept {
        for (unsigned t = 0; t < 256; ++t) {
            const unsigned over = t < direct_tokens ? 0 : t - direct_tokens;
            raw_bits[t] = static_cast<std::uint8_t>(t < direct_tokens ? 0 : over / 8 + 2);
            base[t] = t < direct_tokens ? t : t < token_count ? (8 + over % 8) << raw_bits[t] : 0;
        }
    }
};
inline unsigned token_of(std::uint32_t value, unsigned* raw_bits) noexcept {
    if (value < direct_tokens) {
        *raw_bits = 0;
        return value;
    }
    const unsigned top = 31 - static_cast<unsigned>(__builtin_clz(value));
    *raw_bits = top - 3;
    return direct_tokens + (top - 5) * 8 + ((value >> (top - 3)) & 7);
}

// Fits the taps to the values by least squares over a sample, and takes the best of that and fixed predictions.
void fit(const Rows& rows, std::size_t row, std::size_t row_count, Predictor* model) noexcept;

}  // namespace bitpress::bounded
