// What several files of this folder and of dotprod/ do with four lanes. Nothing of it may leave a file that includes it
// (docs/design.md, "The dispatch seam").
#pragma once

#include <arm_neon.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

constexpr size_t panel_columns = 16;

// The first n of four floats, all of them where n is more; the others are 0, and are not read.
static inline float32x4_t load_some(const float* x, size_t n) noexcept {
    if (n >= 4) return vld1q_f32(x);
    const float32x2_t none = vdup_n_f32(0.0F);
    const float32x2_t low = n >= 2 ? vld1_f32(x) : n == 1 ? vld1_lane_f32(x, none, 0) : none;
    return vcombine_f32(low, n == 3 ? vld1_lane_f32(x + 2, none, 0) : none);
}

static inline void store_some(float* y, size_t n, float32x4_t v) noexcept {
    if (n >= 4) {
        vst1q_f32(y, v);
        return;
    }
    if (n >= 2) vst1_f32(y, vget_low_f32(v));
    if (n == 1) vst1q_lane_f32(y, v, 0);
    if (n == 3) vst1q_lane_f32(y + 2, v, 2);
}

struct Clip {
    float32x4_t low, high;
    Clip(float lowest, float highest) noexcept : low(vdupq_n_f32(lowest)), high(vdupq_n_f32(highest)) {}
};

// Comparisons, not min and max: NaN passes, and so does the sign of a zero, as in scalar code.
static inline float32x4_t clip(float32x4_t x, const Clip& to) noexcept {
    x = vbslq_f32(vcltq_f32(x, to.low), to.low, x);
    return vbslq_f32(vcgtq_f32(x, to.high), to.high, x);
}

// The bits of magnitudes; as integers they are in order, with infinity and NaN above.
static inline uint32x4_t magnitude(float32x4_t x) noexcept {
    return vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(0x7FFFFFFF));
}

// How a row of k floats becomes codes of -most_code..most_code (quantize_row_* of kernels.def).
struct RowCodes {
    bool alive;
    float scale;          // 0 where the row is taken as zeros, NaN where it holds NaN or infinity
    float32x4_t inverse;  // 0 where not alive
    uint32x4_t keep;      // all ones where alive

    RowCodes(const float* x, size_t k, float most_code) noexcept {
        uint32x4_t most4[2] = {vdupq_n_u32(0), vdupq_n_u32(0)};
        size_t p = 0;
        for (; p + 8 <= k; p += 8) {
            most4[0] = vmaxq_u32(most4[0], magnitude(vld1q_f32(x + p)));
            most4[1] = vmaxq_u32(most4[1], magnitude(vld1q_f32(x + p + 4)));
        }
        for (; p < k; p += 4) most4[0] = vmaxq_u32(most4[0], magnitude(load_some(x + p, k - p)));
        const uint32_t most = vmaxvq_u32(vmaxq_u32(most4[0], most4[1]));
        const bool finite = most < 0x7F800000U;
        alive = finite && most >= (127U - 100U) << 23U /* 2^-100 */;
        const float size = vgetq_lane_f32(vreinterpretq_f32_u32(vdupq_n_u32(most)), 0);
        scale = !finite ? __builtin_nanf("") : alive ? size / most_code : 0.0F;
        inverse = vdupq_n_f32(alive ? most_code / size : 0.0F);
        keep = vdupq_n_u32(alive ? 0xFFFFFFFFU : 0);
    }
    int32x4_t operator()(float32x4_t x) const noexcept {
        const int32x4_t codes = vcvtnq_s32_f32(vmulq_f32(x, inverse));
        return vandq_s32(codes, vreinterpretq_s32_u32(keep));
    }
};

// A sum of products of integers as a float, from `start` on; no fused operation.
static inline float32x4_t finish(int32x4_t sum, float32x4_t start, float32x4_t column_scales, float row_scale,
                                 const Clip& to) noexcept {
    const float32x4_t scaled = vmulq_f32(vmulq_f32(vcvtq_f32_s32(sum), column_scales), vdupq_n_f32(row_scale));
    return clip(vaddq_f32(start, scaled), to);
}

// What products of integers of a panel do with their sums: kernels.def, gemm_s16 and gemm_u8s8.
struct Ends {
    const float* column_scales;
    const float* row_scales;
    const float* starts;
    float* c;
    size_t ldc;
    Clip to;

    // Row `row`, `width` columns from j on. Not inline: once a row, it would be most of the code.
    [[gnu::noinline]] void store(size_t row, size_t j, size_t width, const int32x4_t* sums) const noexcept {
        float* out = c + row * ldc + j;
        for (size_t v = 0; 4 * v < width; ++v, out += 4) {
            const size_t n = width - 4 * v;
            const float32x4_t start = starts != nullptr ? vdupq_n_f32(starts[row]) : load_some(out, n);
            const float32x4_t scales = load_some(column_scales + j + 4 * v, n);
            store_some(out, n, finish(sums[v], start, scales, row_scales[row], to));
        }
    }
};

// Four vectors of words, row by row, to column by column.
static inline void transpose(uint32x4_t a[4]) noexcept {
    const uint32x4_t low[2] = {vzip1q_u32(a[0], a[2]), vzip1q_u32(a[1], a[3])};
    const uint32x4_t high[2] = {vzip2q_u32(a[0], a[2]), vzip2q_u32(a[1], a[3])};
    a[0] = vzip1q_u32(low[0], low[1]);
    a[1] = vzip2q_u32(low[0], low[1]);
    a[2] = vzip1q_u32(high[0], high[1]);
    a[3] = vzip2q_u32(high[0], high[1]);
}

template <size_t n>
struct Rows {
    static constexpr size_t count = n;
};

// tile(Rows<n>{}, i) for rows i.. i + n - 1 of m: four at a time, then the rest.
template <class Tile>
[[gnu::always_inline]] static inline void by_four(size_t m, const Tile& tile) noexcept {
    size_t i = 0;
    for (; i + 4 <= m; i += 4) tile(Rows<4>{}, i);
    switch (m - i) {
        case 1: tile(Rows<1>{}, i); break;
        case 2: tile(Rows<2>{}, i); break;
        case 3: tile(Rows<3>{}, i); break;
        default: break;
    }
}

}  // namespace
}  // namespace bitpress::neon
