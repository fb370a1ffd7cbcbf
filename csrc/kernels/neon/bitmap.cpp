// Bitmaps: bytes are kept or spread by table look-ups, eight elements (one mask byte) a step; masks are summed from the
// lanes' own bits.
#include <arm_neon.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

// For each mask of eight bytes: which of them are kept, in order; where in that order each is, none for the others.
struct Orders {
    alignas(8) uint8_t kept[256][8];
    alignas(8) uint8_t place[256][8];
    uint8_t count[256];
    constexpr Orders() : kept(), place(), count() {
        for (unsigned mask = 0; mask < 256; ++mask) {
            unsigned n = 0;
            for (unsigned i = 0; i < 8; ++i) {
                const bool set = (mask >> i & 1) != 0;
                place[mask][i] = static_cast<uint8_t>(set ? n : 0xFF);
                if (set) kept[mask][n++] = static_cast<uint8_t>(i);
            }
            count[mask] = static_cast<uint8_t>(n);
        }
    }
};
constexpr Orders orders;

// Bit i % 8 of byte i.
uint8x16_t own_bits() noexcept { return vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201U)); }

// Eight mask bytes of 64: ones where the bytes are not zero bits in `clear`.
uint8x8_t masks(const uint8x16_t clear[4]) noexcept {
    const uint8x16_t bits = own_bits();
    const uint8x16_t low = vpaddq_u8(vbicq_u8(bits, clear[0]), vbicq_u8(bits, clear[1]));
    const uint8x16_t high = vpaddq_u8(vbicq_u8(bits, clear[2]), vbicq_u8(bits, clear[3]));
    const uint8x16_t quads = vpaddq_u8(low, high);
    return vget_low_u8(vpaddq_u8(quads, quads));
}

// All ones in the bytes of 16 floats that are zeros.
uint8x16_t zeros(const float* x) noexcept {
    const uint32x4_t a = vceqzq_f32(vld1q_f32(x));
    const uint32x4_t b = vceqzq_f32(vld1q_f32(x + 4));
    const uint32x4_t c = vceqzq_f32(vld1q_f32(x + 8));
    const uint32x4_t d = vceqzq_f32(vld1q_f32(x + 12));
    const uint16x8_t low = vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
    const uint16x8_t high = vuzp1q_u16(vreinterpretq_u16_u32(c), vreinterpretq_u16_u32(d));
    return vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
}

// Eight bytes out, up to eight in; what is taken.
size_t expand8(const uint8_t* in, uint8_t mask, uint8x8_t fills, uint8_t* out) noexcept {
    vst1_u8(out, vtbx1_u8(fills, vld1_u8(in), vld1_u8(orders.place[mask])));
    return orders.count[mask];
}

}  // namespace

void mask_nonzero(const float* x, size_t n, uint8_t* mask) noexcept {
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        const uint8x16_t clear[4] = {zeros(x + i), zeros(x + i + 16), zeros(x + i + 32), zeros(x + i + 48)};
        vst1_u8(mask + i / 8, masks(clear));
    }
    scalar::mask_nonzero(x + i, n - i, mask + i / 8);
}

uint64_t count_bits(const uint8_t* mask, size_t n_bytes) noexcept {
    uint64x2_t count = vdupq_n_u64(0);
    size_t i = 0;
    while (n_bytes - i >= 16) {
        uint8x16_t bytes = vdupq_n_u8(0);  // 31 times 8 at most
        for (unsigned k = 0; k < 31 && n_bytes - i >= 16; ++k, i += 16) {
            bytes = vaddq_u8(bytes, vcntq_u8(vld1q_u8(mask + i)));
        }
        count = vpadalq_u32(count, vpaddlq_u16(vpaddlq_u8(bytes)));
    }
    return vaddvq_u64(count) + scalar::count_bits(mask + i, n_bytes - i);
}

size_t compress_bytes(const uint8_t* in, size_t n, const uint8_t* mask, uint8_t* out) noexcept {
    size_t kept = 0;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {  // kept <= i: the eight bytes written lie inside the n of the output
        const uint8_t of = mask[i / 8];
        vst1_u8(out + kept, vtbl1_u8(vld1_u8(in + i), vld1_u8(orders.kept[of])));
        kept += orders.count[of];
    }
    return kept + scalar::compress_bytes(in + i, n - i, mask + i / 8, out + kept);
}

void expand_bytes(const uint8_t* in, size_t n_in, const uint8_t* mask, size_t n, uint8_t fill, uint8_t* out) noexcept {
    const uint8x8_t fills = vdup_n_u8(fill);
    const uint8_t* const end = in + n_in;
    size_t i = 0;
    for (; n - i >= 32 && end - in >= 32; i += 32) {  // of 32 bytes, all are taken at most
        in += expand8(in, mask[i / 8], fills, out + i);
        in += expand8(in, mask[i / 8 + 1], fills, out + i + 8);
        in += expand8(in, mask[i / 8 + 2], fills, out + i + 16);
        in += expand8(in, mask[i / 8 + 3], fills, out + i + 24);
    }
    for (; n - i >= 8 && end - in >= 8; i += 8) in += expand8(in, mask[i / 8], fills, out + i);
    scalar::expand_bytes(in, static_cast<size_t>(end - in), mask + i / 8, n - i, fill, out + i);
}

void mask_other(const uint8_t* in, size_t n, uint8_t value, uint8_t* mask) noexcept {
    const uint8x16_t values = vdupq_n_u8(value);
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        uint8x16_t same[4];
        for (size_t k = 0; k < 4; ++k) same[k] = vceqq_u8(vld1q_u8(in + i + 16 * k), values);
        vst1_u8(mask + i / 8, masks(same));
    }
    scalar::mask_other(in + i, n - i, value, mask + i / 8);
}

void clear_unmasked(const uint8_t* mask, size_t n, float* x) noexcept {
    const uint32x4_t low = {1, 2, 4, 8};
    const uint32x4_t high = {16, 32, 64, 128};
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const uint32x4_t of = vdupq_n_u32(mask[i / 8]);
        const uint32x4_t a = vreinterpretq_u32_f32(vld1q_f32(x + i));
        const uint32x4_t b = vreinterpretq_u32_f32(vld1q_f32(x + i + 4));
        vst1q_f32(x + i, vreinterpretq_f32_u32(vandq_u32(a, vtstq_u32(of, low))));
        vst1q_f32(x + i + 4, vreinterpretq_f32_u32(vandq_u32(b, vtstq_u32(of, high))));
    }
    scalar::clear_unmasked(mask + i / 8, n - i, x + i);
}

}  // namespace bitpress::neon
