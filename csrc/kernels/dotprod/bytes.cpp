// Products of weight codes of 2 to 8 bits with activations of 8 bits by SDOT: 4 x 16 sums in 16 registers, quads as
// lanes.
#include <string.h>

#include "kernels/dotprod/overrides.h"
#include "kernels/neon/dots.h"
#include "kernels/neon/vectors.h"

namespace bitpress::dotprod {
namespace {

using neon::panel_columns;

template <size_t rows>
using Sums = int32x4_t[rows][4];

// Adds the products of one quad of k, whose factors are lane `quad` of each row's.
template <int quad, size_t rows>
[[gnu::always_inline]] static inline void step(Sums<rows>& sum, const uint8_t* panel, uint8x16_t flip,
                                               const int8x16_t* factors) noexcept {
    int8x16_t b[4];
#pragma GCC unroll 4
    for (size_t v = 0; v < 4; ++v) b[v] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(panel + 16 * v), flip));
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; ++v) sum[i][v] = vdotq_laneq_s32(sum[i][v], b[v], factors[i], quad);
    }
}

struct Product {
    size_t quads;
    uint8x16_t flip;  // codes of 8 bits lose 128, so that they are signed bytes
    const int8_t* a;
    size_t lda;
    const int32_t* sums;
};

template <size_t rows>
static void tile(const neon::Ends& ends, const Product& of, size_t row, const uint8_t* panel, size_t j,
                 const int32x4_t* zeros, size_t width) noexcept {
    Sums<rows> sum;
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; ++v) sum[i][v] = vmulq_n_s32(zeros[v], -of.sums[row + i]);
    }
    const int8_t* a = of.a + row * of.lda;
    int8x16_t factors[rows];
    size_t q = 0;
    for (; q + 4 <= of.quads; q += 4, panel += 16 * panel_columns) {
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) factors[i] = vld1q_s8(a + i * of.lda + 4 * q);
        step<0, rows>(sum, panel, of.flip, factors);
        step<1, rows>(sum, panel + 4 * panel_columns, of.flip, factors);
        step<2, rows>(sum, panel + 8 * panel_columns, of.flip, factors);
        step<3, rows>(sum, panel + 12 * panel_columns, of.flip, factors);
    }
    for (; q < of.quads; ++q, panel += 4 * panel_columns) {
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            int32_t quad;
            memcpy(&quad, a + i * of.lda + 4 * q, sizeof quad);
            factors[i] = vreinterpretq_s8_s32(vdupq_n_s32(quad));
        }
        step<0, rows>(sum, panel, of.flip, factors);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) {
        int32x4_t of_row[4];  // a copy: the sums themselves stay in registers
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; ++v) of_row[v] = sum[i][v];
        ends.store(row + i, j, width, of_row);
    }
}

struct BlockSums {
    template <unsigned bits, size_t rows>
    static void of(const uint8_t* packed, size_t stride, size_t bytes, const int8_t* x, int32x4_t* sums) noexcept {
        const uint8x16_t mask = vdupq_n_u8((1 << bits) - 1);
        int32x4_t odd[rows];  // two sums a row: SDOT takes some cycles
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; ++r) sums[r] = odd[r] = vdupq_n_s32(0);
        for (size_t at = 0; at < bytes; at += 32, x += 32 * (8 / bits)) {
#pragma GCC unroll 4
            for (size_t r = 0; r < rows; ++r) {
                uint8x16_t low = vld1q_u8(packed + r * stride + at);
                uint8x16_t high = vld1q_u8(packed + r * stride + at + 16);
#pragma GCC unroll 4
                for (size_t i = 0; i < 8 / bits; ++i) {
                    sums[r] = vdotq_s32(sums[r], vreinterpretq_s8_u8(vandq_u8(low, mask)), vld1q_s8(x + 32 * i));
                    odd[r] = vdotq_s32(odd[r], vreinterpretq_s8_u8(vandq_u8(high, mask)), vld1q_s8(x + 32 * i + 16));
                    low = vshrq_n_u8(low, bits);
                    high = vshrq_n_u8(high, bits);
                }
            }
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; ++r) sums[r] = vaddq_s32(sums[r], odd[r]);
    }
};

}  // namespace

void gemm_u8s8(size_t m, size_t n, size_t quads, unsigned bits, const int8_t* a, size_t lda, const int32_t* sums,
               const uint8_t* panels, const int32_t* zeros, const float* column_scales, const float* row_scales,
               const float* starts, float* c, size_t ldc, float low, float high) noexcept {
    const neon::Ends ends = {column_scales, row_scales, starts, c, ldc, neon::Clip(low, high)};
    const Product of = {quads, neon::flip_of(bits), a, lda, sums};
    for (size_t j = 0; j < n; j += panel_columns) {
        const uint8_t* panel = panels + j * 4 * quads;
        const size_t width = n - j < panel_columns ? n - j : panel_columns;
        int32x4_t of_columns[4];
        neon::read_zeros(zeros + j, width, bits, of_columns);
        neon::by_four(
            m, [&](auto rows, size_t i) { tile<decltype(rows)::count>(ends, of, i, panel, j, of_columns, width); });
    }
}

void dots_u8s8(unsigned bits, const uint8_t* packed, size_t stride, size_t rows, size_t k, size_t block,
               const int8_t* x, const int32_t* sums, const float* x_scales, const float* scales, const uint8_t* zeros,
               size_t row_step, size_t block_step, float* y) noexcept {
    const neon::Dots of = {packed, stride, k, block, x, sums, x_scales, scales, zeros, row_step, block_step};
    if (bits == 4) {
        neon::all_dots<BlockSums, 4>(of, rows, y);
    } else {
        neon::all_dots<BlockSums, 2>(of, rows, y);
    }
}

}  // namespace bitpress::dotprod
