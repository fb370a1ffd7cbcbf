// Products of weights as they are stored with activations of 16 bits: pairs of k taken apart by interleaving loads,
// multiplied by lanes (SMLAL), 4 x 16 sums in 16 registers.
#include <string.h>

#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

// Codes of four columns: how one row of them is scaled, and which columns are not all zero.
struct Columns {
    float32x4_t inverse;
    uint32x4_t alive;
    int32x4_t codes(const float* x) const noexcept {
        const int32x4_t rounded = vcvtnq_s32_f32(vmulq_f32(vld1q_f32(x), inverse));
        return vandq_s32(rounded, vreinterpretq_s32_u32(alive));
    }
};

// most: the bits of the largest magnitudes.
static Columns columns(uint32x4_t most, int largest, float* scales) noexcept {
    const uint32x4_t finite = vcltq_u32(most, vdupq_n_u32(0x7F800000));
    const uint32x4_t large = vcgeq_u32(most, vdupq_n_u32((127 - 100) << 23) /* 2^-100 */);
    const uint32x4_t alive = vandq_u32(finite, large);
    const float32x4_t size = vreinterpretq_f32_u32(most);
    const float32x4_t largest_code = vdupq_n_f32(static_cast<float>(largest));
    const uint32x4_t scale = vandq_u32(vreinterpretq_u32_f32(vdivq_f32(size, largest_code)), alive);
    vst1q_f32(scales, vreinterpretq_f32_u32(vbslq_u32(finite, scale, vdupq_n_u32(0x7FC00000))));
    const uint32x4_t inverse = vandq_u32(vreinterpretq_u32_f32(vdivq_f32(largest_code, size)), alive);
    return {vreinterpretq_f32_u32(inverse), alive};
}

template <size_t rows, size_t vectors>
using Sums = int32x4_t[rows][vectors];

// Adds the products of one pair of k, whose factors are lanes 2 * pair and 2 * pair + 1 of each row's.
template <int pair, size_t rows, size_t vectors>
[[gnu::always_inline]] static inline void step(Sums<rows, vectors>& sum, const int16_t* panel,
                                               const int16x8_t* factors) noexcept {
#pragma GCC unroll 2
    for (size_t v = 0; v < vectors; v += 2) {
        const int16x8x2_t b = vld2q_s16(panel + 8 * v);
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            sum[i][v] = vmlal_laneq_s16(sum[i][v], vget_low_s16(b.val[0]), factors[i], 2 * pair);
            sum[i][v + 1] = vmlal_high_laneq_s16(sum[i][v + 1], b.val[0], factors[i], 2 * pair);
        }
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            sum[i][v] = vmlal_laneq_s16(sum[i][v], vget_low_s16(b.val[1]), factors[i], 2 * pair + 1);
            sum[i][v + 1] = vmlal_high_laneq_s16(sum[i][v + 1], b.val[1], factors[i], 2 * pair + 1);
        }
    }
}

// `rows` rows of one panel, of whose columns the first 4 * vectors are computed and `width` from j on stored.
template <size_t rows, size_t vectors>
static void tile(const Ends& ends, size_t pairs, const int16_t* a, size_t lda, size_t row, const int16_t* panel,
                 size_t j, size_t width) noexcept {
    Sums<rows, vectors> sum;
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; ++v) sum[i][v] = vdupq_n_s32(0);
    }
    a += row * lda;
    int16x8_t factors[rows];
    size_t p = 0;
    for (; p + 4 <= pairs; p += 4, panel += 8 * panel_columns) {
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) factors[i] = vld1q_s16(a + i * lda + 2 * p);
        step<0, rows, vectors>(sum, panel, factors);
        step<1, rows, vectors>(sum, panel + 2 * panel_columns, factors);
        step<2, rows, vectors>(sum, panel + 4 * panel_columns, factors);
        step<3, rows, vectors>(sum, panel + 6 * panel_columns, factors);
    }
    for (; p < pairs; ++p, panel += 2 * panel_columns) {
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            int32_t pair;
            memcpy(&pair, a + i * lda + 2 * p, sizeof pair);
            factors[i] = vreinterpretq_s16_s32(vdupq_n_s32(pair));
        }
        step<0, rows, vectors>(sum, panel, factors);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) {
        int32x4_t of_row[vectors];  // a copy: the sums themselves stay in registers
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; ++v) of_row[v] = sum[i][v];
        ends.store(row + i, j, width, of_row);
    }
}

template <size_t vectors>
static void column(const Ends& ends, size_t m, size_t pairs, const int16_t* a, size_t lda, const int16_t* panel,
                   size_t j, size_t width) noexcept {
    by_four(
        m, [&](auto rows, size_t i) { tile<decltype(rows)::count, vectors>(ends, pairs, a, lda, i, panel, j, width); });
}

}  // namespace

void quantize_columns_s16(const float* x, size_t step, size_t k, int largest, int16_t* panel, float* scales) noexcept {
    uint32x4_t most[4];
    for (size_t v = 0; v < 4; ++v) most[v] = vdupq_n_u32(0);
    for (size_t p = 0; p < k; ++p) {
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; ++v) most[v] = vmaxq_u32(most[v], magnitude(vld1q_f32(x + p * step + 4 * v)));
    }
    const Columns of[4] = {columns(most[0], largest, scales), columns(most[1], largest, scales + 4),
                           columns(most[2], largest, scales + 8), columns(most[3], largest, scales + 12)};
    for (size_t p = 0; p < k; p += 2, panel += 2 * panel_columns) {
        const float* first = x + p * step;
#pragma GCC unroll 4
        for (size_t v = 0; v < 4; ++v) {
            const int32x4_t even = of[v].codes(first + 4 * v);
            const int32x4_t odd = p + 1 < k ? of[v].codes(first + step + 4 * v) : vdupq_n_s32(0);
            const int32x4_t pairs = vsliq_n_s32(even, odd, 16);
            vst1q_s16(panel + 8 * v, vreinterpretq_s16_s32(pairs));
        }
    }
}

void widen_codes_s16(const uint8_t* codes, size_t n, int factor, int zero, int16_t* values) noexcept {
    const int16x8_t minus = vdupq_n_s16(static_cast<int16_t>(zero));
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const int16x8_t wide = vreinterpretq_s16_u16(vmovl_u8(vld1_u8(codes + i)));
        vst1q_s16(values + i, vsubq_s16(vmulq_n_s16(wide, static_cast<int16_t>(factor)), minus));
    }
    for (; i < n; ++i) values[i] = static_cast<int16_t>(factor * codes[i] - zero);
}

void gemm_s16(size_t m, size_t n, size_t pairs, const int16_t* a, size_t lda, const int16_t* panels,
              const float* column_scales, const float* row_scales, const float* starts, float* c, size_t ldc, float low,
              float high) noexcept {
    const Ends ends = {column_scales, row_scales, starts, c, ldc, Clip(low, high)};
    for (size_t j = 0; j < n; j += panel_columns) {
        const int16_t* panel = panels + j * 2 * pairs;
        const size_t width = n - j < panel_columns ? n - j : panel_columns;
        if (width > 8) {
            column<4>(ends, m, pairs, a, lda, panel, j, width);
        } else {
            column<2>(ends, m, pairs, a, lda, panel, j, width);
        }
    }
}

}  // namespace bitpress::neon
