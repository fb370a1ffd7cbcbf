// Uniform quantization, 8 or 16 floats a step. Every operation is the scalar one, in the scalar order: no FMA.
#include <arm_neon.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

struct Rounding {
    float32x4_t scale, half, whole, low, high;
};

uint32x4_t round4(const float* x, const Rounding& r) noexcept {
    const float32x4_t ratio = vaddq_f32(vdivq_f32(vld1q_f32(x), r.scale), r.half);
    const float32x4_t code = vaddq_f32(vrndnq_f32(ratio), r.whole);
    return vcvtq_u32_f32(vminq_f32(vmaxq_f32(code, r.low), r.high));
}

struct Codes {
    float32x4_t low, high;
};

Codes floats(uint16x8_t codes) noexcept {
    return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(codes))), vcvtq_f32_u32(vmovl_high_u16(codes))};
}

float32x4_t value(float32x4_t code, float32x4_t scale, float32x4_t zero) noexcept {
    return vmulq_f32(scale, vsubq_f32(code, zero));
}

void store(uint8_t* codes, uint16x8_t words) noexcept { vst1_u8(codes, vmovn_u16(words)); }
void store(uint16_t* codes, uint16x8_t words) noexcept { vst1q_u16(codes, words); }
uint16x8_t load(const uint8_t* codes) noexcept { return vmovl_u8(vld1_u8(codes)); }
uint16x8_t load(const uint16_t* codes) noexcept { return vld1q_u16(codes); }

uint16x8_t narrow(uint32x4_t low, uint32x4_t high) noexcept {
    return vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high));
}

// As many eights as there are; how many elements that is.
template <class Code>
size_t quantize_eights(const float* x, size_t n, const float* scales, const float* zeros, unsigned low, unsigned high,
                       Code* codes) noexcept {
    const float32x4_t lowest = vdupq_n_f32(static_cast<float>(low));
    const float32x4_t highest = vdupq_n_f32(static_cast<float>(high));
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        uint32x4_t four[2];
        for (size_t h = 0; h < 2; ++h) {
            const size_t at = i + 4 * h;
            const float32x4_t zero = vld1q_f32(zeros + at);
            const float32x4_t whole = vrndmq_f32(zero);
            four[h] = round4(x + at, {vld1q_f32(scales + at), vsubq_f32(zero, whole), whole, lowest, highest});
        }
        store(codes + i, narrow(four[0], four[1]));
    }
    return i;
}

template <class Code>
size_t dequantize_eights(const Code* codes, size_t n, const float* scales, const float* zeros, float* x) noexcept {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const Codes eight = floats(load(codes + i));
        vst1q_f32(x + i, value(eight.low, vld1q_f32(scales + i), vld1q_f32(zeros + i)));
        vst1q_f32(x + i + 4, value(eight.high, vld1q_f32(scales + i + 4), vld1q_f32(zeros + i + 4)));
    }
    return i;
}

// The bits of magnitudes; as integers they are in order, with infinity and NaN above.
uint32x4_t magnitude(float32x4_t x) noexcept { return vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x7FFFFFFF)); }

}  // namespace

void quantize(const float* x, size_t n, float scale, float zero, unsigned low, unsigned high, uint8_t* codes) noexcept {
    const float32x4_t zero4 = vdupq_n_f32(zero);
    const float32x4_t whole = vrndmq_f32(zero4);
    const Rounding r = {vdupq_n_f32(scale), vsubq_f32(zero4, whole), whole, vdupq_n_f32(static_cast<float>(low)),
                        vdupq_n_f32(static_cast<float>(high))};
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        const uint16x8_t first = narrow(round4(x + i, r), round4(x + i + 4, r));
        const uint16x8_t second = narrow(round4(x + i + 8, r), round4(x + i + 12, r));
        vst1q_u8(codes + i, vuzp1q_u8(vreinterpretq_u8_u16(first), vreinterpretq_u8_u16(second)));
    }
    scalar::quantize(x + i, n - i, scale, zero, low, high, codes + i);
}

