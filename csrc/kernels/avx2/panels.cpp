// What products of integers read: rows of activations as codes, weights as panels.

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

struct Values {
    __m256i factor, zero;
    Values(int times, int minus) noexcept
        : factor(_mm256_set1_epi16(static_cast<short>(times))), zero(_mm256_set1_epi16(static_cast<short>(minus))) {}
    __m256i operator()(__m128i codes) const noexcept {
        return _mm256_sub_epi16(_mm256_mullo_epi16(_mm256_cvtepu8_epi16(codes), factor), zero);
    }
};

static void store(int16_t* to, __m256i values) noexcept { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), values); }

static __m128i load(const uint8_t* from) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

// Weights come from far, in steps that the hardware does not foresee. What lies past them is never read.
static void prefetch(const uint8_t* from) noexcept { _mm_prefetch(reinterpret_cast<const char*>(from), _MM_HINT_T0); }

// Codes p.. p + 15 of eight rows to eight steps of two, 8 columns wide.
static void transpose(const uint8_t* codes, size_t stride, const Values& values, int16_t* panel) noexcept {
    __m128i a[8];
    __m128i b[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) a[i] = load(codes + i * stride);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {  // pairs of codes of rows i and i + 4 side by side
        b[2 * i] = _mm_unpacklo_epi16(a[i], a[i + 4]);
        b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
        a[2 * i] = _mm_unpacklo_epi16(b[i], b[i + 4]);
        a[2 * i + 1] = _mm_unpackhi_epi16(b[i], b[i + 4]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
        store(panel + 4 * i * panel_columns, values(_mm_unpacklo_epi16(a[i], a[i + 4])));
        store(panel + (4 * i + 2) * panel_columns, values(_mm_unpackhi_epi16(a[i], a[i + 4])));
    }
}

// Of a panel of `width` <= 16 columns, steps of two from p on.
static void fill_rest(const uint8_t* codes, size_t row_step, size_t column_step, size_t width, size_t p, size_t k,
                      int factor, int zero, int16_t* panel) noexcept {
    for (; p < k; p += 2) {
        int16_t* to = panel + p * panel_columns;
        for (size_t j = 0; j < panel_columns; ++j) {
            const uint8_t* from = codes + p * row_step + j * column_step;
            to[2 * j] = static_cast<int16_t>(j < width ? factor * from[0] - zero : 0);
            to[2 * j + 1] = static_cast<int16_t>(j < width && p + 1 < k ? factor * from[row_step] - zero : 0);
        }
    }
}

}  // namespace

void quantize_row_s16(const float* x, size_t k, int16_t* codes, float* scale) noexcept {
    const RowCodes row(x, k, 32767.0F);
    *scale = row.scale;
    size_t p = 0;
    for (; p + 16 <= k; p += 16) {
        const __m256i packed = _mm256_packs_epi32(row.eight(x + p), row.eight(x + p + 8));
        store(codes + p, _mm256_permute4x64_epi64(packed, _MM_SHUFFLE(3, 1, 2, 0)));
    }
    for (; p < k; ++p) codes[p] = static_cast<int16_t>(row.one(x[p]));
    if (k % 2 != 0) codes[k] = 0;
}

void panel_rows_s16(const uint8_t* codes, size_t stride, size_t width, size_t k, int factor, int zero,
                    int16_t* panels) noexcept {
    const Values values(factor, zero);
    for (size_t j = 0; j < width; j += panel_columns) {
        const uint8_t* from = codes + j * stride;
        int16_t* panel = panels + j * ((k + 1) / 2 * 2);
        size_t p = 0;
        for (; p + 16 <= k && j + panel_columns <= width; p += 16) {
            for (size_t row = 0; row < panel_columns && p % 64 == 0; ++row) {
                prefetch(from + (panel_columns + row) * stride + p);
            }
            transpose(from + p, stride, values, panel + p * panel_columns);
            transpose(from + p + 8 * stride, stride, values, panel + p * panel_columns + 16);
        }
        fill_rest(from, 1, stride, width - j < panel_columns ? width - j : panel_columns, p, k, factor, zero, panel);
    }
}

// 32 rows at a time: they stay in the first cache while their columns go to the panels, which lie far apart.
void panel_columns_s16(const uint8_t* codes, size_t stride, size_t width, size_t k, int factor, int zero,
                       int16_t* panels) noexcept {
    const Values values(factor, zero);
    const size_t apart = (k + 1) / 2 * 2;
    const size_t whole = width / panel_columns * panel_columns;
    const size_t pairs = k / 2 * 2;
    for (size_t first = 0; first < pairs; first += 32) {
        const size_t end = first + 32 < pairs ? first + 32 : pairs;
        for (size_t j = 0; j < whole; j += panel_columns) {
            for (size_t p = first; p < end; p += 2) {
                prefetch(codes + (p + 32) * stride + j);
                prefetch(codes + (p + 33) * stride + j);
                const __m128i even = load(codes + p * stride + j);
                const __m128i odd = load(codes + (p + 1) * stride + j);
                int16_t* to = panels + j * apart + p * panel_columns;
                store(to, values(_mm_unpacklo_epi8(even, odd)));
                store(to + 16, values(_mm_unpackhi_epi8(even, odd)));
            }
        }
    }
    for (size_t j = 0; j < whole; j += panel_columns) {
        fill_rest(codes + j, stride, 1, panel_columns, pairs, k, factor, zero, panels + j * apart);
    }
    if (whole < width) {
        fill_rest(codes + whole, stride, 1, width - whole, 0, k, factor, zero, panels + whole * apart);
    }
}

}  // namespace bitpress::avx2
