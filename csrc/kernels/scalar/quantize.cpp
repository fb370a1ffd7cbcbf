// Uniform quantization: value = scale * (code - zero).
#include <math.h>

#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

float quantize_one(float x, float scale, float zero, float lowest, float highest) noexcept {
    // zero is a whole number except for one-bit symmetric codes, where it is 1/2: that half is added before rounding.
    const float whole = floorf(zero);
    float code = rintf(x / scale + (zero - whole)) + whole;
    code = code < lowest ? lowest : code;
    code = code > highest ? highest : code;
    return code;
}

// 0 * inf and 0 * NaN are NaN; anything else gives a zero.
bool finite(float x) noexcept { return 0.0F * x == 0.0F; }

template <class Code>
static void quantize_all(const float* x, size_t n, const float* scales, const float* zeros, unsigned low, unsigned high,
                         Code* codes) noexcept {
    const float lowest = static_cast<float>(low);
    const float highest = static_cast<float>(high);
    for (size_t i = 0; i < n; ++i) {
        codes[i] = static_cast<Code>(quantize_one(x[i], scales[i], zeros[i], lowest, highest));
    }
}

}  // namespace

void quantize(const float* x, size_t n, float scale, float zero, unsigned low, unsigned high, uint8_t* codes) noexcept {
    const float lowest = static_cast<float>(low);
    const float highest = static_cast<float>(high);
    for (size_t i = 0; i < n; ++i) {
        codes[i] = static_cast<uint8_t>(quantize_one(x[i], scale, zero, lowest, highest));
    }
}

void dequantize(const uint8_t* codes, size_t n, float scale, float zero, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) x[i] = scale * (static_cast<float>(codes[i]) - zero);
}

void quantize_each(const float* x, size_t n, const float* scales, const float* zeros, unsigned low, unsigned high,
                   uint8_t* codes) noexcept {
    quantize_all(x, n, scales, zeros, low, high, codes);
}

void dequantize_each(const uint8_t* codes, size_t n, const float* scales, const float* zeros, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) x[i] = scales[i] * (static_cast<float>(codes[i]) - zeros[i]);
}

void quantize_wide(const float* x, size_t n, const float* scales, const float* zeros, unsigned low, unsigned high,
                   uint16_t* codes) noexcept {
    quantize_all(x, n, scales, zeros, low, high, codes);
}

void dequantize_wide(const uint16_t* codes, size_t n, const float* scales, const float* zeros, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) x[i] = scales[i] * (static_cast<float>(codes[i]) - zeros[i]);
}

void min_max(const float* x, size_t n, float* low, float* high, bool* all_finite) noexcept {
    float smallest = x[0];
    float largest = x[0];
    *all_finite = true;
    for (size_t i = 0; i < n; ++i) {
        smallest = x[i] < smallest ? x[i] : smallest;
        largest = x[i] > largest ? x[i] : largest;
        if (!finite(x[i])) *all_finite = false;
    }
    *low = smallest + 0.0F;  // -0 becomes +0
    *high = largest + 0.0F;
}

bool min_max_each(const float* x, size_t n, float* low, float* high) noexcept {
    bool all_finite = true;
    for (size_t i = 0; i < n; ++i) {
        low[i] = (x[i] < low[i] ? x[i] : low[i]) + 0.0F;
        high[i] = (x[i] > high[i] ? x[i] : high[i]) + 0.0F;
        if (!finite(x[i])) all_finite = false;
    }
    return all_finite;
}

}  // namespace bitpress::scalar
