// What the encoder and the decoder of bounded frames share: the prediction, classes of activity, tokens.
#pragma once

#include "bytes.h"
#include "codings/bounded.h"

namespace bitpress::bounded {

inline constexpr unsigned tap_count = 10;    // W WW N NN NW NE P PW PN PNW
inline constexpr unsigned weight_bits = 12;  // a weight is in units of 2^-12
inline constexpr std::size_t max_chunk_rows = std::size_t{1} << 15;
inline constexpr std::uint32_t most_magnitude = 1u << 20;
inline constexpr unsigned direct_tokens = 32;
inline constexpr unsigned token_count = direct_tokens + 27 * 8;
inline constexpr unsigned class_count = 48;
inline constexpr unsigned max_contexts = 12;

struct Predictor {
    std::int16_t weight[tap_count] = {};
    std::int32_t bias = 0;
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

}  // namespace bitpress::bounded
