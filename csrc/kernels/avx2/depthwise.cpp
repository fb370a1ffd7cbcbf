// Depthwise convolution of one plane: blocks of rows x 8 columns, eight sums at a time, so that one tap's
// multiply-adds do not wait for each other.

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

struct Taps {
    const float* w;
    const size_t* offsets;
    size_t count;
    size_t row_step;
    __m256 bias, low, high;
};

// rows x (8 * columns) outputs, n apart; `left` of each row's are stored.
template <size_t rows, size_t columns>
static void block(const float* x, const Taps& taps, float* y, size_t n, size_t left) noexcept {
    __m256 sum[rows][columns];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (size_t c = 0; c < columns; ++c) sum[r][c] = taps.bias;
    }
    for (size_t t = 0; t < taps.count; ++t) {
        const __m256 factor = _mm256_broadcast_ss(taps.w + t);
        const float* from = x + taps.offsets[t];
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 4
            for (size_t c = 0; c < columns; ++c) {
                sum[r][c] = _mm256_fmadd_ps(factor, _mm256_loadu_ps(from + r * taps.row_step + c * 8), sum[r][c]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; ++r) {
#pragma GCC unroll 4
        for (size_t c = 0; c < columns; ++c) {
            // The operands' order lets NaN through.
            const __m256 clipped = _mm256_min_ps(taps.high, _mm256_max_ps(taps.low, sum[r][c]));
            float* to = y + r * n + c * 8;
            if (left >= c * 8 + 8) {
                _mm256_storeu_ps(to, clipped);
            } else {
                _mm256_maskstore_ps(to, lanes(left - c * 8), clipped);
            }
        }
    }
}

// All rows of up to 8 * columns columns, `most` rows at a time; the last ones overlap those before.
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
    const Taps all = {w, offsets, taps, row_step, _mm256_set1_ps(bias), _mm256_set1_ps(low), _mm256_set1_ps(high)};
    for (size_t i = 0; i < n;) {
        const size_t left = n - i;
        if (left > 24) {
            strip<2, 4>(x + i, all, y + i, rows, n, left);
            i += 32;
        } else if (left > 8) {
            strip<4, 2>(x + i, all, y + i, rows, n, left);
            i += 16;
        } else {
            strip<7, 1>(x + i, all, y + i, rows, n, left);
            i += 8;
        }
    }
}

}  // namespace bitpress::avx2
