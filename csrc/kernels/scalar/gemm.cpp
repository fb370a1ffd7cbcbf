// Float matrix products over packed panels of 16 columns.
#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

constexpr size_t panel = 16;
constexpr size_t block = 4;  // rows whose sums are kept at once

float clip(float x, float low, float high) noexcept {
    x = x < low ? low : x;
    return x > high ? high : x;
}

// rows (at most 4) x 16 sums over k.
void sums(size_t rows, size_t k, const float* a, size_t lda, const float* b, float (*sum)[panel]) noexcept {
    for (size_t i = 0; i < rows; ++i) {
        for (size_t j = 0; j < panel; ++j) sum[i][j] = 0.0F;
    }
    for (size_t p = 0; p < k; ++p) {
        for (size_t i = 0; i < rows; ++i) {
            const float factor = a[i * lda + p];
            for (size_t j = 0; j < panel; ++j) sum[i][j] += factor * b[p * panel + j];
        }
    }
}

}  // namespace

void gemm_f32(size_t m, size_t n, size_t k, const float* a, size_t lda, const float* b, const float* starts, float* c,
              size_t ldc, float low, float high) noexcept {
    for (size_t column = 0; column < n; column += panel) {
        const size_t width = n - column < panel ? n - column : panel;
        for (size_t row = 0; row < m; row += block) {
            const size_t rows = m - row < block ? m - row : block;
            float sum[block][panel];
            sums(rows, k, a + row * lda, lda, b + column * k, sum);
            for (size_t i = 0; i < rows; ++i) {
                float* out = c + (row + i) * ldc + column;
                for (size_t j = 0; j < width; ++j) {
                    out[j] = clip((starts == nullptr ? out[j] : starts[row + i]) + sum[i][j], low, high);
                }
            }
        }
    }
}

void gemv_f32(size_t m, size_t k, const float* a, size_t lda, const float* x, float* y) noexcept {
    constexpr size_t lanes = 8;  // independent sums: less error, and the compiler may use vectors
    for (size_t i = 0; i < m; ++i) {
        const float* row = a + i * lda;
        float sum[lanes] = {};
        size_t p = 0;
        for (; p + lanes <= k; p += lanes) {
            for (size_t j = 0; j < lanes; ++j) sum[j] += row[p + j] * x[p + j];
        }
        float total = 0.0F;
        for (; p < k; ++p) total += row[p] * x[p];
        for (size_t j = 0; j < lanes; ++j) total += sum[j];
        y[i] += total;
    }
}

void pack_panel_f32(const float* a, size_t lda, size_t rows, size_t k, float* out) noexcept {
    for (size_t j = 0; j < k; ++j) {
        for (size_t i = 0; i < rows; ++i) out[j * panel + i] = a[i * lda + j];
        for (size_t i = rows; i < panel; ++i) out[j * panel + i] = 0.0F;
    }
}

}  // namespace bitpress::scalar
