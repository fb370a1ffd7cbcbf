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
    const uint8_t* zeros;
    size_t row_step, block_step;
    template <unsigned bits>
    int zero(size_t row, size_t b) const noexcept {
        return zeros == nullptr ? 1 << (bits - 1) : zeros[row * row_step + b * block_step];
    }
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
        const int32x4_t zeros = {of.template zero<bits>(row, b), of.template zero<bits>(row + 1, b),
                                 of.template zero<bits>(row + 2, b), of.template zero<bits>(row + 3, b)};
        sum = vmlsq_s32(sum, zeros, vdupq_n_s32(of.sums[b]));
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
        const int sum = vaddvq_s32(sums[0]) - of.template zero<bits>(row, b) * of.sums[b];
        *y += static_cast<float>(sum) * of.scales[row * of.row_step + b * of.block_step] * of.x_scales[b];
    }
}

// What makes signed bytes of codes: those of 8 bits lose 128, smaller ones are the same.
static inline uint8x16_t flip_of(unsigned bits) noexcept { return vdupq_n_u8(bits == 8 ? 128 : 0); }

// Zeros of `width` <= 16 columns, of such codes; the rest is 0.
static inline void read_zeros(const int32_t* zeros, size_t width, unsigned bits, int32x4_t* out) noexcept {
    int32_t some[panel_columns] = {};
    for (size_t j = 0; j < width; ++j) some[j] = zeros[j] - (bits == 8 ? 128 : 0);
    for (size_t v = 0; v < 4; ++v) out[v] = vld1q_s32(some + 4 * v);
}

template <class Sum, unsigned bits>
static inline void all_dots(const Dots& of, size_t rows, float* y) noexcept {
    size_t row = 0;
    for (; row + 4 <= rows; row += 4) four_dots<Sum, bits>(of, row, y + row);
    for (; row < rows; ++row) one_dot<Sum, bits>(of, row, y + row);
}

}  // namespace
}  // namespace bitpress::neon
