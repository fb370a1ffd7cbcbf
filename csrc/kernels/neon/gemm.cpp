// Float matrix products: 4 x 16 sums in 16 registers, factors as lanes; matrix-vector products four rows at a time.
#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

template <size_t rows, size_t vectors>
using Sums = float32x4_t[rows][vectors];

// Adds the products of one k, whose factors are lane `lane` of each row's.
template <int lane, size_t rows, size_t vectors>
[[gnu::always_inline]] static inline void step(Sums<rows, vectors>& sum, const float* b,
                                               const float32x4_t* factors) noexcept {
    float32x4_t column[vectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < vectors; ++v) column[v] = vld1q_f32(b + 4 * v);
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; ++v) sum[i][v] = vfmaq_laneq_f32(sum[i][v], column[v], factors[i], lane);
    }
}

// Adds `vectors` of sums to *start, or to `width` floats of C. Not inline: once a row, it would be most of the code.
[[gnu::noinline]] static void add(const float* start, float* c, size_t width, size_t vectors, const float32x4_t* sums,
                                  const Clip& to) noexcept {
    for (size_t v = 0; v < vectors; ++v, c += 4) {
        const size_t n = width - 4 * v;
        const float32x4_t before = start == nullptr ? load_some(c, n) : vld1q_dup_f32(start);
        store_some(c, n, clip(vaddq_f32(before, sums[v]), to));
    }
}

// `rows` x `width` of C, which takes `vectors` of four columns.
template <size_t rows, size_t vectors>
static void tile(size_t k, const float* a, size_t lda, const float* b, const float* starts, float* c, size_t ldc,
                 size_t width, const Clip& to) noexcept {
    Sums<rows, vectors> sum;
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) {
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; ++v) sum[i][v] = vdupq_n_f32(0.0F);
    }
    float32x4_t factors[rows];
    size_t p = 0;
    for (; p + 4 <= k; p += 4) {
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) factors[i] = vld1q_f32(a + i * lda + p);
        step<0, rows, vectors>(sum, b + p * panel_columns, factors);
        step<1, rows, vectors>(sum, b + (p + 1) * panel_columns, factors);
        step<2, rows, vectors>(sum, b + (p + 2) * panel_columns, factors);
        step<3, rows, vectors>(sum, b + (p + 3) * panel_columns, factors);
    }
    for (; p < k; ++p) {
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) factors[i] = vld1q_dup_f32(a + i * lda + p);
        step<0, rows, vectors>(sum, b + p * panel_columns, factors);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) {
        float32x4_t of_row[vectors];  // a copy: the sums themselves stay in registers
#pragma GCC unroll 4
        for (size_t v = 0; v < vectors; ++v) of_row[v] = sum[i][v];
        add(starts == nullptr ? nullptr : starts + i, c + i * ldc, width, vectors, of_row, to);
    }
}

template <size_t vectors>
static void column(size_t m, size_t k, const float* a, size_t lda, const float* b, const float* starts, float* c,
                   size_t ldc, size_t width, const Clip& to) noexcept {
    by_four(m, [&](auto rows, size_t i) {
        const float* of_rows = starts == nullptr ? nullptr : starts + i;
        tile<decltype(rows)::count, vectors>(k, a + i * lda, lda, b, of_rows, c + i * ldc, ldc, width, to);
    });
}

template <size_t rows>
static void dots(size_t k, const float* a, size_t lda, const float* x, float* y) noexcept {
    float32x4_t even[rows];
    float32x4_t odd[rows];
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) even[i] = odd[i] = vdupq_n_f32(0.0F);
    size_t p = 0;
    for (; p + 8 <= k; p += 8) {
        const float32x4_t x0 = vld1q_f32(x + p);
        const float32x4_t x1 = vld1q_f32(x + p + 4);
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            even[i] = vfmaq_f32(even[i], vld1q_f32(a + i * lda + p), x0);
            odd[i] = vfmaq_f32(odd[i], vld1q_f32(a + i * lda + p + 4), x1);
        }
    }
    for (; p < k; p += 4) {
        const float32x4_t x0 = load_some(x + p, k - p);
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) even[i] = vfmaq_f32(even[i], load_some(a + i * lda + p, k - p), x0);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) y[i] += vaddvq_f32(vaddq_f32(even[i], odd[i]));
}

}  // namespace

void gemm_f32(size_t m, size_t n, size_t k, const float* a, size_t lda, const float* b, const float* starts, float* c,
              size_t ldc, float low, float high) noexcept {
    const Clip to(low, high);
    for (size_t j = 0; j < n; j += panel_columns) {
        const size_t width = n - j < panel_columns ? n - j : panel_columns;
        switch ((width + 3) / 4) {
            case 1: column<1>(m, k, a, lda, b + j * k, starts, c + j, ldc, width, to); break;
            case 2: column<2>(m, k, a, lda, b + j * k, starts, c + j, ldc, width, to); break;
            case 3: column<3>(m, k, a, lda, b + j * k, starts, c + j, ldc, width, to); break;
            default: column<4>(m, k, a, lda, b + j * k, starts, c + j, ldc, width, to); break;
        }
    }
}

void gemv_f32(size_t m, size_t k, const float* a, size_t lda, const float* x, float* y) noexcept {
    size_t i = 0;
    for (; i + 4 <= m; i += 4) dots<4>(k, a + i * lda, lda, x, y + i);
    for (; i < m; ++i) dots<1>(k, a + i * lda, lda, x, y + i);
}

// Squares of 4 x 4, transposed.
void pack_panel_f32(const float* a, size_t lda, size_t rows, size_t k, float* panel) noexcept {
    size_t j = 0;
    for (; j + 4 <= k; j += 4) {
        for (size_t first = 0; first < panel_columns; first += 4) {
            uint32x4_t square[4];
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; ++i) {
                const bool held = first + i < rows;
                square[i] = held ? vreinterpretq_u32_f32(vld1q_f32(a + (first + i) * lda + j)) : vdupq_n_u32(0);
            }
            transpose(square);
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; ++i) {
                vst1q_f32(panel + (j + i) * panel_columns + first, vreinterpretq_f32_u32(square[i]));
            }
        }
    }
    scalar::pack_panel_f32(a + j, lda, rows, k - j, panel + j * panel_columns);
}

}  // namespace bitpress::neon
