// Uniform quantization: value = scale * (code - zero).
#include <math.h>

#include "kernels/kernels.h"

namespace bitpress::scalar {

void quantize(const float* x, size_t n, float scale, float zero, unsigned low, unsigned high, uint8_t* codes) noexcept {
    const float lowest = static_cast<float>(low);
    const float highest = static_cast<float>(high);
    for (size_t i = 0; i < n; ++i) {
        // rint before adding zero: zero is a whole number except for one-bit symmetric codes, where it is 1/2.
        float code = rintf(x[i] / scale + (zero - floorf(zero))) + floorf(zero);
        code = code < lowest ? lowest : code;
        code = code > highest ? highest : code;
        codes[i] = static_cast<uint8_t>(code);
    }
}

void dequantize(const uint8_t* codes, size_t n, float scale, float zero, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) x[i] = scale * (static_cast<float>(codes[i]) - zero);
}

void min_max(const float* x, size_t n, float* low, float* high, bool* finite) noexcept {
    float smallest = x[0];
    float largest = x[0];
    float poison = 0.0F;  // 0 * inf and 0 * NaN are NaN
    for (size_t i = 0; i < n; ++i) {
        smallest = x[i] < smallest ? x[i] : smallest;
        largest = x[i] > largest ? x[i] : largest;
        poison += 0.0F * x[i];
    }
    *low = smallest;
    *high = largest;
    *finite = poison == 0.0F;
}

}  // namespace bitpress::scalar
