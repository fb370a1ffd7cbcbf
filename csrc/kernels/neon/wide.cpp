// Codes of 9 to 16 bits, in words: packed and unpacked as bytes are (bits.cpp), eight at a time. Symbols whose top bit
// is clear have no raw bits, so that most blocks of 16 need none of the loop that looks them up.
#include <arm_neon.h>
#include <string.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

uint64_t load8(const uint8_t* p) noexcept {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

void store8(uint8_t* p, uint64_t word) noexcept { memcpy(p, &word, sizeof word); }

// Eight codes: four are the low 4 * bits bits of each 64.
uint64x2_t join(uint16x8_t codes, int bits) noexcept {
    const uint32x4_t two = vreinterpretq_u32_u16(codes);
    const uint32x4_t high2 = vshlq_u32(vshrq_n_u32(two, 16), vdupq_n_s32(bits));
    const uint64x2_t four = vreinterpretq_u64_u32(vorrq_u32(vandq_u32(two, vdupq_n_u32(65535)), high2));
    const uint64x2_t high4 = vshlq_u64(vshrq_n_u64(four, 32), vdupq_n_s64(2 * bits));
    return vorrq_u64(vandq_u64(four, vdupq_n_u64(0xFFFFFFFFU)), high4);
}

// Eight codes of the 16 bytes that begin with them.
struct Spread {
    uint8x16_t bytes[2];
    int32x4_t shifts[2];
    uint16x8_t mask;

    explicit Spread(unsigned bits) noexcept : mask(vdupq_n_u16(static_cast<uint16_t>((1U << bits) - 1U))) {
        for (unsigned half = 0; half < 2; ++half) {
            uint8_t index[16];
            int32_t down[4];
            for (unsigned i = 0; i < 16; ++i) {
                const unsigned bit = (4 * half + i / 4) * bits;
                index[i] = static_cast<uint8_t>(bit / 8 + i % 4);
                down[i / 4] = -static_cast<int>(bit % 8);
            }
            bytes[half] = vld1q_u8(index);
            shifts[half] = vld1q_s32(down);
        }
    }
    uint16x8_t operator()(uint8x16_t packed) const noexcept {
        const uint32x4_t low = vshlq_u32(vreinterpretq_u32_u8(vqtbl1q_u8(packed, bytes[0])), shifts[0]);
        const uint32x4_t high = vshlq_u32(vreinterpretq_u32_u8(vqtbl1q_u8(packed, bytes[1])), shifts[1]);
        return vandq_u16(vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high)), mask);
    }
};

// The codes of 8 u's: halves, those of odd u's inverted, added to the middle.
struct Unfold {
    uint16x8_t middle, most;
    explicit Unfold(const WideTable& table) noexcept
        : middle(vdupq_n_u16(table.middle)), most(vdupq_n_u16(table.most)) {}
    uint16x8_t operator()(uint16x8_t u) const noexcept {
        const uint16x8_t odd = vtstq_u16(u, vdupq_n_u16(1));
        return vandq_u16(vaddq_u16(middle, veorq_u16(vshrq_n_u16(u, 1), odd)), most);
    }
};

// The u's of 16 symbols, whose raw bits are all there. Returns the position after them.
size_t with_raw(const WideTable& table, const uint8_t* symbols, const uint8_t* raw, size_t position,
                uint16_t* u) noexcept {
    for (size_t i = 0; i < 16; ++i) {
        const unsigned ones = table.raw[symbols[i]];
        const uint64_t bits = load8(raw + position / 8) >> position % 8;
        const unsigned count = ones == 0 ? 0 : 32U - static_cast<unsigned>(__builtin_clz(ones));
        u[i] = static_cast<uint16_t>(table.base[symbols[i]] + (bits & ((1U << count) - 1U)));
        position += count;
    }
    return position;
}

}  // namespace

void pack_wide(const uint16_t* codes, size_t n, unsigned bits, uint8_t* packed) noexcept {
    const unsigned half = 4 * bits;  // 36..64
    size_t i = 0;
    for (; n - i >= 24; i += 8, packed += bits) {  // 16 bytes are written, of which the last ones are not final
        const uint64x2_t fours = join(vld1q_u16(codes + i), static_cast<int>(bits));
        const uint64_t low = vgetq_lane_u64(fours, 0);
        const uint64_t high = vgetq_lane_u64(fours, 1);
        store8(packed, half == 64 ? low : low | high << half);
        store8(packed + 8, half == 64 ? high : high >> (64 - half));
    }
    scalar::pack_wide(codes + i, n - i, bits, packed);
}

void unpack_wide(const uint8_t* packed, size_t packed_bytes, size_t first, size_t n, unsigned bits,
                 uint16_t* codes) noexcept {
    const size_t head = (8 - first % 8) % 8 < n ? (8 - first % 8) % 8 : n;
    scalar::unpack_wide(packed, packed_bytes, first, head, bits, codes);
    size_t i = head;
    size_t at = (first + head) / 8 * bits;
    if (n - i >= 16) {  // else making the constants takes longer
        const Spread spread(bits);
        for (; n - i >= 8 && packed_bytes - at >= 16; i += 8, at += bits) {
            vst1q_u16(codes + i, spread(vld1q_u8(packed + at)));
        }
    }
    scalar::unpack_wide(packed, packed_bytes, first + i, n - i, bits, codes + i);
}

size_t join_wide(const WideTable* table, const uint8_t* symbols, size_t n, const uint8_t* raw, size_t raw_bytes,
                 size_t position, uint16_t* codes) noexcept {
    const Unfold unfold(*table);
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        const uint8x16_t bytes = vld1q_u8(symbols + i);
        if (vmaxvq_u8(bytes) < 128) {
            vst1q_u16(codes + i, unfold(vmovl_u8(vget_low_u8(bytes))));
            vst1q_u16(codes + i + 8, unfold(vmovl_high_u8(bytes)));
        } else if (position / 8 + 40 > raw_bytes) {  // no room for 16 loads, at most 2 bytes apart
            position = scalar::join_wide(table, symbols + i, 16, raw, raw_bytes, position, codes + i);
        } else {
            uint16_t u[16];
            position = with_raw(*table, symbols + i, raw, position, u);
            vst1q_u16(codes + i, unfold(vld1q_u16(u)));
            vst1q_u16(codes + i + 8, unfold(vld1q_u16(u + 8)));
        }
    }
    return scalar::join_wide(table, symbols + i, n - i, raw, raw_bytes, position, codes + i);
}

}  // namespace bitpress::neon
