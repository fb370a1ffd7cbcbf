// What products of bytes read: rows of activations as 8-bit codes, weight codes as panels of quads.
#include <string.h>

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

static __m256i load(const void* from) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

// 32 floats as codes in their order.
static __m256i codes_of(const float* x, const RowCodes& row) noexcept {
    __m256i part[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) part[i] = row.eight(x + 8 * i);
    const __m256i low = _mm256_packs_epi32(part[0], part[1]);
    const __m256i high = _mm256_packs_epi32(part[2], part[3]);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
}

// 32 bytes of each of eight rows to panels of codes, 8 columns wide: words transposed, then codes by shifts.
template <unsigned bits>
static void transpose(const uint8_t* packed, size_t stride, uint8_t* panel) noexcept {
    __m256i a[8];
    __m256i b[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) a[i] = load(packed + i * stride);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
        b[2 * i] = _mm256_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm256_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < 2; ++i) {  // words w and w + 4 of rows 4i.. 4i + 3
        a[4 * i] = _mm256_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 1] = _mm256_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 2] = _mm256_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
        a[4 * i + 3] = _mm256_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
    const __m256i mask = _mm256_set1_epi8(static_cast<char>((1 << bits) - 1));
#pragma GCC unroll 8
    for (size_t w = 0; w < 8; ++w) {
        const __m256i low = a[w % 4];
        const __m256i high = a[4 + w % 4];
        __m256i word = w < 4 ? _mm256_permute2x128_si256(low, high, 0x20) : _mm256_permute2x128_si256(low, high, 0x31);
#pragma GCC unroll 4
        for (size_t i = 0; i < 8 / bits; ++i) {
            uint8_t* to = panel + (8 * i + w) * 4 * panel_columns;
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_and_si256(word, mask));
            word = _mm256_srli_epi16(word, bits);
        }
    }
}

template <unsigned bits>
static void panels_of(const uint8_t* packed, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    for (size_t j = 0; j + panel_columns <= width; j += panel_columns) {
        for (size_t p = 0; p < k; p += 256 / bits) {
            const uint8_t* from = packed + j * stride + p * bits / 8;
            for (size_t row = 0; row < panel_columns; ++row) {  // what the next call will want: the rows go on
                _mm_prefetch(reinterpret_cast<const char*>(from + row * stride + k * bits / 8), _MM_HINT_T1);
            }
            transpose<bits>(from, stride, panels + (j * k + p * panel_columns));
            transpose<bits>(from + 8 * stride, stride, panels + (j * k + p * panel_columns) + 32);
        }
    }
}

template <unsigned bits>
static void spread_of(const uint8_t* packed, size_t k, uint8_t* panel) noexcept {
    constexpr size_t half = 2 * panel_columns;  // bytes of a quad
    const __m256i mask = _mm256_set1_epi8((1 << bits) - 1);
    for (size_t p = 0; p < k; p += 32 / bits, packed += 2 * half) {
        __m256i word[2] = {load(packed), load(packed + half)};
#pragma GCC unroll 4
        for (size_t i = 0; i < 8 / bits; ++i, panel += 2 * half) {
#pragma GCC unroll 2
            for (size_t v = 0; v < 2; ++v) {
                _mm256_storeu_si256(reinterpret_cast<__m256i*>(panel + v * half), _mm256_and_si256(word[v], mask));
                word[v] = _mm256_srli_epi16(word[v], bits);
            }
        }
    }
}

}  // namespace

void quantize_row_s8(const float* x, size_t k, size_t spread, int8_t* codes, float* scale, int32_t* sum) noexcept {
    const RowCodes row(x, k, 127.0F);
    *scale = row.scale;
    const __m256i ones8 = _mm256_set1_epi8(1);
    const __m256i ones16 = _mm256_set1_epi16(1);
    __m256i sums = _mm256_setzero_si256();
    size_t p = 0;
    for (; p + 32 * spread <= k; p += 32 * spread) {
        int8_t in_order[128];
        for (size_t i = 0; i < spread; ++i) {
            const __m256i some = codes_of(x + p + 32 * i, row);
            sums = _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_maddubs_epi16(ones8, some), ones16));
            int8_t* to = spread == 1 ? codes + p : in_order + 32 * i;
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), some);
        }
        for (size_t i = 0; i < spread && spread > 1; ++i) {
            for (size_t r = 0; r < 32; ++r) codes[p + 32 * i + r] = in_order[r * spread + i];
        }
    }
    *sum = total(sums);
    for (; p < k; ++p) {
        codes[p] = static_cast<int8_t>(row.one(x[p]));
        *sum += codes[p];
    }
    for (; p % 4 != 0; ++p) codes[p] = 0;
}

