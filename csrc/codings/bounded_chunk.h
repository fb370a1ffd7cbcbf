// The values of one chunk of a bounded frame as they are decoded, in place.
#pragma once

#include "codings/bits.h"
#include "codings/bounded_rows.h"

namespace bitpress::bounded {

inline constexpr std::size_t kept_magnitudes = std::size_t{1} << 14;  // of the last elements
inline constexpr std::uint16_t too_large = 65535;                     // a magnitude that is not kept

// What stands before a chunk's streams.
struct Head {
    Predictor model;
    std::uint64_t base = 0;  // relative: the least grid number that is not 0, less 1
    std::uint64_t exceptions = 0;
    std::uint64_t raw_bytes = 0;
    std::uint64_t context_bytes[max_contexts];
    std::uint8_t context_of[class_count];
    unsigned contexts = 0;
};

// The tokens of a context: those that are buffered, then those that wait at the end of the output.
struct Tokens {
    std::uint8_t buffer[2 * block];
    std::size_t at;     // of the next one
    std::size_t valid;  // what follows is zeros
    const std::uint8_t* next;
    const std::uint8_t* end;
};

// The context of an activity, by the activity or its high bits: large ones are classed by their two highest.
class ContextTable {
  public:
    explicit ContextTable(const std::uint8_t* context_of_class) noexcept {
        for (unsigned c = 0; c < class_count; ++c) {
            const std::uint32_t begin = least(c) < most ? least(c) : most;
            const std::uint32_t end = least(c + 1) < most ? least(c + 1) : most;
            if (begin < end) std::memset(of_ + slot(begin), context_of_class[c], slot(end - 1) - slot(begin) + 1);
        }
    }
    // NOLINTNEXTLINE(clang-analyzer-security.ArrayBound): an activity is five magnitudes
    unsigned of(std::uint32_t activity) const noexcept { return of_[slot(activity)]; }

  private:
    static constexpr std::uint32_t direct = 4096;
    static constexpr unsigned shift = 10;
    static constexpr std::uint32_t most = 5 * most_magnitude + 1;
    static std::uint32_t slot(std::uint32_t activity) noexcept {
        return activity < direct ? activity : direct + (activity >> shift);
    }
    static std::uint32_t least(unsigned c) noexcept {  // activity of class c
        return c < 2 ? c : (2 + c % 2) << (c / 2 - 1);
    }
    std::uint8_t of_[direct + (most >> shift) + 1];
};

struct ValueState {
    Tokens tokens[max_contexts];
    std::uint16_t kept[kept_magnitudes];  // of element e at e modulo their number
    // Of a block: what other rows tell of each element.
    std::uint32_t magnitude_n[block + 1];
    std::uint32_t magnitude_p[block];
    std::int64_t far[block];
    ContextTable context;
    TokenTable table;
};

// Makes sure that `block` tokens can be read, zeros where there are no more.
inline void fill(Tokens* tokens) noexcept {
    if (tokens->valid - tokens->at >= block) return;
    std::memmove(tokens->buffer, tokens->buffer + tokens->at, tokens->valid - tokens->at);
    tokens->valid -= tokens->at;
    tokens->at = 0;
    const auto left = static_cast<std::size_t>(tokens->end - tokens->next);
    const std::size_t n = left < 2 * block - tokens->valid ? left : 2 * block - tokens->valid;
    std::memcpy(tokens->buffer + tokens->valid, tokens->next, n);
    tokens->valid += n;
    tokens->next += n;
    std::memset(tokens->buffer + tokens->valid, 0, 2 * block - tokens->valid);
}

// One chunk's values, in the output, with the rows around each.
class Chunk {
  public:
    Chunk(const Head& head, MutableBytes out, std::size_t elements, const Geometry& geometry, std::uint64_t first_row,
          ValueState* state) noexcept
        : head_(head),
          out_(out),
          elements_(elements),
          row_(static_cast<std::size_t>(geometry.row)),
          values_(out.data(), row_, geometry.plane, first_row),
          state_(*state) {
        state_.table = TokenTable();
        state_.context = ContextTable(head_.context_of);
    }

    Status decode(const Bytes* tokens, Bytes raw) noexcept {
        for (unsigned c = 0; c < head_.contexts; ++c) {
            Tokens& here = state_.tokens[c];
            here.at = here.valid = 0;
            here.next = tokens[c].data();
            here.end = here.next + tokens[c].size();
        }
        std::size_t position = 0;
        for (std::size_t start = 0, r = 0; start < elements_; start += row_, ++r) {
            const std::size_t count = elements_ - start < row_ ? elements_ - start : row_;
            const Near near = values_.neighbours(r);
            Running running{near.left, near.left, 0};
            for (std::size_t j = 0; j < count; j += block) {
                const std::size_t n = count - j < block ? count - j : block;
                make_room(start + j + n);
                gather(near, start, j, n, count);
                if (j == 0) running.magnitude = state_.magnitude_n[0];
                BP_TRY(read_block(start + j, n, raw, &position, &running));
            }
        }
        return ends_in_last_byte(raw, position) ? Status::ok : Status::corrupt;
    }

    std::int32_t value(std::size_t e) const noexcept { return values_[e]; }

  private:
    using Near = Values::Near;
    struct Running {
        std::int32_t w, ww;
        std::uint32_t magnitude;  // of w
    };

