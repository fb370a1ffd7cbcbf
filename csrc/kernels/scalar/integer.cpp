// Products of weights as they are stored with activations of 16 bits.
#include <math.h>

#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

constexpr size_t panel_columns = 16;
constexpr float largest_code = 32767.0F;
constexpr float least = 0x1p-100F;  // columns of smaller values are taken as zeros: their inverse would overflow

}  // namespace

void quantize_columns_s16(const float* x, size_t step, size_t k, int16_t* panel, float* scales) noexcept {
    for (size_t j = 0; j < panel_columns; ++j) {
        float most = 0.0F;
        bool finite = true;
        for (size_t p = 0; p < k; ++p) {
            const float size = fabsf(x[p * step + j]);
            finite = finite && size <= __FLT_MAX__;
            most = size > most ? size : most;
        }
        const bool alive = finite && most >= least;
        const float inverse = alive ? largest_code / most : 0.0F;
        scales[j] = !finite ? __builtin_nanf("") : alive ? most / largest_code : 0.0F;
        for (size_t p = 0; p < k; ++p) {
            const float code = alive ? rintf(x[p * step + j] * inverse) : 0.0F;
            panel[p / 2 * (2 * panel_columns) + j * 2 + p % 2] = static_cast<int16_t>(code);
        }
        if (k % 2 != 0) panel[k / 2 * (2 * panel_columns) + j * 2 + 1] = 0;
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
            const float scaled = static_cast<float>(sum) * column_scales[j] * row_scales[i];
            float value = (starts == nullptr ? c[i * ldc + j] : starts[i]) + scaled;
            value = value < low ? low : value;
            c[i * ldc + j] = value > high ? high : value;
        }
    }
}

}  // namespace bitpress::scalar
