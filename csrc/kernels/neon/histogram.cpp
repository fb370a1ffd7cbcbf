// Counts of byte values. Where all are below 16, two neighbours are one index: half of the counters to raise.
#include <arm_neon.h>
#include <string.h>

#include "kernels/byte_set.h"
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

size_t select_bytes(const uint8_t* in, size_t n, const uint8_t* values, uint8_t* out) noexcept {
    const ByteSet set(values);
    const uint8x16x2_t rows = {{vld1q_u8(set.rows[0]), vld1q_u8(set.rows[1])}};
    size_t taken = 0;
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        const uint8x16_t bytes = vld1q_u8(in + i);
        const uint8x16_t low = vandq_u8(bytes, vdupq_n_u8(15)), high = vshrq_n_u8(bytes, 4);
        const uint8x16_t at = vorrq_u8(low, vshlq_n_u8(vshrq_n_u8(bytes, 7), 4));
        const int8x16_t place = vreinterpretq_s8_u8(vandq_u8(high, vdupq_n_u8(7)));
        const uint8x16_t found = vtstq_u8(vqtbl2q_u8(rows, at), vshlq_u8(vdupq_n_u8(1), place));
        if (vmaxvq_u8(found) != 0) taken += scalar::select_bytes(in + i, 16, values, out + taken);
    }
    return taken + scalar::select_bytes(in + i, n - i, values, out + taken);
}

}  // namespace bitpress::neon
