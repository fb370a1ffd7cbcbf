// What products of bytes read: rows of activations as 8-bit codes, weight codes as panels of quads.
#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

// 16 floats as codes in their order.
static int8x16_t codes_of(const float* x, const RowCodes& row) noexcept {
    int16x8_t part[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) part[i] = vreinterpretq_s16_s32(row(vld1q_f32(x + 4 * i)));
    const int16x8_t low = vuzp1q_s16(part[0], part[1]);
    const int16x8_t high = vuzp1q_s16(part[2], part[3]);
    return vuzp1q_s8(vreinterpretq_s8_s16(low), vreinterpretq_s8_s16(high));
}

// 32 * spread codes in their order to where they stand: number r * spread + i at 32 * i + r.
static void stand(const int8_t* in_order, size_t spread, int8_t* codes) noexcept {
    for (size_t r = 0; r < 32; r += 16) {
        if (spread == 2) {
            const int8x16x2_t two = vld2q_s8(in_order + 2 * r);
            vst1q_s8(codes + r, two.val[0]);
            vst1q_s8(codes + 32 + r, two.val[1]);
        } else {
            const int8x16x4_t four = vld4q_s8(in_order + 4 * r);
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; ++i) vst1q_s8(codes + 32 * i + r, four.val[i]);
        }
    }
}

// 16 bytes of each of four rows to quads of codes, 4 columns wide: words transposed, then codes by shifts.
template <int bits>
static void quads_of(const uint8_t* packed, size_t stride, uint8_t* panel) noexcept {
    uint32x4_t words[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) words[i] = vreinterpretq_u32_u8(vld1q_u8(packed + i * stride));
    transpose(words);
    const uint8x16_t mask = vdupq_n_u8((1 << bits) - 1);
#pragma GCC unroll 4
    for (size_t w = 0; w < 4; ++w) {
        uint8x16_t word = vreinterpretq_u8_u32(words[w]);
#pragma GCC unroll 4
        for (size_t i = 0; i < 8 / bits; ++i) {
            vst1q_u8(panel + (8 * i + w) * 4 * panel_columns, vandq_u8(word, mask));
            word = vshrq_n_u8(word, bits);
        }
    }
}

template <int bits>
static void panels_of(const uint8_t* packed, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    for (size_t j = 0; j + panel_columns <= width; j += panel_columns) {
        for (size_t p = 0; p < k; p += 256 / bits) {
            const uint8_t* from = packed + j * stride + p * bits / 8;
            uint8_t* to = panels + j * k + p * panel_columns;
            for (size_t row = 0; row < panel_columns; row += 4) {
                quads_of<bits>(from + row * stride, stride, to + 4 * row);
                quads_of<bits>(from + row * stride + 16, stride, to + 4 * row + 4 * 4 * panel_columns);
            }
        }
    }
}

}  // namespace

void quantize_row_s8(const float* x, size_t k, size_t spread, int8_t* codes, float* scale, int32_t* sum) noexcept {
    const RowCodes row(x, k, 127.0F);
    *scale = row.scale;
    int32x4_t sums = vdupq_n_s32(0);
    size_t p = 0;
    for (; p + 32 * spread <= k; p += 32 * spread) {
        int8_t in_order[128];
        int8_t* to = spread == 1 ? codes + p : in_order;
        for (size_t i = 0; i < 32 * spread; i += 16) {
            const int8x16_t some = codes_of(x + p + i, row);
            sums = vpadalq_s16(sums, vpaddlq_s8(some));
            vst1q_s8(to + i, some);
        }
        if (spread > 1) stand(in_order, spread, codes + p);
    }
    *sum = vaddvq_s32(sums);
    for (; p < k; ++p) {
        codes[p] = static_cast<int8_t>(vgetq_lane_s32(row(vld1q_dup_f32(x + p)), 0));
        *sum += codes[p];
    }
    for (; p % 4 != 0; ++p) codes[p] = 0;
}

void panel_columns_u8(const uint8_t* codes, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    const size_t deep = (k + 3) / 4 * 4;
    size_t j = 0;
    for (; j + panel_columns <= width; j += panel_columns) {
        uint8_t* panel = panels + j * deep;
        size_t p = 0;
        for (; p + 4 <= k; p += 4) {
            uint8x16x4_t rows;
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; ++i) rows.val[i] = vld1q_u8(codes + (p + i) * stride + j);
            vst4q_u8(panel + p * panel_columns, rows);
        }
        scalar::panel_columns_u8(codes + p * stride + j, stride, panel_columns, k - p, panel + p * panel_columns);
    }
    scalar::panel_columns_u8(codes + j, stride, width - j, k, panels + j * deep);
}

void panel_packed_u8(unsigned bits, const uint8_t* packed, size_t stride, size_t width, size_t k,
                     uint8_t* panels) noexcept {
    if (bits == 4) {
        panels_of<4>(packed, stride, width, k, panels);
    } else {
        panels_of<2>(packed, stride, width, k, panels);
    }
    const size_t whole = width / panel_columns * panel_columns;
    scalar::panel_packed_u8(bits, packed + whole * stride, stride, width - whole, k, panels + whole * k);
}

void spread_panel_u8(unsigned bits, const uint8_t* packed, size_t k, uint8_t* panel) noexcept {
    constexpr size_t quad = 4 * panel_columns;  // bytes of one
    const uint8x16_t mask = vdupq_n_u8(static_cast<uint8_t>((1U << bits) - 1U));
    for (size_t p = 0; p < k; p += 32 / bits, packed += quad) {
        uint8x16_t word[4];
        for (size_t v = 0; v < 4; ++v) word[v] = vld1q_u8(packed + 16 * v);
        for (unsigned shift = 0; shift < 8; shift += bits, panel += quad) {
            const int8x16_t down = vdupq_n_s8(static_cast<int8_t>(-static_cast<int>(shift)));
            for (size_t v = 0; v < 4; ++v) vst1q_u8(panel + 16 * v, vandq_u8(vshlq_u8(word[v], down), mask));
        }
    }
}

}  // namespace bitpress::neon
