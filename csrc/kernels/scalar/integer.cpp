// Products of weights as they are stored with activations of 16 bits.
#include <math.h>

#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

constexpr size_t panel_columns = 16;
constexpr float least = 0x1p-100F;  // columns of smaller values are taken as zeros: their inverse would overflow

// How k values, step apart, become codes.
struct Column {
    bool alive;
    float inverse;
    Column(const float* x, size_t step, size_t k, float largest, float* scale) noexcept {
        float most = 0.0F;
        bool finite = true;
        for (size_t p = 0; p < k; ++p) {
            const float size = fabsf(x[p * step]);
            finite = finite && size <= __FLT_MAX__;
            most = size > most ? size : most;
        }
        alive = finite && most >= least;
        inverse = alive ? largest / most : 0.0F;
        *scale = !finite ? __builtin_nanf("") : alive ? most / largest : 0.0F;
    }
    int code(float x) const noexcept { return alive ? static_cast<int>(rintf(x * inverse)) : 0; }
};

float finish(int32_t sum, float start, float column_scale, float row_scale, float low, float high) noexcept {
    float value = start + static_cast<float>(sum) * column_scale * row_scale;
    value = value < low ? low : value;
    return value > high ? high : value;
}

}  // namespace

void quantize_columns_s16(const float* x, size_t step, size_t k, int largest, int16_t* panel, float* scales) noexcept {
    for (size_t j = 0; j < panel_columns; ++j) {
        const Column column(x + j, step, k, static_cast<float>(largest), scales + j);
        for (size_t p = 0; p < k; ++p) {
            panel[p / 2 * (2 * panel_columns) + j * 2 + p % 2] = static_cast<int16_t>(column.code(x[p * step + j]));
        }
        if (k % 2 != 0) panel[k / 2 * (2 * panel_columns) + j * 2 + 1] = 0;
    }
}

void quantize_columns_s8(const float* x, size_t step, size_t k, int8_t* panel, float* scales, int32_t* sums) noexcept {
    for (size_t j = 0; j < panel_columns; ++j) {
        const Column column(x + j, step, k, 127.0F, scales + j);
        sums[j] = 0;
        for (size_t p = 0; p < (k + 3) / 4 * 4; ++p) {
            const int code = p < k ? column.code(x[p * step + j]) : 0;
            panel[p / 4 * (4 * panel_columns) + j * 4 + p % 4] = static_cast<int8_t>(code);
            sums[j] += code;
        }
    }
}

void widen_codes_s16(const uint8_t* codes, size_t n, int factor, int zero, int16_t* values) noexcept {
    for (size_t i = 0; i < n; ++i) values[i] = static_cast<int16_t>(factor * codes[i] - zero);
}

void gemm_s16(size_t m, size_t n, size_t pairs, const int16_t* a, size_t lda, const int16_t* panels,
              const float* column_scales, const float* row_scales, const float* starts, float* c, size_t ldc, float low,
              float high) noexcept {
    for (size_t i = 0; i < m; ++i) {
        for (size_t j = 0; j < n; ++j) {
            const int16_t* column = panels + j / panel_columns * panel_columns * 2 * pairs + j % panel_columns * 2;
            int32_t sum = 0;
            for (size_t p = 0; p < pairs; ++p) {
                sum += a[i * lda + 2 * p] * column[p * 2 * panel_columns];
                sum += a[i * lda + 2 * p + 1] * column[p * 2 * panel_columns + 1];
            }
            const float start = starts == nullptr ? c[i * ldc + j] : starts[i];
            c[i * ldc + j] = finish(sum, start, column_scales[j], row_scales[i], low, high);
        }
    }
}

void gemm_codes_s8(size_t m, size_t n, size_t quads, const uint8_t* a, size_t lda, int zero, const int8_t* panels,
                   const int32_t* sums, const float* column_scales, const float* row_scales, const float* starts,
                   float* c, size_t ldc, float low, float high) noexcept {
    for (size_t i = 0; i < m; ++i) {
        for (size_t j = 0; j < n; ++j) {
            const int8_t* column = panels + j / panel_columns * panel_columns * 4 * quads + j % panel_columns * 4;
            int32_t sum = -zero * sums[j];
            for (size_t p = 0; p < 4 * quads; ++p) {
                sum += a[i * lda + p] * column[p / 4 * 4 * panel_columns + p % 4];
            }
            const float start = starts == nullptr ? c[i * ldc + j] : starts[i];
            c[i * ldc + j] = finish(sum, start, column_scales[j], row_scales[i], low, high);
        }
    }
}

}  // namespace bitpress::scalar
