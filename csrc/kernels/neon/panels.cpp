// What products of integers read: rows of activations as codes, weights as panels.
#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

struct Values {
    int16x8_t factor, zero;
    Values(int times, int minus) noexcept
        : factor(vdupq_n_s16(static_cast<int16_t>(times))), zero(vdupq_n_s16(static_cast<int16_t>(minus))) {}
    void store(int16_t* to, uint8x16_t codes) const noexcept {
        vst1q_s16(to, of(vmovl_u8(vget_low_u8(codes))));
        vst1q_s16(to + 8, of(vmovl_high_u8(codes)));
    }
    int16x8_t of(uint16x8_t codes) const noexcept {
        return vsubq_s16(vmulq_s16(vreinterpretq_s16_u16(codes), factor), zero);
    }
};

static uint16x8_t zip1(uint16x8_t a, uint16x8_t b) noexcept { return vzip1q_u16(a, b); }
static uint16x8_t zip2(uint16x8_t a, uint16x8_t b) noexcept { return vzip2q_u16(a, b); }

// Codes p.. p + 15 of eight rows to eight steps of two, 8 columns wide.
static void transpose_pairs(const uint8_t* codes, size_t stride, const Values& values, int16_t* panel) noexcept {
    uint16x8_t a[8];
    uint16x8_t b[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) a[i] = vreinterpretq_u16_u8(vld1q_u8(codes + i * stride));
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {  // pairs of codes of rows i and i + 4 side by side
        b[2 * i] = zip1(a[i], a[i + 4]);
        b[2 * i + 1] = zip2(a[i], a[i + 4]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
        a[2 * i] = zip1(b[i], b[i + 4]);
        a[2 * i + 1] = zip2(b[i], b[i + 4]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {
        values.store(panel + 4 * i * panel_columns, vreinterpretq_u8_u16(zip1(a[i], a[i + 4])));
        values.store(panel + (4 * i + 2) * panel_columns, vreinterpretq_u8_u16(zip2(a[i], a[i + 4])));
    }
}

}  // namespace

void quantize_row_s16(const float* x, size_t k, int16_t* codes, float* scale) noexcept {
    const RowCodes row(x, k, 32767.0F);
    *scale = row.scale;
    size_t p = 0;
    for (; p + 8 <= k; p += 8) {
        const int16x8_t low = vreinterpretq_s16_s32(row(vld1q_f32(x + p)));
        const int16x8_t high = vreinterpretq_s16_s32(row(vld1q_f32(x + p + 4)));
        vst1q_s16(codes + p, vuzp1q_s16(low, high));
    }
    for (; p < k; ++p) codes[p] = static_cast<int16_t>(vgetq_lane_s32(row(vld1q_dup_f32(x + p)), 0));
    if (k % 2 != 0) codes[k] = 0;
}

void panel_rows_s16(const uint8_t* codes, size_t stride, size_t width, size_t k, int factor, int zero,
                    int16_t* panels) noexcept {
    const Values values(factor, zero);
    size_t j = 0;
    for (; j + panel_columns <= width; j += panel_columns) {
        const uint8_t* from = codes + j * stride;
        int16_t* panel = panels + j * ((k + 1) / 2 * 2);
        size_t p = 0;
        for (; p + 16 <= k; p += 16) {
            transpose_pairs(from + p, stride, values, panel + p * panel_columns);
            transpose_pairs(from + p + 8 * stride, stride, values, panel + p * panel_columns + 16);
        }
        scalar::panel_rows_s16(from + p, stride, panel_columns, k - p, factor, zero, panel + p * panel_columns);
    }
    scalar::panel_rows_s16(codes + j * stride, stride, width - j, k, factor, zero, panels + j * ((k + 1) / 2 * 2));
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
                const uint8x16_t even = vld1q_u8(codes + p * stride + j);
                const uint8x16_t odd = vld1q_u8(codes + (p + 1) * stride + j);
                int16_t* to = panels + j * apart + p * panel_columns;
                values.store(to, vzip1q_u8(even, odd));
                values.store(to + 16, vzip2q_u8(even, odd));
            }
        }
    }
    for (size_t j = 0; j < whole && pairs < k; j += panel_columns) {
        scalar::panel_columns_s16(codes + pairs * stride + j, stride, panel_columns, 1, factor, zero,
                                  panels + j * apart + pairs * panel_columns);
    }
    scalar::panel_columns_s16(codes + whole, stride, width - whole, k, factor, zero, panels + whole * apart);
}

}  // namespace bitpress::neon
