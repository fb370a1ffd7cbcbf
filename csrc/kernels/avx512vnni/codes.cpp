// Products of weight codes of up to 8 bits, as they are stored, with activations of 8 bits: quads of k by vpdpbusd,
// 12 x 16 sums in 12 registers.
#include <string.h>

#include "kernels/avx512vnni/vectors.h"

namespace bitpress::avx512vnni {
namespace {

// What lies past the rows is never read.
static void prefetch(const uint8_t* from) noexcept { _mm_prefetch(reinterpret_cast<const char*>(from), _MM_HINT_T0); }

// Sixteen columns as codes of -127..127.
struct Columns {
    __m512 inverse;
    __mmask16 alive;
    __m512i operator()(const float* x) const noexcept {
        return _mm512_maskz_cvtps_epi32(alive, _mm512_mul_ps(_mm512_loadu_ps(x), inverse));
    }
};

// most: the bits of the largest magnitudes; as integers they are in order, with infinity and NaN above.
static Columns columns(__m512i most, float* scales) noexcept {
    const __mmask16 finite = _mm512_cmplt_epi32_mask(most, _mm512_set1_epi32(0x7F800000));
    const __mmask16 large = _mm512_cmpge_epi32_mask(most, _mm512_set1_epi32((127 - 100) << 23 /* 2^-100 */));
    const auto alive = static_cast<__mmask16>(finite & large);
    const __m512 size = _mm512_castsi512_ps(most);
    const __m512 largest = _mm512_set1_ps(127.0F);
    const __m512 scale = _mm512_maskz_div_ps(alive, size, largest);
    _mm512_storeu_ps(scales, _mm512_mask_blend_ps(finite, _mm512_set1_ps(__builtin_nanf("")), scale));
    return {_mm512_maskz_div_ps(alive, largest, size), alive};
}

struct Product {
    size_t quads;
    const uint8_t* a;
    size_t lda;
    const float* row_scales;
    const float* starts;
    float* c;
    size_t ldc;
    Clip to;

    int quad(size_t row, size_t q) const noexcept {
        int four = 0;
        memcpy(&four, a + row * lda + 4 * q, sizeof four);
        return four;
    }
};

// Rows row.. of one panel, whose `used` columns exist. none: what the codes' zero adds to a column.
template <size_t rows>
static void tile(const Product& of, size_t row, const int8_t* panel, __m512i none, __m512 column_scales, float* c,
                 __mmask16 used) noexcept {
    __m512i sums[rows];
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) sums[i] = none;
    for (size_t q = 0; q < of.quads; ++q) {
        if (q % 16 == 0) {  // the next rows come from far, in steps that the hardware does not foresee
#pragma GCC unroll 12
            for (size_t i = 0; i < rows; ++i) prefetch(of.a + (row + rows + i) * of.lda + 4 * q);
        }
        const __m512i b = _mm512_loadu_si512(panel + q * 4 * panel_columns);
#pragma GCC unroll 12
        for (size_t i = 0; i < rows; ++i) {
            sums[i] = _mm512_dpbusd_epi32(sums[i], _mm512_set1_epi32(of.quad(row + i, q)), b);
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

// The same of at most eight columns.
template <size_t rows>
static void half_tile(const Product& of, size_t row, const int8_t* panel, __m512i none, __m512 column_scales, float* c,
                      __mmask16 used) noexcept {
    __m256i sums[rows];
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) sums[i] = _mm512_castsi512_si256(none);
    for (size_t q = 0; q < of.quads; ++q) {
        const auto* from = reinterpret_cast<const __m256i*>(panel + q * 4 * panel_columns);
        const __m256i b = _mm256_loadu_si256(from);
#pragma GCC unroll 12
        for (size_t i = 0; i < rows; ++i) {
            sums[i] = _mm256_dpbusd_epi32(sums[i], _mm256_set1_epi32(of.quad(row + i, q)), b);
        }
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) {
        float* out = c + (row + i) * of.ldc;
        const __m512 start =
            of.starts != nullptr ? _mm512_set1_ps(of.starts[row + i]) : _mm512_maskz_loadu_ps(used, out);
        const __m512 scale = _mm512_set1_ps(of.row_scales[row + i]);
        _mm512_mask_storeu_ps(out, used, finish(_mm512_zextsi256_si512(sums[i]), start, column_scales, scale, of.to));
    }
}

}  // namespace

void quantize_columns_s8(const float* x, size_t step, size_t k, int8_t* panel, float* scales, int32_t* sums) noexcept {
    const __m512i sign = _mm512_set1_epi32(0x7FFFFFFF);
    __m512i most = _mm512_setzero_si512();
    for (size_t p = 0; p < k; ++p) {
        const __m512i bits = _mm512_castps_si512(_mm512_loadu_ps(x + p * step));
        most = _mm512_max_epi32(most, _mm512_and_si512(bits, sign));
    }
    const Columns of = columns(most, scales);
    const __m512i byte = _mm512_set1_epi32(255);
    __m512i sum = _mm512_setzero_si512();
    for (size_t p = 0; p < k; p += 4, panel += 4 * panel_columns) {
        __m512i quad = _mm512_setzero_si512();
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; ++i) {
            if (p + i >= k) break;
            const __m512i codes = of(x + (p + i) * step);
            sum = _mm512_add_epi32(sum, codes);
            const auto shift = static_cast<unsigned>(8 * i);
            quad = _mm512_or_si512(quad, _mm512_slli_epi32(_mm512_and_si512(codes, byte), shift));
        }
        _mm512_storeu_si512(panel, quad);
    }
    _mm512_storeu_si512(sums, sum);
}

void gemm_codes_s8(size_t m, size_t n, size_t quads, const uint8_t* a, size_t lda, int zero, const int8_t* panels,
                   const int32_t* sums, const float* column_scales, const float* row_scales, const float* starts,
                   float* c, size_t ldc, float low, float high) noexcept {
    const Product of = {quads, a, lda, row_scales, starts, c, ldc, {_mm512_set1_ps(low), _mm512_set1_ps(high)}};
    by_twelve(m, [&](auto rows, size_t i) {
        constexpr size_t count = decltype(rows)::count;
        for (size_t j = 0; j < n; j += panel_columns) {  // inside: C's rows are written on and on
            const size_t width = n - j < panel_columns ? n - j : panel_columns;
            const __mmask16 used = lanes(width);
            const __m512 scales = _mm512_maskz_loadu_ps(used, column_scales + j);
            const __m512i column_sums = _mm512_maskz_loadu_epi32(used, sums + j);
            const __m512i none = _mm512_mullo_epi32(column_sums, _mm512_set1_epi32(-zero));
            const int8_t* panel = panels + j * 4 * quads;
            if (width > 8) {
                tile<count>(of, i, panel, none, scales, c + j, used);
            } else {
                half_tile<count>(of, i, panel, none, scales, c + j, used);
            }
        }
    });
}

}  // namespace bitpress::avx512vnni
