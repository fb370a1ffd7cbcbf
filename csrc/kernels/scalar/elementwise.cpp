// Float loops with no reduction.
#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

float clip(float x, float low, float high) noexcept {
    x = x < low ? low : x;
    return x > high ? high : x;
}

}  // namespace

void binary_f32(unsigned op, const float* a, size_t a_step, const float* b, size_t b_step, float* y, size_t n,
                float low, float high) noexcept {
    for (size_t i = 0; i < n; ++i) {
        const float left = a[i * a_step];
        const float right = b[i * b_step];
        float result = 0.0F;
        switch (op) {
            case 0: result = left + right; break;
            case 1: result = left - right; break;
            case 2: result = left * right; break;
            case 3: result = left / right; break;
            case 4: result = left > right || __builtin_isnan(left) ? left : right; break;
            default: result = left < right || __builtin_isnan(left) ? left : right; break;
        }
        y[i] = clip(result, low, high);
    }
}

void affine_f32(const float* x, size_t n, float scale, float shift, float low, float high, float* y) noexcept {
    for (size_t i = 0; i < n; ++i) y[i] = clip(x[i] * scale + shift, low, high);
}

}  // namespace bitpress::scalar
