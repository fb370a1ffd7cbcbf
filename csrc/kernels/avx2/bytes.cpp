// Products of weight codes with activations of 8 bits: vpmaddubsw sums pairs; of codes of 2 to 4 bits 16 bits hold
// several of those sums before they go to 32, of more bits one.
#include <string.h>

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

// How many products of pairs 16 bits hold: 2 * (2^bits - 1) * 127 each.
static size_t chain_length(unsigned bits) noexcept { return bits == 4 ? 8 : bits == 3 ? 16 : 32; }

struct Product {
    size_t quads, chain;
    unsigned bits;
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

// Adds rows x 16 sums of all quads, for codes of 5 to 8 bits. Those of 8 bits lose 128 to be signed bytes; a product of
// such, at least -128, is that of its magnitude with the activation under its sign.
template <size_t rows, bool eight>
static void add_wide(const int8_t* a, size_t lda, const uint8_t* panel, size_t quads, __m256i (*sums)[2]) noexcept {
    const __m256i flip = _mm256_set1_epi8(-128);
    const __m256i ones = _mm256_set1_epi16(1);
    for (size_t q = 0; q < quads; ++q) {
        __m256i b[2];
        __m256i size[2];
#pragma GCC unroll 2
        for (size_t v = 0; v < 2; ++v) {
            b[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel + q * 4 * panel_columns) + v);
            if (eight) b[v] = _mm256_xor_si256(b[v], flip);
            size[v] = eight ? _mm256_abs_epi8(b[v]) : b[v];
        }
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            int quad = 0;
            memcpy(&quad, a + i * lda + 4 * q, sizeof quad);
            const __m256i factor = _mm256_set1_epi32(quad);
#pragma GCC unroll 2
            for (size_t v = 0; v < 2; ++v) {
                const __m256i with = eight ? _mm256_sign_epi8(factor, b[v]) : factor;
                const __m256i pairs = _mm256_maddubs_epi16(size[v], with);
                sums[i][v] = _mm256_add_epi32(sums[i][v], _mm256_madd_epi16(pairs, ones));
                BP_PIN(sums[i][v]);
            }
        }
    }
}

// What belongs to the columns of one panel.
struct Columns {
    const uint8_t* panel;
    const int32_t* zeros;
    const float* scales;
    size_t width;
};

template <size_t rows, bool full, bool narrow>
static void tile(const Product& of, size_t row, const Columns& with, float* c) noexcept {
    __m256i sums[rows][2];
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) sums[i][0] = sums[i][1] = _mm256_setzero_si256();
    const int8_t* a = of.a + row * of.lda;
    if constexpr (narrow) {
        for (size_t q = 0; q < of.quads; q += of.chain) {
            const size_t some = of.quads - q < of.chain ? of.quads - q : of.chain;
            add_chain<rows>(a + 4 * q, of.lda, with.panel + q * 4 * panel_columns, some, sums);
        }
    } else if (of.bits == 8) {
        add_wide<rows, true>(a, of.lda, with.panel, of.quads, sums);
    } else {
        add_wide<rows, false>(a, of.lda, with.panel, of.quads, sums);
    }
    const size_t width = with.width;
    const __m256i mask0 = lanes(width < 8 ? width : 8);
    const __m256i mask1 = lanes(width < 8 ? 0 : width - 8);
    const __m256 scales0 = _mm256_maskload_ps(with.scales, mask0);
    const __m256 scales1 = _mm256_maskload_ps(with.scales + 8, mask1);
    const __m256i lost = _mm256_set1_epi32(of.bits == 8 ? 128 : 0);
    const __m256i zeros0 = _mm256_sub_epi32(_mm256_maskload_epi32(with.zeros, mask0), lost);
    const __m256i zeros1 = _mm256_sub_epi32(_mm256_maskload_epi32(with.zeros + 8, mask1), lost);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
        float* out = c + (row + i) * of.ldc;
        const __m256 scale = _mm256_broadcast_ss(of.row_scales + row + i);
        __m256 start0 = full ? _mm256_loadu_ps(out) : _mm256_maskload_ps(out, mask0);
        __m256 start1 = full ? _mm256_loadu_ps(out + 8) : _mm256_maskload_ps(out + 8, mask1);
        if (of.starts != nullptr) start0 = start1 = _mm256_broadcast_ss(of.starts + row + i);
        const __m256i sum = _mm256_set1_epi32(of.sums[row + i]);
        const __m256i sum0 = _mm256_sub_epi32(sums[i][0], _mm256_mullo_epi32(zeros0, sum));
        const __m256i sum1 = _mm256_sub_epi32(sums[i][1], _mm256_mullo_epi32(zeros1, sum));
        const __m256 y0 = finish(sum0, start0, scales0, scale, of.to);
        const __m256 y1 = finish(sum1, start1, scales1, scale, of.to);
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
static void column(const Product& of, size_t m, const Columns& with, float* c) noexcept {
    if (of.bits <= 4) {
        by_six(m, [&](auto rows, size_t i) { tile<decltype(rows)::count, full, true>(of, i, with, c); });
        return;
    }
    size_t i = 0;
    for (; i + 4 <= m; i += 4) tile<4, full, false>(of, i, with, c);
    for (; i < m; ++i) tile<1, full, false>(of, i, with, c);
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
    const uint8_t* zeros;
    size_t row_step, block_step;
    template <unsigned bits>
    int zero(size_t row, size_t b) const noexcept {
        return zeros == nullptr ? 1 << (bits - 1) : zeros[row * row_step + b * block_step];
    }
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
        const __m128i zeros = _mm_setr_epi32(of.zero<bits>(row, b), of.zero<bits>(row + 1, b),
                                             of.zero<bits>(row + 2, b), of.zero<bits>(row + 3, b));
        sum = _mm_sub_epi32(sum, _mm_mullo_epi32(zeros, _mm_set1_epi32(of.sums[b])));
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
        const int sum = total(sums[0]) - of.zero<bits>(row, b) * of.sums[b];
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
               const uint8_t* panels, const int32_t* zeros, const float* column_scales, const float* row_scales,
               const float* starts, float* c, size_t ldc, float low, float high) noexcept {
    const Clip to = {_mm256_set1_ps(low), _mm256_set1_ps(high)};
    const Product of = {quads, chain_length(bits), bits, a, lda, sums, row_scales, starts, c, ldc, to};
    for (size_t j = 0; j < n; j += panel_columns) {
        const size_t width = n - j < panel_columns ? n - j : panel_columns;
        const Columns with = {panels + j * 4 * quads, zeros + j, column_scales + j, width};
        if (width == panel_columns) {
            column<true>(of, m, with, c + j);
        } else {
            column<false>(of, m, with, c + j);
        }
    }
}

void dots_u8s8(unsigned bits, const uint8_t* packed, size_t stride, size_t rows, size_t k, size_t block,
               const int8_t* x, const int32_t* sums, const float* x_scales, const float* scales, const uint8_t* zeros,
               size_t row_step, size_t block_step, float* y) noexcept {
    const Dots of = {packed, stride, k, block, x, sums, x_scales, scales, zeros, row_step, block_step};
    if (bits == 4) {
        all_dots<4>(of, rows, y);
    } else {
        all_dots<2>(of, rows, y);
    }
}

}  // namespace bitpress::avx2
