// Depthwise convolution of one plane.
#include "kernels/kernels.h"

namespace bitpress::scalar {

void depthwise_f32(const float* x, const float* w, const size_t* offsets, size_t taps, size_t row_step, float bias,
                   float low, float high, float* y, size_t rows, size_t n) noexcept {
    for (size_t r = 0; r < rows; ++r) {
        for (size_t i = 0; i < n; ++i) {
            float sum = bias;
            for (size_t t = 0; t < taps; ++t) sum += w[t] * x[offsets[t] + r * row_step + i];
            sum = sum < low ? low : sum;
            y[r * n + i] = sum > high ? high : sum;
        }
    }
}

}  // namespace bitpress::scalar
