// Exponentials and what is made of them.
#include <math.h>

#include "kernels/kernels.h"

namespace bitpress::scalar {

void sigmoid_f32(const float* x, size_t n, float* y) noexcept {
    for (size_t i = 0; i < n; ++i) y[i] = 1.0F / (1.0F + expf(-x[i]));
}

void gelu_f32(bool tanh_form, const float* x, size_t n, float* y) noexcept {
    constexpr float root_half = 0.70710678F;  // sqrt(1/2)
    constexpr float root_two_over_pi = 0.79788456F;
    for (size_t i = 0; i < n; ++i) {
        const float v = x[i];
        const float inner = tanh_form ? tanhf(root_two_over_pi * (v + 0.044715F * v * v * v)) : erff(v * root_half);
        y[i] = 0.5F * v * (1.0F + inner);
    }
}

void softmax_f32(const float* x, size_t n, float* y) noexcept {
    float top = x[0];
    for (size_t i = 0; i < n; ++i) top = x[i] > top ? x[i] : top;
    double sum = 0.0;
    for (size_t i = 0; i < n; ++i) {
        const float e = expf(x[i] - top);
        y[i] = e;
        sum += static_cast<double>(e);
    }
    const float scale = static_cast<float>(1.0 / sum);
    for (size_t i = 0; i < n; ++i) y[i] *= scale;
}

}  // namespace bitpress::scalar
