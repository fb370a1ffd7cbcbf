// Products of weights as they are stored with activations of 16 bits: pairs of k by vpmaddwd, 6 x 16 sums in 12
// registers.
#include <string.h>

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

// Codes of eight columns: how one row of them is scaled, and which columns are not all zero.
struct Columns {
    __m256 inverse;
    __m256i alive;
    __m256i codes(const float* x) const noexcept {
        const __m256i rounded = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));
        return _mm256_and_si256(rounded, alive);
    }
};

// most: the bits of the largest magnitudes; as integers they are in order, with infinity and NaN above.
static Columns columns(__m256i most, int largest, float* scales) noexcept {
    const __m256i infinite = _mm256_set1_epi32(0x7F800000);
    const __m256i below_least = _mm256_set1_epi32((127 - 100) << 23) /* 2^-100 */;
    const __m256i finite = _mm256_cmpgt_epi32(infinite, most);
    const __m256i large = _mm256_cmpgt_epi32(most, _mm256_sub_epi32(below_least, _mm256_set1_epi32(1)));
    const __m256i alive = _mm256_and_si256(finite, large);
    const __m256 size = _mm256_castsi256_ps(most);
    const __m256 largest_code = _mm256_set1_ps(static_cast<float>(largest));
    const __m256 scale = _mm256_and_ps(_mm256_div_ps(size, largest_code), _mm256_castsi256_ps(alive));
    const __m256 nan = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FC00000));
    _mm256_storeu_ps(scales, _mm256_blendv_ps(nan, scale, _mm256_castsi256_ps(finite)));
    return {_mm256_and_ps(_mm256_div_ps(largest_code, size), _mm256_castsi256_ps(alive)), alive};
}

static void store(int16_t* to, __m256i first, __m256i second) noexcept {
    const __m256i pairs = _mm256_blend_epi16(first, _mm256_slli_epi32(second, 16), 0xAA);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), pairs);
}

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

// Rows i.. of one panel.
template <size_t rows, Width used>
static void tile(const Product& of, size_t row, const int16_t* panel, const float* column_scales, float* c,
                 size_t width) noexcept {
    __m256i left[rows];
    __m256i right[rows];
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) left[i] = right[i] = _mm256_setzero_si256();
    const int16_t* a = of.a + row * of.lda;
    for (size_t p = 0; p < of.pairs; ++p) {
        const auto* from = reinterpret_cast<const __m256i*>(panel + p * 2 * panel_columns);
        const __m256i b0 = _mm256_loadu_si256(from);
        const __m256i b1 = used == Width::half ? b0 : _mm256_loadu_si256(from + 1);
#pragma GCC unroll 6
        for (size_t i = 0; i < rows; ++i) {
            int pair = 0;
            memcpy(&pair, a + i * of.lda + 2 * p, sizeof pair);
            const __m256i factor = _mm256_set1_epi32(pair);
            left[i] = _mm256_add_epi32(left[i], _mm256_madd_epi16(factor, b0));
            BP_PIN(left[i]);
            if (used == Width::half) continue;
            right[i] = _mm256_add_epi32(right[i], _mm256_madd_epi16(factor, b1));
            BP_PIN(right[i]);
        }
    }
    const __m256i mask0 = lanes(width < 8 ? width : 8);
    const __m256i mask1 = lanes(width < 8 ? 0 : width - 8);
    const __m256 scales0 = _mm256_maskload_ps(column_scales, mask0);
    const __m256 scales1 = _mm256_maskload_ps(column_scales + 8, mask1);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
        float* out = c + (row + i) * of.ldc;
        const __m256 scale = _mm256_broadcast_ss(of.row_scales + row + i);
        __m256 start0 = _mm256_setzero_ps();
        __m256 start1 = _mm256_setzero_ps();
        if (of.starts != nullptr) {
            start0 = start1 = _mm256_broadcast_ss(of.starts + row + i);
        } else {
            start0 = _mm256_maskload_ps(out, mask0);
            if (used != Width::half) start1 = _mm256_maskload_ps(out + 8, mask1);
        }
        const __m256 y0 = finish(left[i], start0, scales0, scale, of.to);
        if (used == Width::half) {
            _mm256_maskstore_ps(out, mask0, y0);
            continue;
        }
        _mm256_storeu_ps(out, y0);
        const __m256 y1 = finish(right[i], start1, scales1, scale, of.to);
        if (used == Width::full) {
            _mm256_storeu_ps(out + 8, y1);
        } else {
            _mm256_maskstore_ps(out + 8, mask1, y1);
        }
    }
}

template <Width used>
static void column(const Product& of, size_t m, const int16_t* panel, const float* scales, float* c,
                   size_t width) noexcept {
    by_six(m, [&](auto rows, size_t i) { tile<decltype(rows)::count, used>(of, i, panel, scales, c, width); });
}

}  // namespace

void quantize_columns_s16(const float* x, size_t step, size_t k, int largest, int16_t* panel, float* scales) noexcept {
    __m256i most0 = _mm256_setzero_si256();
    __m256i most1 = _mm256_setzero_si256();
    for (size_t p = 0; p < k; ++p) {
        most0 = _mm256_max_epi32(most0, magnitude(_mm256_loadu_ps(x + p * step)));
        most1 = _mm256_max_epi32(most1, magnitude(_mm256_loadu_ps(x + p * step + 8)));
    }
    const Columns left = columns(most0, largest, scales);
    const Columns right = columns(most1, largest, scales + 8);
    for (size_t p = 0; p < k; p += 2, panel += 2 * panel_columns) {
        const float* first = x + p * step;
        const float* second = first + step;
        const bool pair = p + 1 < k;
        store(panel, left.codes(first), pair ? left.codes(second) : _mm256_setzero_si256());
        store(panel + panel_columns, right.codes(first + 8), pair ? right.codes(second + 8) : _mm256_setzero_si256());
    }
}

void widen_codes_s16(const uint8_t* codes, size_t n, int factor, int zero, int16_t* values) noexcept {
    const __m256i times = _mm256_set1_epi16(static_cast<short>(factor));
    const __m256i minus = _mm256_set1_epi16(static_cast<short>(zero));
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i));
        const __m256i wide = _mm256_mullo_epi16(_mm256_cvtepu8_epi16(bytes), times);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + i), _mm256_sub_epi16(wide, minus));
    }
    for (; i < n; ++i) values[i] = static_cast<int16_t>(factor * codes[i] - zero);
}

void gemm_s16(size_t m, size_t n, size_t pairs, const int16_t* a, size_t lda, const int16_t* panels,
              const float* column_scales, const float* row_scales, const float* starts, float* c, size_t ldc, float low,
              float high) noexcept {
    const Product of = {pairs, a, lda, row_scales, starts, c, ldc, {_mm256_set1_ps(low), _mm256_set1_ps(high)}};
    for (size_t j = 0; j < n; j += panel_columns) {
        const int16_t* panel = panels + j * 2 * pairs;
        const size_t width = n - j < panel_columns ? n - j : panel_columns;
        if (width == panel_columns) {
            column<Width::full>(of, m, panel, column_scales + j, c + j, width);
        } else if (width > 8) {
            column<Width::most>(of, m, panel, column_scales + j, c + j, width);
        } else {
            column<Width::half>(of, m, panel, column_scales + j, c + j, width);
        }
    }
}

}  // namespace bitpress::avx2
