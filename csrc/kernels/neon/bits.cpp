// Packing: neighbours are joined, then pairs of them, then fours, so that eight codes are the low bits of 64.
// Unpacking: table look-ups bring the two bytes that hold a code to its place, and shifts by a lane's own count do the
// rest.
#include <arm_neon.h>
#include <string.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

// 16 codes in `bits` bytes a half: eight are the low 8 * bits bits of each 64.
uint64x2_t join(uint8x16_t codes, int bits) noexcept {
    const uint16x8_t two = vreinterpretq_u16_u8(codes);
    const uint16x8_t high2 = vshlq_u16(vshrq_n_u16(two, 8), vdupq_n_s16(static_cast<int16_t>(bits)));
    const uint32x4_t four = vreinterpretq_u32_u16(vorrq_u16(vandq_u16(two, vdupq_n_u16(255)), high2));
    const uint32x4_t high4 = vshlq_u32(vshrq_n_u32(four, 16), vdupq_n_s32(2 * bits));
    const uint64x2_t eight = vreinterpretq_u64_u32(vorrq_u32(vandq_u32(four, vdupq_n_u32(65535)), high4));
    const uint64x2_t high8 = vshlq_u64(vshrq_n_u64(eight, 32), vdupq_n_s64(4 * bits));
    return vorrq_u64(vandq_u64(eight, vdupq_n_u64(0xFFFFFFFFU)), high8);
}

// 32 codes of 4 bits in 16 bytes.
uint8x16_t join4(const uint8_t* codes) noexcept {
    const uint8x16x2_t two = vld2q_u8(codes);
    return vsliq_n_u8(two.val[0], two.val[1], 4);
}

// 16 codes of the bytes that hold them from their first bit on.
struct Spread {
    uint8x16_t low_bytes, high_bytes, mask;
    int8x16_t low_shifts, high_shifts;

    explicit Spread(unsigned bits) noexcept : mask(vdupq_n_u8(static_cast<uint8_t>((1U << bits) - 1U))) {
        uint8_t bytes[16];
        int8_t shifts[16];
        for (unsigned i = 0; i < 16; ++i) {
            bytes[i] = static_cast<uint8_t>(i * bits / 8);
            shifts[i] = static_cast<int8_t>(i * bits % 8);
        }
        low_bytes = vld1q_u8(bytes);
        high_bytes = vaddq_u8(low_bytes, vdupq_n_u8(1));  // the 17th byte reads as 0, and is of no code
        const int8x16_t shift = vld1q_s8(shifts);
        low_shifts = vnegq_s8(shift);
        high_shifts = vsubq_s8(vdupq_n_s8(8), shift);
    }
    uint8x16_t operator()(uint8x16_t packed) const noexcept {
        const uint8x16_t low = vshlq_u8(vqtbl1q_u8(packed, low_bytes), low_shifts);
        const uint8x16_t high = vshlq_u8(vqtbl1q_u8(packed, high_bytes), high_shifts);
        return vandq_u8(vorrq_u8(low, high), mask);
    }
};

}  // namespace

void pack_bits(const uint8_t* codes, size_t n, unsigned bits, uint8_t* packed) noexcept {
    if (bits == 8) {
        if (n != 0) memcpy(packed, codes, n);
        return;
    }
    size_t i = 0;
    if (bits == 4) {
        for (; n - i >= 32; i += 32, packed += 16) vst1q_u8(packed, join4(codes + i));
    } else {
        // Each store writes 8 bytes of which `bits` count: stop while the rest still lies inside the output.
        for (; n - i >= 80; i += 16, packed += size_t{2} * bits) {
            const uint8x16_t bytes = vreinterpretq_u8_u64(join(vld1q_u8(codes + i), static_cast<int>(bits)));
            vst1_u8(packed, vget_low_u8(bytes));
            vst1_u8(packed + bits, vget_high_u8(bytes));
        }
    }
    scalar::pack_bits(codes + i, n - i, bits, packed);
}

void unpack_bits(const uint8_t* packed, size_t packed_bytes, size_t first, size_t n, unsigned bits,
                 uint8_t* codes) noexcept {
    if (bits == 8) {
        if (n != 0) memcpy(codes, packed + first, n);
        return;
    }
    size_t head = (8 - first % 8) % 8;
    if (head > n) head = n;
    scalar::unpack_bits(packed, packed_bytes, first, head, bits, codes);
    size_t i = head;
    size_t byte = (first + head) / 8 * bits;
    if (bits == 4) {
        for (; n - i >= 32; i += 32, byte += 16) {
            const uint8x16_t bytes = vld1q_u8(packed + byte);
            const uint8x16x2_t two = {{vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8(bytes, 4)}};
            vst2q_u8(codes + i, two);
        }
    } else if (n - i >= 32) {  // else making the constants takes longer
        const Spread spread(bits);
        for (; n - i >= 32 && byte + 2 * bits + 16 <= packed_bytes; i += 32, byte += size_t{4} * bits) {
            vst1q_u8(codes + i, spread(vld1q_u8(packed + byte)));
            vst1q_u8(codes + i + 16, spread(vld1q_u8(packed + byte + 2 * bits)));
        }
    }
    scalar::unpack_bits(packed, packed_bytes, first + i, n - i, bits, codes + i);
}

}  // namespace bitpress::neon
