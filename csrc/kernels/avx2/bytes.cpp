// Products of weight codes of 2 to 4 bits with activations of 8 bits: vpmaddubsw sums pairs, and 16 bits hold several
// of those sums before they go to 32.
#include <string.h>

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

// How many products of pairs 16 bits hold: 2 * (2^bits - 1) * 127 each.
static size_t chain_length(unsigned bits) noexcept { return bits == 4 ? 8 : bits == 3 ? 16 : 32; }

struct Product {
    size_t quads, chain;
    int zero;
    const int8_t* a;
    size_t lda;
    const int32_t* sums;
    const float* row_scales;
    const float* starts;
    float* c;
    size_t ldc;
    Clip to;
};

// Adds rows x 16 sums over a chain of quads to those in memory. Not inline: the sums of 32 bits would take the
// registers that those of 16 need.
template <size_t rows>
[[gnu::noinline]] static void add_chain(const int8_t* a, size_t lda, const uint8_t* panel, size_t quads,
                                        __m256i (*sums)[2]) noexcept {
    __m256i left[rows];
    __m256i right[rows];
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) left[i] = right[i] = _mm256_setzero_si256();
    for (size_t q = 0; q < quads; ++q) {
        const auto* from = reinterpret_cast<const __m256i*>(panel + q * 4 * panel_columns);
        const __m256i b0 = _mm256_loadu_si256(from);
        const __m256i b1 = _mm256_loadu_si256(from + 1);
#pragma GCC unroll 6
        for (size_t i = 0; i < rows; ++i) {
            int quad = 0;
            memcpy(&quad, a + i * lda + 4 * q, sizeof quad);
            const __m256i factor = _mm256_set1_epi32(quad);
            left[i] = _mm256_add_epi16(left[i], _mm256_maddubs_epi16(b0, factor));
            BP_PIN(left[i]);
            right[i] = _mm256_add_epi16(right[i], _mm256_maddubs_epi16(b1, factor));
            BP_PIN(right[i]);
        }
    }
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
        sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(left[i], ones));
        sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(right[i], ones));
    }
}

template <size_t rows, bool full>
static void tile(const Product& of, size_t row, const uint8_t* panel, const float* column_scales, float* c,
                 size_t width) noexcept {
    __m256i sums[rows][2];
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) sums[i][0] = sums[i][1] = _mm256_set1_epi32(-of.zero * of.sums[row + i]);
    for (size_t q = 0; q < of.quads; q += of.chain) {
        const size_t some = of.quads - q < of.chain ? of.quads - q : of.chain;
        add_chain<rows>(of.a + row * of.lda + 4 * q, of.lda, panel + q * 4 * panel_columns, some, sums);
    }
    const __m256i mask0 = lanes(width < 8 ? width : 8);
    const __m256i mask1 = lanes(width < 8 ? 0 : width - 8);
    const __m256 scales0 = _mm256_maskload_ps(column_scales, mask0);
    const __m256 scales1 = _mm256_maskload_ps(column_scales + 8, mask1);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
        float* out = c + (row + i) * of.ldc;
        const __m256 scale = _mm256_broadcast_ss(of.row_scales + row + i);
        __m256 start0 = full ? _mm256_loadu_ps(out) : _mm256_maskload_ps(out, mask0);
        __m256 start1 = full ? _mm256_loadu_ps(out + 8) : _mm256_maskload_ps(out + 8, mask1);
        if (of.starts != nullptr) start0 = start1 = _mm256_broadcast_ss(of.starts + row + i);
        const __m256 y0 = finish(sums[i][0], start0, scales0, scale, of.to);
        const __m256 y1 = finish(sums[i][1], start1, scales1, scale, of.to);
        if (full) {  // stores by mask are slow on some CPUs
            _mm256_storeu_ps(out, y0);
            _mm256_storeu_ps(out + 8, y1);
        } else {
            _mm256_maskstore_ps(out, mask0, y0);
            _mm256_maskstore_ps(out + 8, mask1, y1);
        }
    }
}

template <bool full>
static void column(const Product& of, size_t m, const uint8_t* panel, const float* scales, float* c,
                   size_t width) noexcept {
    by_six(m, [&](auto rows, size_t i) { tile<decltype(rows)::count, full>(of, i, panel, scales, c, width); });
}

static __m256i load(const void* from) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

