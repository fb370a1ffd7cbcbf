// What products of integers read: rows of activations as codes, weights as panels.
#include "kernels/kernels.h"
#include "kernels/scalar/row_codes.h"

namespace bitpress::scalar {
namespace {

constexpr size_t panel_columns = 16;

// row_step, column_step: from one k to the next, from one column to the next.
void fill_panels(const uint8_t* codes, size_t row_step, size_t column_step, size_t width, size_t k, int factor,
                 int zero, int16_t* panels) noexcept {
    const size_t even = (k + 1) / 2 * 2;
    for (size_t j = 0; j < (width + panel_columns - 1) / panel_columns * panel_columns; ++j) {
        int16_t* to = panels + j / panel_columns * panel_columns * even + j % panel_columns * 2;
        for (size_t p = 0; p < even; ++p) {
            const bool held = p < k && j < width;
            const int value = held ? factor * codes[p * row_step + j * column_step] - zero : 0;
            to[p / 2 * (2 * panel_columns) + p % 2] = static_cast<int16_t>(value);
        }
    }
}

}  // namespace

void quantize_row_s16(const float* x, size_t k, int16_t* codes, float* scale) noexcept {
    const RowCodes row(x, k, 32767.0F);
    *scale = row.scale;
    for (size_t p = 0; p < k; ++p) codes[p] = static_cast<int16_t>(row(x[p]));
    if (k % 2 != 0) codes[k] = 0;
}

void panel_rows_s16(const uint8_t* codes, size_t stride, size_t width, size_t k, int factor, int zero,
                    int16_t* panels) noexcept {
    fill_panels(codes, 1, stride, width, k, factor, zero, panels);
}

void panel_columns_s16(const uint8_t* codes, size_t stride, size_t width, size_t k, int factor, int zero,
                       int16_t* panels) noexcept {
    fill_panels(codes, stride, 1, width, k, factor, zero, panels);
}

}  // namespace bitpress::scalar