void panel_columns_u8(const uint8_t* codes, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    const size_t deep = (k + 3) / 4 * 4;
    for (size_t j = 0; j < width; j += panel_columns) {
        uint8_t* panel = panels + j * deep;
        size_t p = 0;
        for (; p + 4 <= k && j + panel_columns <= width; p += 4) {
            __m128i row[4];
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; ++i) {
                row[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + (p + i) * stride + j));
            }
            const __m128i low[2] = {_mm_unpacklo_epi8(row[0], row[1]), _mm_unpackhi_epi8(row[0], row[1])};
            const __m128i high[2] = {_mm_unpacklo_epi8(row[2], row[3]), _mm_unpackhi_epi8(row[2], row[3])};
            auto* to = reinterpret_cast<__m128i*>(panel + p * panel_columns);
#pragma GCC unroll 2
            for (size_t i = 0; i < 2; ++i) {
                _mm_storeu_si128(to + 2 * i, _mm_unpacklo_epi16(low[i], high[i]));
                _mm_storeu_si128(to + 2 * i + 1, _mm_unpackhi_epi16(low[i], high[i]));
            }
        }
        for (; p < deep; ++p) {
            for (size_t i = 0; i < panel_columns; ++i) {
                const bool held = p < k && j + i < width;
                panel[p / 4 * (4 * panel_columns) + i * 4 + p % 4] = held ? codes[p * stride + j + i] : uint8_t{0};
            }
        }
    }
}

// 32 codes of eight rows at a time, as words.
void panel_rows_u8(const uint8_t* codes, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    const size_t deep = (k + 3) / 4 * 4;
    for (size_t j = 0; j < width; j += panel_columns) {
        uint8_t* panel = panels + j * deep;
        const uint8_t* from = codes + j * stride;
        size_t p = 0;
        for (; p + 32 <= k && j + panel_columns <= width; p += 32) {
            transpose<8>(from + p, stride, panel + p * panel_columns);
            transpose<8>(from + p + 8 * stride, stride, panel + p * panel_columns + 32);
        }
        for (; p < deep; ++p) {
            for (size_t i = 0; i < panel_columns; ++i) {
                const bool held = p < k && j + i < width;
                panel[p / 4 * (4 * panel_columns) + i * 4 + p % 4] = held ? from[i * stride + p] : uint8_t{0};
            }
        }
    }
}

void panel_packed_u8(unsigned bits, const uint8_t* packed, size_t stride, size_t width, size_t k,
                     uint8_t* panels) noexcept {
    if (bits == 4) {
        panels_of<4>(packed, stride, width, k, panels);
    } else {
        panels_of<2>(packed, stride, width, k, panels);
    }
    const size_t whole = width / panel_columns * panel_columns;
    if (whole == width) return;
    uint8_t* panel = panels + whole * k;
    memset(panel, 0, panel_columns * k);
    const size_t spread = 8 / bits;
    for (size_t j = whole; j < width; ++j) {
        const uint8_t* row = packed + j * stride;
        for (size_t p = 0; p < k; p += spread) {  // one byte
            const size_t block = p / (32 * spread) * (32 * spread);
            for (size_t i = 0; i < spread; ++i) {
                const size_t at = block + 32 * i + (p - block) / spread;
                const unsigned value = row[p / spread] >> (i * bits) & ((1U << bits) - 1U);
                panel[at / 4 * (4 * panel_columns) + (j - whole) * 4 + at % 4] = static_cast<uint8_t>(value);
            }
        }
    }
}

void spread_panel_u8(unsigned bits, const uint8_t* packed, size_t k, uint8_t* panel) noexcept {
    if (bits == 4) {
        spread_of<4>(packed, k, panel);
    } else {
        spread_of<2>(packed, k, panel);
    }
}

}  // namespace bitpress::avx2