// Sums of `rows` packed rows over one block, for 32 bytes of each at a time; at most 4 of them in 16 bits.
template <unsigned bits, size_t rows>
static void block_sums(const uint8_t* packed, size_t stride, size_t bytes, const int8_t* x, __m256i* sums) noexcept {
    const __m256i mask = _mm256_set1_epi8((1 << bits) - 1);
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; ++r) sums[r] = _mm256_setzero_si256();
    for (size_t first = 0; first < bytes; first += 128) {
        const size_t end = first + 128 < bytes ? first + 128 : bytes;
        __m256i sum[rows];
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; ++r) sum[r] = _mm256_setzero_si256();
        for (size_t at = first; at < end; at += 32) {
            const int8_t* with = x + at * (8 / bits);
#pragma GCC unroll 4
            for (size_t r = 0; r < rows; ++r) {
                __m256i word = load(packed + r * stride + at);
                _mm_prefetch(reinterpret_cast<const char*>(packed + (rows + r) * stride + at), _MM_HINT_T0);
#pragma GCC unroll 4
                for (size_t i = 0; i < 8 / bits; ++i) {
                    const __m256i product = _mm256_maddubs_epi16(_mm256_and_si256(word, mask), load(with + 32 * i));
                    sum[r] = _mm256_add_epi16(sum[r], product);
                    BP_PIN(sum[r]);
                    word = _mm256_srli_epi16(word, bits);
                }
            }
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; ++r) sums[r] = _mm256_add_epi32(sums[r], _mm256_madd_epi16(sum[r], ones));
    }
}

struct Dots {
    const uint8_t* packed;
    size_t stride, k, block;
    const int8_t* x;
    const int32_t* sums;
    const float* x_scales;
    const float* scales;
    size_t row_step, block_step;
};

// Four rows at once; a row of less than four stands in for those that are missing.
template <unsigned bits>
static void four_dots(const Dots& of, size_t row, float* y) noexcept {
    __m128 result = _mm_loadu_ps(y);
    const uint8_t* packed = of.packed + row * of.stride;
    const float* scales = of.scales + row * of.row_step;
    for (size_t first = 0, b = 0; first < of.k; first += of.block, ++b) {
        const size_t depth = of.k - first < of.block ? of.k - first : of.block;
        __m256i sums[4];
        block_sums<bits, 4>(packed + first * bits / 8, of.stride, depth * bits / 8, of.x + first, sums);
        const __m256i pairs =
            _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
        __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
        sum = _mm_sub_epi32(sum, _mm_set1_epi32((1 << (bits - 1)) * of.sums[b]));
        const float* s = scales + b * of.block_step;
        const __m128 scale = _mm_setr_ps(s[0], s[of.row_step], s[2 * of.row_step], s[3 * of.row_step]);
        const __m128 scaled = _mm_mul_ps(_mm_mul_ps(_mm_cvtepi32_ps(sum), scale), _mm_set1_ps(of.x_scales[b]));
        result = _mm_add_ps(result, scaled);
    }
    _mm_storeu_ps(y, result);
}

template <unsigned bits>
static void one_dot(const Dots& of, size_t row, float* y) noexcept {
    for (size_t first = 0, b = 0; first < of.k; first += of.block, ++b) {
        const size_t depth = of.k - first < of.block ? of.k - first : of.block;
        __m256i sums[1];
        block_sums<bits, 1>(of.packed + row * of.stride + first * bits / 8, of.stride, depth * bits / 8, of.x + first,
                            sums);
        const int sum = total(sums[0]) - (1 << (bits - 1)) * of.sums[b];
        *y += static_cast<float>(sum) * of.scales[row * of.row_step + b * of.block_step] * of.x_scales[b];
    }
}

template <unsigned bits>
static void all_dots(const Dots& of, size_t rows, float* y) noexcept {
    size_t row = 0;
    for (; row + 4 <= rows; row += 4) four_dots<bits>(of, row, y + row);
    for (; row < rows; ++row) one_dot<bits>(of, row, y + row);
}

}  // namespace

void gemm_u8s8(size_t m, size_t n, size_t quads, unsigned bits, const int8_t* a, size_t lda, const int32_t* sums,
               const uint8_t* panels, const float* column_scales, const float* row_scales, const float* starts,
               float* c, size_t ldc, float low, float high) noexcept {
    const Product of = {quads,
                        chain_length(bits),
                        1 << (bits - 1U),
                        a,
                        lda,
                        sums,
                        row_scales,
                        starts,
                        c,
                        ldc,
                        {_mm256_set1_ps(low), _mm256_set1_ps(high)}};
    for (size_t j = 0; j < n; j += panel_columns) {
        const uint8_t* panel = panels + j * 4 * quads;
        const size_t width = n - j < panel_columns ? n - j : panel_columns;
        if (width == panel_columns) {
            column<true>(of, m, panel, column_scales + j, c + j, width);
        } else {
            column<false>(of, m, panel, column_scales + j, c + j, width);
        }
    }
}

void dots_u8s8(unsigned bits, const uint8_t* packed, size_t stride, size_t rows, size_t k, size_t block,
               const int8_t* x, const int32_t* sums, const float* x_scales, const float* scales, size_t row_step,
               size_t block_step, float* y) noexcept {
    const Dots of = {packed, stride, k, block, x, sums, x_scales, scales, row_step, block_step};
    if (bits == 4) {
        all_dots<4>(of, rows, y);
    } else {
        all_dots<2>(of, rows, y);
    }
}

}  // namespace bitpress::avx2
