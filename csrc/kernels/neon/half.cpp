// binary16 and bfloat16 to float32.
#include <arm_neon.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {

void f16_to_f32(const uint8_t* half, size_t n, float* x) noexcept {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const float16x8_t eight = vreinterpretq_f16_u8(vld1q_u8(half + 2 * i));
        vst1q_f32(x + i, vcvt_f32_f16(vget_low_f16(eight)));
        vst1q_f32(x + i + 4, vcvt_high_f32_f16(eight));
    }
    scalar::f16_to_f32(half + 2 * i, n - i, x + i);
}

void bf16_to_f32(const uint8_t* half, size_t n, float* x) noexcept {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const uint16x8_t eight = vreinterpretq_u16_u8(vld1q_u8(half + 2 * i));
        vst1q_f32(x + i, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(eight), 16)));
        vst1q_f32(x + i + 4, vreinterpretq_f32_u32(vshll_high_n_u16(eight, 16)));
    }
    scalar::bf16_to_f32(half + 2 * i, n - i, x + i);
}

}  // namespace bitpress::neon
