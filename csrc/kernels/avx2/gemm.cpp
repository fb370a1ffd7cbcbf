// Float matrix products: 6 x 16 sums in 12 registers; matrix-vector products four rows at a time.

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

// `rows` x `width` of C.
template <size_t rows, Width used>
static void tile(size_t k, const float* a, size_t lda, const float* b, float* c, size_t ldc, size_t width,
                 const Clip& to) noexcept {
    __m256 left[rows];
    __m256 right[rows];
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) left[i] = right[i] = _mm256_setzero_ps();
    for (size_t p = 0; p < k; ++p) {
        const __m256 b0 = _mm256_loadu_ps(b + p * panel_columns);
        const __m256 b1 = used == Width::half ? b0 : _mm256_loadu_ps(b + p * panel_columns + 8);
#pragma GCC unroll 6
        for (size_t i = 0; i < rows; ++i) {
            const __m256 factor = _mm256_broadcast_ss(a + i * lda + p);
            left[i] = _mm256_fmadd_ps(factor, b0, left[i]);
            if (used != Width::half) right[i] = _mm256_fmadd_ps(factor, b1, right[i]);
        }
    }
    const __m256i mask0 = lanes(width < 8 ? width : 8);
    const __m256i mask1 = lanes(width < 8 ? 0 : width - 8);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
        float* out = c + i * ldc;
        if (used != Width::full) {
            const __m256 c0 = _mm256_maskload_ps(out, mask0);
            _mm256_maskstore_ps(out, mask0, clip(_mm256_add_ps(c0, left[i]), to));
            if (used == Width::half) continue;
            const __m256 c1 = _mm256_maskload_ps(out + 8, mask1);
            _mm256_maskstore_ps(out + 8, mask1, clip(_mm256_add_ps(c1, right[i]), to));
        } else {
            _mm256_storeu_ps(out, clip(_mm256_add_ps(_mm256_loadu_ps(out), left[i]), to));
            _mm256_storeu_ps(out + 8, clip(_mm256_add_ps(_mm256_loadu_ps(out + 8), right[i]), to));
        }
    }
}

template <Width used>
static void column(size_t m, size_t k, const float* a, size_t lda, const float* b, float* c, size_t ldc, size_t width,
                   const Clip& to) noexcept {
    by_six(m, [&](auto rows, size_t i) {
        tile<decltype(rows)::count, used>(k, a + i * lda, lda, b, c + i * ldc, ldc, width, to);
    });
}

template <size_t rows>
static void dots(size_t k, const float* a, size_t lda, const float* x, float* y) noexcept {
    __m256 even[rows];
    __m256 odd[rows];
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) even[i] = odd[i] = _mm256_setzero_ps();
    size_t p = 0;
    for (; p + 16 <= k; p += 16) {
        const __m256 x0 = _mm256_loadu_ps(x + p);
        const __m256 x1 = _mm256_loadu_ps(x + p + 8);
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            const float* row = a + i * lda + p;
            even[i] = _mm256_fmadd_ps(_mm256_loadu_ps(row), x0, even[i]);
            odd[i] = _mm256_fmadd_ps(_mm256_loadu_ps(row + 8), x1, odd[i]);
        }
    }
    for (; p < k; p += 8) {
        const __m256i mask = lanes(k - p < 8 ? k - p : 8);
        const __m256 x0 = _mm256_maskload_ps(x + p, mask);
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            const float* row = a + i * lda + p;
            even[i] = _mm256_fmadd_ps(_mm256_maskload_ps(row, mask), x0, even[i]);
        }
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) y[i] += total(_mm256_add_ps(even[i], odd[i]));
}

}  // namespace

void gemm_f32(size_t m, size_t n, size_t k, const float* a, size_t lda, const float* b, float* c, size_t ldc, float low,
              float high) noexcept {
    const Clip to = {_mm256_set1_ps(low), _mm256_set1_ps(high)};
    size_t j = 0;
    for (; j + panel_columns <= n; j += panel_columns)
        column<Width::full>(m, k, a, lda, b + j * k, c + j, ldc, panel_columns, to);
    if (n - j > 8) {
        column<Width::most>(m, k, a, lda, b + j * k, c + j, ldc, n - j, to);
    } else if (j < n) {
        column<Width::half>(m, k, a, lda, b + j * k, c + j, ldc, n - j, to);
    }
}

void gemv_f32(size_t m, size_t k, const float* a, size_t lda, const float* x, float* y) noexcept {
    size_t i = 0;
    for (; i + 4 <= m; i += 4) dots<4>(k, a + i * lda, lda, x, y + i);
    for (; i < m; ++i) dots<1>(k, a + i * lda, lda, x, y + i);
}

}  // namespace bitpress::avx2
