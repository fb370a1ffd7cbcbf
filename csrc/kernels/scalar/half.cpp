// IEEE binary16 and bfloat16 to float32, by their bits.
#include <string.h>

#include "bytes.h"
#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

float from_bits(uint32_t bits) noexcept {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint32_t widen(uint32_t half) noexcept {
    const uint32_t sign = (half & 0x8000U) << 16;
    const uint32_t exponent = (half >> 10) & 0x1FU;
    uint32_t fraction = half & 0x3FFU;
    if (exponent == 31) return sign | 0x7F800000U | (fraction << 13) | (fraction != 0 ? 0x400000U : 0U);
    if (exponent != 0) return sign | ((exponent + 112U) << 23) | (fraction << 13);
    if (fraction == 0) return sign;
    uint32_t shift = 0;  // a subnormal half is a normal float: bring its leading one to bit 10
    while ((fraction & 0x400U) == 0) {
        fraction <<= 1;
        ++shift;
    }
    return sign | ((113U - shift) << 23) | ((fraction & 0x3FFU) << 13);
}

}  // namespace

void f16_to_f32(const uint8_t* half, size_t n, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) x[i] = from_bits(widen(load_le<uint16_t>(half + 2 * i)));
}

void bf16_to_f32(const uint8_t* half, size_t n, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) x[i] = from_bits(static_cast<uint32_t>(load_le<uint16_t>(half + 2 * i)) << 16);
}

}  // namespace bitpress::scalar
