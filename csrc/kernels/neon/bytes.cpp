// Products of weight codes of 2 to 8 bits with activations of 8 bits: SMLAL, and 16 bits hold several products before
// they go to 32.
#include <string.h>

#include "kernels/neon/dots.h"
#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

// How many products 16 bits hold, of at most (2^bits - 1) * 127 each (8 bits: 128 * 127); a power of two.
static size_t chain_length(unsigned bits) noexcept { return bits >= 7 ? 2 : size_t{256} >> bits; }

struct Product {
    size_t quads, chain;
    uint8x16_t flip;  // codes of 8 bits lose 128, so that they are signed bytes
    const int8_t* a;
    size_t lda;
    const int32_t* sums;
};

// Adds rows x 16 sums over a chain of quads to those in memory. Not inline: the sums of 32 bits would take the
// registers that those of 16 need.
template <size_t rows>
[[gnu::noinline]] static void add_chain(const int8_t* a, size_t lda, const uint8_t* panel, uint8x16_t flip,
                                        size_t quads, int32x4_t (*sums)[4]) noexcept {
    int16x8_t sum[rows][8];  // two columns each, a quad's four products apart
#pragma GCC unroll 2
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 8
        for (size_t v = 0; v < 8; ++v) sum[i][v] = vdupq_n_s16(0);
    }
    for (size_t q = 0; q < quads; ++q) {
        int8x8_t factor[rows];
#pragma GCC unroll 2
        for (size_t i = 0; i < rows; ++i) {
            int32_t quad;
            memcpy(&quad, a + i * lda + 4 * q, sizeof quad);
            factor[i] = vreinterpret_s8_s32(vdup_n_s32(quad));
        }
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; ++v) {
            const int8x16_t b = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(panel + q * 4 * panel_columns + 16 * v), flip));
#pragma GCC unroll 2
            for (size_t i = 0; i < rows; ++i) {
                sum[i][2 * v] = vmlal_s8(sum[i][2 * v], vget_low_s8(b), factor[i]);
                sum[i][2 * v + 1] = vmlal_s8(sum[i][2 * v + 1], vget_high_s8(b), factor[i]);
            }
        }
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; ++v) {
            const int32x4_t four = vpaddq_s32(vpaddlq_s16(sum[i][2 * v]), vpaddlq_s16(sum[i][2 * v + 1]));
            sums[i][v] = vaddq_s32(sums[i][v], four);
        }
    }
}

template <size_t rows>
static void tile(const Ends& ends, const Product& of, size_t row, const uint8_t* panel, size_t j,
                 const int32x4_t* zeros, size_t width) noexcept {
    int32x4_t sums[rows][4];
    for (size_t i = 0; i < rows; ++i) {
        for (size_t v = 0; v < 4; ++v) sums[i][v] = vmulq_n_s32(zeros[v], -of.sums[row + i]);
    }
    for (size_t q = 0; q < of.quads; q += of.chain) {
        const size_t some = of.quads - q < of.chain ? of.quads - q : of.chain;
        add_chain<rows>(of.a + row * of.lda + 4 * q, of.lda, panel + q * 4 * panel_columns, of.flip, some, sums);
    }
    for (size_t i = 0; i < rows; ++i) ends.store(row + i, j, width, sums[i]);
}

// 128 bytes of a row at a time: 16 bits hold the 16 products (of 4 bits, 32 of 2 bits) that come to a lane.
struct BlockSums {
    template <unsigned bits, size_t rows>
    static void of(const uint8_t* packed, size_t stride, size_t bytes, const int8_t* x, int32x4_t* sums) noexcept {
        const uint8x16_t mask = vdupq_n_u8((1 << bits) - 1);
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; ++r) sums[r] = vdupq_n_s32(0);
        for (size_t first = 0; first < bytes; first += 128) {
            const size_t end = first + 128 < bytes ? first + 128 : bytes;
            int16x8_t low[rows];
            int16x8_t high[rows];
#pragma GCC unroll 4
            for (size_t r = 0; r < rows; ++r) low[r] = high[r] = vdupq_n_s16(0);
            for (size_t at = first; at < end; at += 16) {
                const int8_t* with = x + at / 32 * 32 * (8 / bits) + at % 32;
#pragma GCC unroll 4
                for (size_t r = 0; r < rows; ++r) {
                    uint8x16_t word = vld1q_u8(packed + r * stride + at);
#pragma GCC unroll 4
                    for (size_t i = 0; i < 8 / bits; ++i) {
                        const int8x16_t codes = vreinterpretq_s8_u8(vandq_u8(word, mask));
                        const int8x16_t factor = vld1q_s8(with + 32 * i);
                        low[r] = vmlal_s8(low[r], vget_low_s8(codes), vget_low_s8(factor));
                        high[r] = vmlal_high_s8(high[r], codes, factor);
                        word = vshrq_n_u8(word, bits);
                    }
                }
            }
#pragma GCC unroll 4
            for (size_t r = 0; r < rows; ++r) sums[r] = vpadalq_s16(vpadalq_s16(sums[r], low[r]), high[r]);
        }
    }
};

}  // namespace

void gemm_u8s8(size_t m, size_t n, size_t quads, unsigned bits, const int8_t* a, size_t lda, const int32_t* sums,
               const uint8_t* panels, const int32_t* zeros, const float* column_scales, const float* row_scales,
               const float* starts, float* c, size_t ldc, float low, float high) noexcept {
    const Ends ends = {column_scales, row_scales, starts, c, ldc, Clip(low, high)};
    const Product of = {quads, chain_length(bits), flip_of(bits), a, lda, sums};
    for (size_t j = 0; j < n; j += panel_columns) {
        const uint8_t* panel = panels + j * 4 * quads;
        const size_t width = n - j < panel_columns ? n - j : panel_columns;
        size_t i = 0;
        int32x4_t of_columns[4];
        read_zeros(zeros + j, width, bits, of_columns);
        for (; i + 2 <= m; i += 2) tile<2>(ends, of, i, panel, j, of_columns, width);
        if (i < m) tile<1>(ends, of, i, panel, j, of_columns, width);
    }
}

void dots_u8s8(unsigned bits, const uint8_t* packed, size_t stride, size_t rows, size_t k, size_t block,
               const int8_t* x, const int32_t* sums, const float* x_scales, const float* scales, const uint8_t* zeros,
               size_t row_step, size_t block_step, float* y) noexcept {
    const Dots of = {packed, stride, k, block, x, sums, x_scales, scales, zeros, row_step, block_step};
    if (bits == 4) {
        all_dots<BlockSums, 4>(of, rows, y);
    } else {
        all_dots<BlockSums, 2>(of, rows, y);
    }
}

}  // namespace bitpress::neon
