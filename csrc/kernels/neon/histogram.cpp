// Counts of byte values. Where all are below 16, two neighbours are one index: half of the counters to raise.
#include <arm_neon.h>
#include <string.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

constexpr size_t block = 32768;

// Packs a block of values below 16 two a byte. False where one is 16 or more; pairs are then worth nothing.
bool pack_pairs(const uint8_t* in, uint8_t* pairs) noexcept {
    uint8x16_t seen = vdupq_n_u8(0);
    for (size_t i = 0; i < block; i += 32) {
        const uint8x16x2_t two = vld2q_u8(in + i);
        seen = vorrq_u8(seen, vorrq_u8(two.val[0], two.val[1]));
        vst1q_u8(pairs + i / 2, vsliq_n_u8(two.val[0], two.val[1], 4));
    }
    return vmaxvq_u8(seen) < 16;
}

}  // namespace

void histogram(const uint8_t* in, size_t n, uint64_t* counts) noexcept {
    uint8_t pairs[block / 2];
    uint64_t pair_counts[256];
    memset(pair_counts, 0, sizeof pair_counts);
    bool any = false;
    for (; n >= block && pack_pairs(in, pairs); in += block, n -= block) {
        scalar::histogram(pairs, sizeof pairs, pair_counts);
        any = true;
    }
    for (unsigned v = 0; any && v < 256; ++v) {
        counts[v & 15] += pair_counts[v];
        counts[v >> 4] += pair_counts[v];
    }
    scalar::histogram(in, n, counts);
}

}  // namespace bitpress::neon
