// What convolutions read: rows with their columns sorted, pixels as panels.
#include "kernels/kernels.h"

namespace bitpress::scalar {

void sort_rows_f32(const float* x, size_t rows, size_t n, size_t first, size_t stride, size_t length, float* y,
                   size_t step) noexcept {
    for (size_t r = 0; r < rows; ++r, x += n, y += step) {
        for (size_t part = 0; part < stride && part < n; ++part) {
            float* to = y + (first + part) % stride * length + (first + part) / stride;
            for (size_t i = part; i < n; i += stride) *to++ = x[i];
        }
    }
}

void gather_panel_f32(const float* x, const size_t* offsets, size_t k, size_t n, size_t room, float* panel) noexcept {
    constexpr size_t columns = 16;
    for (size_t p = 0; p < k; ++p) {
        for (size_t i = 0; i < n; ++i) panel[p * columns + i] = x[offsets[p] + i];
        for (size_t i = n; i < room; ++i) panel[p * columns + i] = 0.0F;
    }
}

}  // namespace bitpress::scalar
