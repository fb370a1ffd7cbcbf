// Products of weights as they are stored with activations of 16 bits: pairs of k by vpdpwssd, 12 x 16 sums in 12
// registers.
#include <string.h>

#include "kernels/avx512vnni/vectors.h"

namespace bitpress::avx512vnni {
namespace {

struct Product {
    size_t pairs;
    const int16_t* a;
    size_t lda;
    const float* row_scales;
    const float* starts;
    float* c;
    size_t ldc;
    Clip to;
};

// Rows row.. of one panel, whose `used` columns exist.
template <size_t rows>
static void tile(const Product& of, size_t row, const int16_t* panel, __m512 column_scales, float* c,
                 __mmask16 used) noexcept {
    __m512i sums[rows];
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) sums[i] = _mm512_setzero_si512();
    const int16_t* a = of.a + row * of.lda;
    for (size_t p = 0; p < of.pairs; ++p) {
        const __m512i b = _mm512_loadu_si512(panel + p * 2 * panel_columns);
#pragma GCC unroll 12
        for (size_t i = 0; i < rows; ++i) {
            int pair = 0;
            memcpy(&pair, a + i * of.lda + 2 * p, sizeof pair);
            sums[i] = _mm512_dpwssd_epi32(sums[i], b, _mm512_set1_epi32(pair));
        }
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) {
        float* out = c + (row + i) * of.ldc;
        const __m512 start =
            of.starts != nullptr ? _mm512_set1_ps(of.starts[row + i]) : _mm512_maskz_loadu_ps(used, out);
        const __m512 scale = _mm512_set1_ps(of.row_scales[row + i]);
        _mm512_mask_storeu_ps(out, used, finish(sums[i], start, column_scales, scale, of.to));
    }
}

}  // namespace

void gemm_s16(size_t m, size_t n, size_t pairs, const int16_t* a, size_t lda, const int16_t* panels,
              const float* column_scales, const float* row_scales, const float* starts, float* c, size_t ldc, float low,
              float high) noexcept {
    const Product of = {pairs, a, lda, row_scales, starts, c, ldc, {_mm512_set1_ps(low), _mm512_set1_ps(high)}};
    for (size_t j = 0; j < n; j += panel_columns) {
        const __mmask16 used = lanes(n - j < panel_columns ? n - j : panel_columns);
        const __m512 scales = _mm512_maskz_loadu_ps(used, column_scales + j);
        by_twelve(m, [&](auto rows, size_t i) {
            tile<decltype(rows)::count>(of, i, panels + j * 2 * pairs, scales, c + j, used);
        });
    }
}

}  // namespace bitpress::avx512vnni
