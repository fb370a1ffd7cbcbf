// Products of weight codes of 2 to 8 bits with activations of 8 bits.
#include "kernels/kernels.h"
#include "kernels/scalar/row_codes.h"

namespace bitpress::scalar {
namespace {

constexpr size_t panel_columns = 16;

// Where number p of k stands.
size_t place(size_t p, size_t spread) noexcept {
    const size_t in_block = p % (32 * spread);
    return p - in_block + in_block % spread * 32 + in_block / spread;
}

// Code p of a packed row.
unsigned code(const uint8_t* packed, unsigned bits, size_t p) noexcept {
    return packed[p * bits / 8] >> p * bits % 8 & ((1U << bits) - 1U);
}

float clip(float x, float low, float high) noexcept {
    x = x < low ? low : x;
    return x > high ? high : x;
}

}  // namespace

void quantize_row_s8(const float* x, size_t k, size_t spread, int8_t* codes, float* scale, int32_t* sum) noexcept {
    const RowCodes row(x, k, 127.0F);
    *scale = row.scale;
    *sum = 0;
    for (size_t p = 0; p < k; ++p) {
        const auto rounded = static_cast<int8_t>(row(x[p]));
        codes[spread == 1 ? p : place(p, spread)] = rounded;
        *sum += rounded;
    }
    for (size_t p = k; p % 4 != 0; ++p) codes[p] = 0;
}

void panel_columns_u8(const uint8_t* codes, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    const size_t deep = (k + 3) / 4 * 4;
    for (size_t j = 0; j < (width + panel_columns - 1) / panel_columns * panel_columns; ++j) {
        uint8_t* to = panels + j / panel_columns * panel_columns * deep + j % panel_columns * 4;
        for (size_t p = 0; p < deep; ++p) {
            to[p / 4 * (4 * panel_columns) + p % 4] = p < k && j < width ? codes[p * stride + j] : uint8_t{0};
        }
    }
}

void panel_rows_u8(const uint8_t* codes, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    const size_t deep = (k + 3) / 4 * 4;
    for (size_t j = 0; j < (width + panel_columns - 1) / panel_columns * panel_columns; ++j) {
        uint8_t* to = panels + j / panel_columns * panel_columns * deep + j % panel_columns * 4;
        for (size_t p = 0; p < deep; ++p) {
            to[p / 4 * (4 * panel_columns) + p % 4] = p < k && j < width ? codes[j * stride + p] : uint8_t{0};
        }
    }
}

void panel_packed_u8(unsigned bits, const uint8_t* packed, size_t stride, size_t width, size_t k,
                     uint8_t* panels) noexcept {
    for (size_t j = 0; j < (width + panel_columns - 1) / panel_columns * panel_columns; ++j) {
        uint8_t* to = panels + j / panel_columns * panel_columns * k + j % panel_columns * 4;
        for (size_t p = 0; p < k; ++p) {
            const size_t at = place(p, 8 / bits);
            const unsigned value = j < width ? code(packed + j * stride, bits, p) : 0;
            to[at / 4 * (4 * panel_columns) + at % 4] = static_cast<uint8_t>(value);
        }
    }
}

void spread_panel_u8(unsigned bits, const uint8_t* packed, size_t k, uint8_t* panel) noexcept {
    constexpr size_t quads = 4 * panel_columns;  // bytes of one
    for (size_t p = 0; p < k; p += 32 / bits, packed += quads) {
        for (unsigned shift = 0; shift < 8; shift += bits, panel += quads) {
            for (size_t j = 0; j < quads; ++j)
                panel[j] = static_cast<uint8_t>(packed[j] >> shift & ((1U << bits) - 1U));
        }
    }
}

void gemm_u8s8(size_t m, size_t n, size_t quads, unsigned bits, const int8_t* a, size_t lda, const int32_t* sums,
               const uint8_t* panels, const int32_t* zeros, const float* column_scales, const float* row_scales,
               const float* starts, float* c, size_t ldc, float low, float high) noexcept {
    (void)bits;  // no code here comes near the bounds of its sum
    for (size_t i = 0; i < m; ++i) {
        for (size_t j = 0; j < n; ++j) {
            const uint8_t* column = panels + j / panel_columns * panel_columns * 4 * quads + j % panel_columns * 4;
            int32_t sum = -zeros[j] * sums[i];
            for (size_t p = 0; p < 4 * quads; ++p) sum += a[i * lda + p] * column[p / 4 * (4 * panel_columns) + p % 4];
            const float scaled = static_cast<float>(sum) * column_scales[j] * row_scales[i];
            c[i * ldc + j] = clip((starts == nullptr ? c[i * ldc + j] : starts[i]) + scaled, low, high);
        }
    }
}

void dots_u8s8(unsigned bits, const uint8_t* packed, size_t stride, size_t rows, size_t k, size_t block,
               const int8_t* x, const int32_t* sums, const float* x_scales, const float* scales, const uint8_t* zeros,
               size_t row_step, size_t block_step, float* y) noexcept {
    for (size_t j = 0; j < rows; ++j) {
        for (size_t first = 0, b = 0; first < k; first += block, ++b) {
            const size_t at = j * row_step + b * block_step;
            int32_t sum = -(zeros == nullptr ? 1 << (bits - 1U) : int{zeros[at]}) * sums[b];
            for (size_t p = first; p < k && p < first + block; ++p) {
                sum += static_cast<int>(code(packed + j * stride, bits, p)) * x[place(p, 8 / bits)];
            }
            y[j] += static_cast<float>(sum) * scales[at] * x_scales[b];
        }
    }
}

void panel_dots_u8s8(unsigned bits, const uint8_t* packed, size_t count, size_t k, size_t block, const int8_t* x,
                     const int32_t* sums, const float* x_scales, const float* scales, const uint8_t* zeros,
                     size_t row_step, size_t block_step, float* y) noexcept {
    const size_t group = 32 / bits;
    for (size_t j = 0; j < count * panel_columns; ++j) {
        const uint8_t* column = packed + j / panel_columns * (2 * k * bits) + j % panel_columns * 4;
        for (size_t first = 0, b = 0; first < k; first += block, ++b) {
            const size_t at = j * row_step + b * block_step;
            int32_t sum = -(zeros == nullptr ? 1 << (bits - 1U) : int{zeros[at]}) * sums[b];
            for (size_t p = first; p < k && p < first + block; ++p) {
                const unsigned byte = column[p / group * (4 * panel_columns) + p % 4];
                sum += static_cast<int>(byte >> p % group / 4 * bits & ((1U << bits) - 1U)) * x[p];
            }
            y[j] += static_cast<float>(sum) * scales[at] * x_scales[b];
        }
    }
}

}  // namespace bitpress::scalar
