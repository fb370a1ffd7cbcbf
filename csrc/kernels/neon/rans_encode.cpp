// rANS, encoding: 8 states a step; tables are read by scalar loads.
#include <arm_neon.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

// For each set of 8 lanes: the lanes' words moved to the end of 16 bytes, in lane order, as TBL takes it; and how many
// bytes that is.
struct GatherWords {
    alignas(16) uint8_t of[256][16];
    uint8_t taken[256];
    constexpr GatherWords() : of(), taken() {
        for (unsigned lanes = 0; lanes < 256; ++lanes) {
            unsigned word = 8;
            for (unsigned lane = 8; lane-- > 0;) {
                if ((lanes >> lane & 1) == 0) continue;
                --word;
                of[lanes][2 * word] = static_cast<uint8_t>(2 * lane);
                of[lanes][2 * word + 1] = static_cast<uint8_t>(2 * lane + 1);
            }
            for (unsigned i = 0; i < 2 * word; ++i) of[lanes][i] = 0xFF;
            taken[lanes] = static_cast<uint8_t>(16 - 2 * word);
        }
    }
};
constexpr GatherWords gather_words;

inline uint32x4_t two(const uint64_t* symbol, const uint8_t* in) noexcept {
    return vreinterpretq_u32_u64(vcombine_u64(vld1_u64(symbol + in[0]), vld1_u64(symbol + in[1])));
}

inline uint32x2_t load_two(const uint16_t* slot, uint64_t index) noexcept {
    return vcreate_u32(slot[index & 0xFFFFFFFFU] | static_cast<uint64_t>(slot[index >> 32]) << 32);
}

inline uint32x4_t load_slots(const uint16_t* slot, uint32x4_t index) noexcept {
    const uint64x2_t halves = vreinterpretq_u64_u32(index);
    return vcombine_u32(load_two(slot, vgetq_lane_u64(halves, 0)), load_two(slot, vgetq_lane_u64(halves, 1)));
}

// Four states after the symbols; x is what is left of them without the words that went out.
inline uint32x4_t advance(uint32x4_t x, uint32x4_t reciprocal, uint32x4_t f, uint32x4_t start,
                          const uint16_t* slot) noexcept {
    const uint64x2_t low = vmull_u32(vget_low_u32(x), vget_low_u32(reciprocal));
    const uint64x2_t high = vmull_high_u32(x, reciprocal);
    // Or one less: the slot table makes up for it.
    const uint32x4_t quotient = vuzp2q_u32(vreinterpretq_u32_u64(low), vreinterpretq_u32_u64(high));
    const uint32x4_t rank = vmlsq_u32(x, quotient, f);
    return vaddq_u32(vshlq_n_u32(quotient, 12), load_slots(slot, vaddq_u32(start, rank)));
}

// Codes 8 symbols. Returns where the words now begin.
inline uint8_t* step(const RansEncodeTable& table, const uint8_t* in, uint32_t* states, uint8_t* at) noexcept {
    uint32x4_t x[2];
    uint32x4_t reciprocal[2];
    uint32x4_t f[2];
    uint32x4_t start[2];
    uint32x4_t renew[2];
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; ++h) {
        const uint32x4_t a = two(table.symbol, in + 4 * h);
        const uint32x4_t b = two(table.symbol, in + 4 * h + 2);
        const uint32x4_t f_start = vuzp2q_u32(a, b);  // f in the low word
        reciprocal[h] = vuzp1q_u32(a, b);
        f[h] = vandq_u32(f_start, vdupq_n_u32(65535));
        start[h] = vshrq_n_u32(f_start, 16);
        x[h] = vld1q_u32(states + 4 * h);
        renew[h] = vcgeq_u32(vshrq_n_u32(x[h], 20), f[h]);
    }
    const uint16x8_t bits = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t lanes = vuzp1q_u16(vreinterpretq_u16_u32(renew[0]), vreinterpretq_u16_u32(renew[1]));
    const unsigned set = vaddvq_u16(vandq_u16(lanes, bits));
    const uint16x8_t words = vuzp1q_u16(vreinterpretq_u16_u32(x[0]), vreinterpretq_u16_u32(x[1]));
    vst1q_u8(at - 16, vqtbl1q_u8(vreinterpretq_u8_u16(words), vld1q_u8(gather_words.of[set])));
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; ++h) {
        const uint32x4_t left = vbslq_u32(renew[h], vshrq_n_u32(x[h], 16), x[h]);
        vst1q_u32(states + 4 * h, advance(left, reciprocal[h], f[h], start[h], table.slot));
    }
    return at - gather_words.taken[set];
}

}  // namespace

uint8_t* rans_encode(const RansEncodeTable* table, uint32_t* states, unsigned state_count, const uint8_t* in,
                     size_t rounds, const uint8_t* begin, uint8_t* end) noexcept {
    if (state_count % 32 != 0) return scalar::rans_encode(table, states, state_count, in, rounds, begin, end);
    uint8_t* at = end;
    while (rounds-- > 0) {
        if (static_cast<size_t>(at - begin) < 2 * state_count) return nullptr;
        const uint8_t* const symbols = in + rounds * state_count;
        // In each step 16 bytes are written: as much is left, for no step before has taken more.
        for (unsigned k = state_count; k > 0;) {
            k -= 8;
            at = step(*table, symbols + k, states + k, at);
        }
    }
    return at;
}

}  // namespace bitpress::neon