    // The magnitude of an element of a row that is done, from its value and those around it.
    std::uint32_t magnitude_again(const Near& near, std::size_t start, std::size_t j) const noexcept {
        const std::int32_t w = j >= 1 ? value(start + j - 1) : near.left;
        const std::int32_t ww = j >= 2 ? value(start + j - 2) : near.left;
        const std::int64_t sum =
            plus(plus(far_sum(head_.model, values_.far(near, j, row_)), times(ww, head_.model.weight[1])),
                 times(w, head_.model.weight[0]));
        return magnitude(static_cast<std::int32_t>(static_cast<std::uint32_t>(value(start + j)) -
                                                   static_cast<std::uint32_t>(sum >> weight_bits)));
    }

    // Magnitudes of n elements from column j of row r on, `now` being the first element that is not done.
    void magnitudes(std::size_t r, std::size_t j, std::size_t n, std::size_t now, std::uint32_t* out) const noexcept {
        const std::size_t start = r * row_;
        const bool kept = start + j + kept_magnitudes >= now;
        std::uint32_t most = too_large;
        if (kept) {
            most = 0;
            for (std::size_t k = 0; k < n; ++k) {
                out[k] = state_.kept[(start + j + k) % kept_magnitudes];
                most = out[k] > most ? out[k] : most;
            }
        }
        if (most < too_large) return;
        const Near near = values_.neighbours(r);
        for (std::size_t k = 0; k < n; ++k) {
            if (!kept || out[k] == too_large) out[k] = magnitude_again(near, start, j + k);
        }
    }

    void gather(const Near& near, std::size_t start, std::size_t j, std::size_t n, std::size_t count) noexcept {
        std::uint32_t* const by_n = state_.magnitude_n;
        std::uint32_t* const by_p = state_.magnitude_p;
        if (near.any) {
            const std::size_t known = j + n < count ? n + 1 : n;
            magnitudes(near.rows.n, j, known, start + j, by_n);
            if (known == n) by_n[n] = by_n[n - 1];
        } else {
            std::memset(by_n, 0, (n + 1) * sizeof *by_n);
        }
        if (near.has_p) {
            magnitudes(near.rows.p, j, n, start + j, by_p);
        } else {
            std::memset(by_p, 0, n * sizeof *by_p);
        }
        values_.far_sums(head_.model, near, j, n, count, state_.far);
    }

    // Room for the first `elements` values: the tokens that wait are moved to the very end where they are in the way.
    void make_room(std::size_t elements) noexcept {
        const std::uint8_t* waiting = out_.data() + out_.size();
        for (unsigned c = head_.contexts; c-- > 0;) {
            Tokens& tokens = state_.tokens[c];
            fill(&tokens);
            if (tokens.next != tokens.end) waiting = tokens.next;
        }
        if (out_.data() + 4 * elements <= waiting) return;
        std::uint8_t* to = out_.data() + out_.size();
        for (unsigned c = head_.contexts; c-- > 0;) {
            Tokens& tokens = state_.tokens[c];
            const auto left = static_cast<std::size_t>(tokens.end - tokens.next);
            tokens.end = to;
            to -= left;
            std::memmove(to, tokens.next, left);
            tokens.next = to;
        }
    }

    // The n elements from `start` on, of one row.
    Status read_block(std::size_t start, std::size_t n, Bytes raw, std::size_t* position, Running* running) noexcept {
        const std::uint8_t* next[max_contexts];
        for (unsigned c = 0; c < head_.contexts; ++c) next[c] = state_.tokens[c].buffer + state_.tokens[c].at;
        Running now = *running;
        std::size_t bit = *position;
        const std::int16_t w = head_.model.weight[0];
        const std::int16_t ww = head_.model.weight[1];
        for (std::size_t k = 0; k < n; ++k) {
            const std::int64_t sum = plus(plus(state_.far[k], times(now.ww, ww)), times(now.w, w));
            const std::uint32_t far_activity =
                state_.magnitude_n[k] + state_.magnitude_n[k + 1] + state_.magnitude_p[k];
            const unsigned context = state_.context.of(far_activity + 2 * now.magnitude);
            const std::uint8_t token = *next[context]++;
            const unsigned raw_bits = state_.table.raw_bits[token];
            const std::uint64_t bits = peek_bits(raw, bit) & ((std::uint64_t{1} << raw_bits) - 1);
            bit += raw_bits;
            const std::int32_t residual = unzigzag(state_.table.base[token] + static_cast<std::uint32_t>(bits));
            now.ww = now.w;
            now.w = static_cast<std::int32_t>(static_cast<std::uint32_t>(sum >> weight_bits) +
                                              static_cast<std::uint32_t>(residual));
            now.magnitude = magnitude(residual);
            const std::size_t e = start + k;
            state_.kept[e % kept_magnitudes] =
                static_cast<std::uint16_t>(now.magnitude < too_large ? now.magnitude : too_large);
            std::memcpy(out_.data() + 4 * e, &now.w, sizeof now.w);
        }
        *running = now;
        *position = bit;
        for (unsigned c = 0; c < head_.contexts; ++c) {
            state_.tokens[c].at = static_cast<std::size_t>(next[c] - state_.tokens[c].buffer);
            if (state_.tokens[c].at > state_.tokens[c].valid) return Status::corrupt;
        }
        return Status::ok;
    }

    const Head& head_;
    MutableBytes out_;
    std::size_t elements_;
    std::size_t row_;
    Values values_;
    ValueState& state_;
};

}  // namespace bitpress::bounded
