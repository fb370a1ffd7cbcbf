// Depthwise convolution of one plane: blocks of rows x 4 columns, sixteen sums at a time, so that one tap's
// multiply-adds do not wait for each other.
#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

struct Taps {
    const float* w;
    const size_t* offsets;
    size_t count;
    size_t row_step;
    float32x4_t bias;
    Clip to;
};

// rows x (4 * columns) outputs, n apart; `left` of each row's are stored. Up to 7 floats past the last used are read.
template <size_t rows, size_t columns>
static void block(const float* x, const Taps& taps, float* y, size_t n, size_t left) noexcept {
    float32x4_t sum[rows][columns];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
        for (size_t c = 0; c < columns; ++c) sum[r][c] = taps.bias;
    }
    const size_t row_step = taps.row_step;
    for (size_t t = 0; t < taps.count; ++t) {
        const float32x4_t factor = vld1q_dup_f32(taps.w + t);
        const float* from = x + taps.offsets[t];
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
            for (size_t c = 0; c < columns; ++c) sum[r][c] = vfmaq_f32(sum[r][c], factor, vld1q_f32(from + c * 4));
            from += row_step;
            asm("" : "+r"(from));  // one address after the other: GCC would compute each from the first
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 8
        for (size_t c = 0; c < columns; ++c) {
            if (left > c * 4) store_some(y + r * n + c * 4, left - c * 4, clip(sum[r][c], taps.to));
        }
    }
}

// All rows of up to 4 * columns columns, `most` rows at a time; the last ones overlap those before.
template <size_t most, size_t columns>
static void strip(const float* x, const Taps& taps, float* y, size_t rows, size_t n, size_t left) noexcept {
    if (rows < most) {
        for (size_t r = 0; r < rows; ++r) block<1, columns>(x + r * taps.row_step, taps, y + r * n, n, left);
        return;
    }
    for (size_t r = 0; r < rows; r += most) {
        const size_t first = r + most <= rows ? r : rows - most;
        block<most, columns>(x + first * taps.row_step, taps, y + first * n, n, left);
    }
}

}  // namespace

void depthwise_f32(const float* x, const float* w, const size_t* offsets, size_t taps, size_t row_step, float bias,
                   float low, float high, float* y, size_t rows, size_t n) noexcept {
    const Taps all = {w, offsets, taps, row_step, vdupq_n_f32(bias), Clip(low, high)};
    for (size_t i = 0; i < n;) {
        const size_t left = n - i;
        if (left > 24) {
            strip<2, 8>(x + i, all, y + i, rows, n, left);
            i += 32;
        } else if (left > 8) {
            strip<4, 4>(x + i, all, y + i, rows, n, left);
            i += 16;
        } else {
            strip<7, 2>(x + i, all, y + i, rows, n, left);
            i += 8;
        }
    }
}

}  // namespace bitpress::neon
