// Float matrix products: 12 x 16 sums in 12 registers. Products of twice as many bits cost twice the time on some CPUs;
// there too the loads of fewer, longer vectors leave room for what is around them.
#include "kernels/avx512/overrides.h"
#include "kernels/vectors512.h"

namespace bitpress::avx512 {
namespace {

// What lies past the rows is never read.
static void prefetch(const float* from) noexcept { _mm_prefetch(reinterpret_cast<const char*>(from), _MM_HINT_T0); }

// Rows of one panel, whose `used` columns exist.
template <size_t rows>
static void tile(size_t k, const float* a, size_t lda, const float* b, const float* starts, float* c, size_t ldc,
                 __mmask16 used, const Clip& to) noexcept {
    __m512 sums[rows];
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) sums[i] = _mm512_setzero_ps();
    for (size_t p = 0; p < k; ++p) {
        if (p % 16 == 0) {  // the next rows come from far, in steps that the hardware does not foresee
#pragma GCC unroll 12
            for (size_t i = 0; i < rows; ++i) prefetch(a + (rows + i) * lda + p);
        }
        const __m512 column = _mm512_loadu_ps(b + p * panel_columns);
#pragma GCC unroll 12
        for (size_t i = 0; i < rows; ++i) sums[i] = _mm512_fmadd_ps(_mm512_set1_ps(a[i * lda + p]), column, sums[i]);
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) {
        float* out = c + i * ldc;
        const __m512 start = starts != nullptr ? _mm512_set1_ps(starts[i]) : _mm512_maskz_loadu_ps(used, out);
        _mm512_mask_storeu_ps(out, used, clip(_mm512_add_ps(start, sums[i]), to));
    }
}

// The same of at most eight columns.
template <size_t rows>
static void half_tile(size_t k, const float* a, size_t lda, const float* b, const float* starts, float* c, size_t ldc,
                      __mmask8 used, const Clip& to) noexcept {
    __m256 sums[rows];
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) sums[i] = _mm256_setzero_ps();
    for (size_t p = 0; p < k; ++p) {
        const __m256 column = _mm256_loadu_ps(b + p * panel_columns);
#pragma GCC unroll 12
        for (size_t i = 0; i < rows; ++i) sums[i] = _mm256_fmadd_ps(_mm256_set1_ps(a[i * lda + p]), column, sums[i]);
    }
    const __m256 low = _mm512_castps512_ps256(to.low);
    const __m256 high = _mm512_castps512_ps256(to.high);
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) {
        float* out = c + i * ldc;
        const __m256 start = starts != nullptr ? _mm256_set1_ps(starts[i]) : _mm256_maskz_loadu_ps(used, out);
        const __m256 sum = _mm256_add_ps(start, sums[i]);
        _mm256_mask_storeu_ps(out, used, _mm256_min_ps(high, _mm256_max_ps(low, sum)));
    }
}

}  // namespace

void gemm_f32(size_t m, size_t n, size_t k, const float* a, size_t lda, const float* b, const float* starts, float* c,
              size_t ldc, float low, float high) noexcept {
    const Clip to = {_mm512_set1_ps(low), _mm512_set1_ps(high)};
    by_twelve(m, [&](auto rows, size_t i) {
        constexpr size_t count = decltype(rows)::count;
        const float* of_rows = starts == nullptr ? nullptr : starts + i;
        for (size_t j = 0; j < n; j += panel_columns) {  // inside: C's rows are written on and on
            const size_t width = n - j < panel_columns ? n - j : panel_columns;
            if (width > 8) {
                tile<count>(k, a + i * lda, lda, b + j * k, of_rows, c + i * ldc + j, ldc, lanes(width), to);
            } else {
                const auto used = static_cast<__mmask8>(lanes(width));
                half_tile<count>(k, a + i * lda, lda, b + j * k, of_rows, c + i * ldc + j, ldc, used, to);
            }
        }
    });
}

}  // namespace bitpress::avx512
