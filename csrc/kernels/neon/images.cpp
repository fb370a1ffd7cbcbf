// What convolutions read: rows with their columns sorted, pixels as panels.
#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

static void copy_row(const float* x, size_t n, float* y) noexcept {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, vld1q_f32(x + i));
    if (i < n) store_some(y + i, n - i, load_some(x + i, n - i));
}

static void split_row(const float* x, size_t n, float* even, float* odd) noexcept {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const float32x4x2_t both = vld2q_f32(x + i);
        vst1q_f32(even + i / 2, both.val[0]);
        vst1q_f32(odd + i / 2, both.val[1]);
    }
    for (; i < n; ++i) (i % 2 == 0 ? even : odd)[i / 2] = x[i];
}

}  // namespace

void sort_rows_f32(const float* x, size_t rows, size_t n, size_t first, size_t stride, size_t length, float* y,
                   size_t step) noexcept {
    if (stride > 2) {
        scalar::sort_rows_f32(x, rows, n, first, stride, length, y, step);
        return;
    }
    for (size_t r = 0; r < rows; ++r, x += n, y += step) {
        if (stride == 1) {
            copy_row(x, n, y + first);
        } else if (first % 2 == 0) {
            split_row(x, n, y + first / 2, y + length + first / 2);
        } else {
            split_row(x, n, y + length + first / 2, y + (first + 1) / 2);
        }
    }
}

void gather_panel_f32(const float* x, const size_t* offsets, size_t k, size_t n, size_t room, float* panel) noexcept {
    for (size_t p = 0; p < k; ++p, panel += panel_columns) {
        for (size_t i = 0; i < room; i += 4) {
            const float32x4_t some = i < n ? load_some(x + offsets[p] + i, n - i) : vdupq_n_f32(0.0F);
            store_some(panel + i, room - i, some);
        }
    }
}

}  // namespace bitpress::neon
