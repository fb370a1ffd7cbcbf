// Rows of packed codes times one row of activations (dots_u8s8), for this folder's products of bytes and dotprod's.
#pragma once

#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

struct Dots {
    const uint8_t* packed;
    size_t stride, k, block;
    const int8_t* x;
    const int32_t* sums;
    const float* x_scales;
    const float* scales;
    size_t row_step, block_step;
};

// Four rows at once. Sum::of<bits, rows>(packed, stride, bytes, x, sums): sums of `rows` packed rows over one block.
template <class Sum, unsigned bits>
static inline void four_dots(const Dots& of, size_t row, float* y) noexcept {
    float32x4_t result = vld1q_f32(y);
    const uint8_t* packed = of.packed + row * of.stride;
    const float* scales = of.scales + row * of.row_step;
    for (size_t first = 0, b = 0; first < of.k; first += of.block, ++b) {
        const size_t depth = of.k - first < of.block ? of.k - first : of.block;
        int32x4_t sums[4];
        Sum::template of<bits, 4>(packed + first * bits / 8, of.stride, depth * bits / 8, of.x + first, sums);
        int32x4_t sum = vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
        sum = vsubq_s32(sum, vdupq_n_s32((1 << (bits - 1)) * of.sums[b]));
        const float* s = scales + b * of.block_step;
        const float32x4_t scale = {s[0], s[of.row_step], s[2 * of.row_step], s[3 * of.row_step]};
        const float32x4_t scaled = vmulq_f32(vmulq_f32(vcvtq_f32_s32(sum), scale), vdupq_n_f32(of.x_scales[b]));
        result = vaddq_f32(result, scaled);
    }
    vst1q_f32(y, result);
}

template <class Sum, unsigned bits>
static inline void one_dot(const Dots& of, size_t row, float* y) noexcept {
    for (size_t first = 0, b = 0; first < of.k; first += of.block, ++b) {
        const size_t depth = of.k - first < of.block ? of.k - first : of.block;
        int32x4_t sums[1];
        Sum::template of<bits, 1>(of.packed + row * of.stride + first * bits / 8, of.stride, depth * bits / 8,
                                  of.x + first, sums);
        const int sum = vaddvq_s32(sums[0]) - (1 << (bits - 1)) * of.sums[b];
        *y += static_cast<float>(sum) * of.scales[row * of.row_step + b * of.block_step] * of.x_scales[b];
    }
}

template <class Sum, unsigned bits>
static inline void all_dots(const Dots& of, size_t rows, float* y) noexcept {
    size_t row = 0;
    for (; row + 4 <= rows; row += 4) four_dots<Sum, bits>(of, row, y + row);
    for (; row < rows; ++row) one_dot<Sum, bits>(of, row, y + row);
}

}  // namespace
}  // namespace bitpress::neon
