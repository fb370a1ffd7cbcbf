// What convolutions read: rows with their columns sorted, pixels as panels.

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

static void copy_row(const float* x, size_t n, float* y) noexcept {
    if (n < 8) {
        store_some(y, n, _mm256_maskload_ps(x, lanes(n)));
        return;
    }
    for (size_t i = 0; i + 8 < n; i += 8) _mm256_storeu_ps(y + i, _mm256_loadu_ps(x + i));
    _mm256_storeu_ps(y + n - 8, _mm256_loadu_ps(x + n - 8));
}

// Pairs of floats 0, 2, 1, 3 as 0, 1, 2, 3: what a shuffle of two vectors left.
static __m256 in_order(__m256 v) noexcept {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), _MM_SHUFFLE(3, 1, 2, 0)));
}

static void split_row(const float* x, size_t n, float* even, float* odd) noexcept {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m256 low = _mm256_loadu_ps(x + i);
        const __m256 high = _mm256_loadu_ps(x + i + 8);
        _mm256_storeu_ps(even + i / 2, in_order(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0))));
        _mm256_storeu_ps(odd + i / 2, in_order(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1))));
    }
    if (i == n) return;
    const size_t left = n - i;
    const __m256 low = _mm256_maskload_ps(x + i, lanes(left < 8 ? left : 8));
    const __m256 high = _mm256_maskload_ps(x + i + 8, lanes(left < 8 ? 0 : left - 8));
    store_some(even + i / 2, (left + 1) / 2, in_order(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(2, 0, 2, 0))));
    store_some(odd + i / 2, left / 2, in_order(_mm256_shuffle_ps(low, high, _MM_SHUFFLE(3, 1, 3, 1))));
}

}  // namespace

void sort_rows_f32(const float* x, size_t rows, size_t n, size_t first, size_t stride, size_t length, float* y,
                   size_t step) noexcept {
    if (stride > 2) {
        scalar::sort_rows_f32(x, rows, n, first, stride, length, y, step);
        return;
    }
    for (size_t r = 0; r < rows; ++r, x += n, y += step) {
        if (stride == 1) {
            copy_row(x, n, y + first);
        } else if (first % 2 == 0) {
            split_row(x, n, y + first / 2, y + length + first / 2);
        } else {
            split_row(x, n, y + length + first / 2, y + (first + 1) / 2);
        }
    }
}

void gather_panel_f32(const float* x, const size_t* offsets, size_t k, size_t n, size_t room, float* panel) noexcept {
    if (n == panel_columns) {
        for (size_t p = 0; p < k; ++p, panel += panel_columns) {
            _mm256_storeu_ps(panel, _mm256_loadu_ps(x + offsets[p]));
            _mm256_storeu_ps(panel + 8, _mm256_loadu_ps(x + offsets[p] + 8));
        }
        return;
    }
    const __m256i low = lanes(n < 8 ? n : 8);
    const __m256i high = lanes(n < 8 ? 0 : n - 8);
    for (size_t p = 0; p < k; ++p, panel += panel_columns) {
        store_some(panel, room, _mm256_maskload_ps(x + offsets[p], low));
        if (room > 8) store_some(panel + 8, room - 8, _mm256_maskload_ps(x + offsets[p] + 8, high));
    }
}

}  // namespace bitpress::avx2
