// Which classes of activity share a table: neighbours are merged as long as that saves bytes.
#include "codings/bounded_contexts.h"

namespace bitpress::bounded {
namespace {

constexpr std::uint64_t table_bits = 64;    // what a context costs at least, about
constexpr std::uint64_t bits_a_symbol = 6;  // and for each token in it

// log2(n) * 2^16 for n >= 1, by its whole part and 8 digits of the rest: whole numbers, the same everywhere.
struct Log2 {
    std::uint32_t digits[256];
    Log2() noexcept {
        for (unsigned i = 0; i < 256; ++i) {
            std::uint64_t m = (std::uint64_t{256} + i) << 23;  // 2^31 <= m < 2^32
            std::uint32_t bits = 0;
            for (unsigned k = 0; k < 16; ++k) {
                m = (m * m) >> 31;
                const unsigned digit = m >> 32 != 0 ? 1 : 0;
                bits = bits << 1 | digit;
                m >>= digit;
            }
            digits[i] = bits;
        }
    }
    std::uint64_t of(std::uint32_t n) const noexcept {
        const unsigned top = 31 - static_cast<unsigned>(__builtin_clz(n));
        const std::uint32_t mantissa = top >= 8 ? n >> (top - 8) : n << (8 - top);
        return (std::uint64_t{top} << 16) + digits[mantissa & 255];
    }
};

std::uint64_t cost(const Log2& log2, const std::uint32_t* counts) noexcept {
    std::uint64_t bits = 0;
    std::uint32_t total = 0;
    std::uint64_t distinct = 0;
    for (unsigned t = 0; t < token_count; ++t) {
        if (counts[t] == 0) continue;
        total += counts[t];
        ++distinct;
        bits += counts[t] * log2.of(counts[t]);
    }
    if (total == 0) return 0;
    const std::uint64_t whole = total * log2.of(total);
    return (whole > bits ? whole - bits : 0) + ((table_bits + bits_a_symbol * distinct) << 16);
}

}  // namespace

unsigned merge_classes(std::uint32_t (*counts)[256], std::uint8_t ends[max_contexts]) noexcept {
    const Log2 log2;
    std::uint64_t own[class_count];
    std::uint64_t joint[class_count];  // of i and i + 1
    std::uint8_t end[class_count];     // the first class after cluster i
    unsigned clusters = class_count;
    const auto join_cost = [&](unsigned i) {
        std::uint32_t sum[token_count];
        for (unsigned t = 0; t < token_count; ++t) sum[t] = counts[i][t] + counts[i + 1][t];
        return cost(log2, sum);
    };
    for (unsigned i = 0; i < class_count; ++i) {
        own[i] = cost(log2, counts[i]);
        end[i] = static_cast<std::uint8_t>(i + 1);
    }
    for (unsigned i = 0; i + 1 < class_count; ++i) joint[i] = join_cost(i);
    while (clusters > 1) {
        unsigned best = 0;
        std::int64_t least = INT64_MAX;
        for (unsigned i = 0; i + 1 < clusters; ++i) {
            const auto more = static_cast<std::int64_t>(joint[i] - own[i] - own[i + 1]);
            if (more < least) {
                least = more;
                best = i;
            }
        }
        if (least > 0 && clusters <= max_contexts) break;
        for (unsigned t = 0; t < token_count; ++t) counts[best][t] += counts[best + 1][t];
        own[best] = joint[best];
        end[best] = end[best + 1];
        for (unsigned i = best + 1; i + 1 < clusters; ++i) {
            std::memcpy(counts[i], counts[i + 1], sizeof counts[i]);
            own[i] = own[i + 1];
            joint[i] = joint[i + 1];
            end[i] = end[i + 1];
        }
        --clusters;
        if (best > 0) joint[best - 1] = join_cost(best - 1);
        if (best + 1 < clusters) joint[best] = join_cost(best);
    }
    std::memcpy(ends, end, clusters);
    return clusters;
}

}  // namespace bitpress::bounded