void quantize_each(const float* x, size_t n, const float* scales, const float* zeros, unsigned low, unsigned high,
                   uint8_t* codes) noexcept {
    const size_t i = quantize_eights(x, n, scales, zeros, low, high, codes);
    scalar::quantize_each(x + i, n - i, scales + i, zeros + i, low, high, codes + i);
}

void quantize_wide(const float* x, size_t n, const float* scales, const float* zeros, unsigned low, unsigned high,
                   uint16_t* codes) noexcept {
    const size_t i = quantize_eights(x, n, scales, zeros, low, high, codes);
    scalar::quantize_wide(x + i, n - i, scales + i, zeros + i, low, high, codes + i);
}

void dequantize(const uint8_t* codes, size_t n, float scale, float zero, float* x) noexcept {
    const float32x4_t scale4 = vdupq_n_f32(scale);
    const float32x4_t zero4 = vdupq_n_f32(zero);
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        const uint8x16_t bytes = vld1q_u8(codes + i);
        const Codes first = floats(vmovl_u8(vget_low_u8(bytes)));
        const Codes second = floats(vmovl_high_u8(bytes));
        vst1q_f32(x + i, value(first.low, scale4, zero4));
        vst1q_f32(x + i + 4, value(first.high, scale4, zero4));
        vst1q_f32(x + i + 8, value(second.low, scale4, zero4));
        vst1q_f32(x + i + 12, value(second.high, scale4, zero4));
    }
    scalar::dequantize(codes + i, n - i, scale, zero, x + i);
}

void dequantize_each(const uint8_t* codes, size_t n, const float* scales, const float* zeros, float* x) noexcept {
    const size_t i = dequantize_eights(codes, n, scales, zeros, x);
    scalar::dequantize_each(codes + i, n - i, scales + i, zeros + i, x + i);
}

void dequantize_wide(const uint16_t* codes, size_t n, const float* scales, const float* zeros, float* x) noexcept {
    const size_t i = dequantize_eights(codes, n, scales, zeros, x);
    scalar::dequantize_wide(codes + i, n - i, scales + i, zeros + i, x + i);
}

void min_max(const float* x, size_t n, float* low, float* high, bool* finite) noexcept {
    if (n < 4) {
        scalar::min_max(x, n, low, high, finite);
        return;
    }
    float32x4_t smallest = vld1q_f32(x);
    float32x4_t largest = smallest;
    uint32x4_t size = vdupq_n_u32(0);
    for (size_t i = 0; i < n; i += 4) {
        const float32x4_t values = vld1q_f32(x + (n - i >= 4 ? i : n - 4));  // the last four may be seen twice
        smallest = vminq_f32(smallest, values);
        largest = vmaxq_f32(largest, values);
        size = vmaxq_u32(size, magnitude(values));
    }
    *low = vminvq_f32(smallest) + 0.0F;  // -0 becomes +0
    *high = vmaxvq_f32(largest) + 0.0F;
    *finite = vmaxvq_u32(size) < 0x7F800000U;
}

bool min_max_each(const float* x, size_t n, float* low, float* high) noexcept {
    const float32x4_t zero = vdupq_n_f32(0.0F);
    uint32x4_t size = vdupq_n_u32(0);
    size_t i = 0;
    for (; n - i >= 4; i += 4) {
        const float32x4_t values = vld1q_f32(x + i);
        const float32x4_t lows = vld1q_f32(low + i);
        const float32x4_t highs = vld1q_f32(high + i);
        // Not min and max: a NaN among the values leaves what is there.
        vst1q_f32(low + i, vaddq_f32(vbslq_f32(vcltq_f32(values, lows), values, lows), zero));
        vst1q_f32(high + i, vaddq_f32(vbslq_f32(vcgtq_f32(values, highs), values, highs), zero));
        size = vmaxq_u32(size, magnitude(values));
    }
    const bool rest = scalar::min_max_each(x + i, n - i, low + i, high + i);
    return rest && vmaxvq_u32(size) < 0x7F800000U;
}

}  // namespace bitpress::neon
