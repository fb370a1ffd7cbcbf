// Exponentials and what is made of them, four at a time. Coefficients are avx2/smooth.cpp's.
#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

static float32x4_t all(float x) noexcept { return vdupq_n_f32(x); }

// 2^n as a float, -126 <= n <= 127.
static float32x4_t power_of_two(int32x4_t n) noexcept {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

// 2^n * (1 + r + ..) where x = n * ln 2 + r: the polynomial is within 2^-28 on |r| <= 0.35. 2^n as two factors, so that
// subnormal results and infinity come by themselves. NaN passes the bounds: min and max give it.
[[gnu::always_inline]] static inline float32x4_t exponential(float32x4_t x) noexcept {
    x = vminq_f32(all(89.0F), vmaxq_f32(all(-105.0F), x));
    const float32x4_t n = vrndnq_f32(vmulq_f32(x, all(1.44269504F)));
    float32x4_t r = vfmsq_f32(x, n, all(0x1.62e400p-1F));  // ln 2 in two parts
    r = vfmsq_f32(r, n, all(0x1.7f7d1cp-20F));
    float32x4_t p = all(0.0013813161F);
    p = vfmaq_f32(all(0.0083694113F), p, r);
    p = vfmaq_f32(all(0.041668456F), p, r);
    p = vfmaq_f32(all(0.16666515F), p, r);
    p = vfmaq_f32(all(0.49999994F), p, r);
    p = vfmaq_f32(all(1.0F), p, r);
    p = vfmaq_f32(all(1.0F), p, r);
    const int32x4_t whole = vcvtq_s32_f32(n);
    const int32x4_t half = vshrq_n_s32(whole, 1);
    return vmulq_f32(vmulq_f32(p, power_of_two(half)), power_of_two(vsubq_s32(whole, half)));
}

[[gnu::always_inline]] static inline float32x4_t sigmoid(float32x4_t x) noexcept {
    return vdivq_f32(all(1.0F), vaddq_f32(all(1.0F), exponential(vnegq_f32(x))));
}

// max(x, 0) - |x| / 2 * erfc(|x| / sqrt 2), with erfc(z) = exp(-z^2) * s * P(s), s = 1 / (1 + 0.4 z), within 2^-25.
[[gnu::always_inline]] static inline float32x4_t gelu(float32x4_t x) noexcept {
    const float32x4_t size = vminq_f32(vabsq_f32(x), all(30.0F));
    const float32x4_t s = vdivq_f32(all(1.0F), vfmaq_f32(all(1.0F), size, all(0.4F * 0.70710678F)));
    float32x4_t p = all(-0.20025974F);
    p = vfmaq_f32(all(0.70914936F), p, s);
    p = vfmaq_f32(all(-0.37091124F), p, s);
    p = vfmaq_f32(all(0.46827684F), p, s);
    p = vfmaq_f32(all(0.16182249F), p, s);
    p = vfmaq_f32(all(0.23192227F), p, s);
    const float32x4_t half = vmulq_f32(size, all(0.5F));
    const float32x4_t e = exponential(vnegq_f32(vmulq_f32(half, size)));
    return vfmsq_f32(vmaxq_f32(all(0.0F), x), vmulq_f32(half, e), vmulq_f32(p, s));
}

[[gnu::always_inline]] static inline float32x4_t gelu_by_tanh(float32x4_t x) noexcept {
    const float32x4_t square = vmulq_f32(x, x);
    const float32x4_t u = vmulq_f32(x, vfmaq_f32(all(1.59576912F), square, all(0.07135482F)));
    return vmulq_f32(x, sigmoid(u));
}

template <float32x4_t function(float32x4_t) noexcept>
static void each(const float* x, size_t n, float* y) noexcept {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, function(vld1q_f32(x + i)));
    if (i < n) store_some(y + i, n - i, function(load_some(x + i, n - i)));
}

}  // namespace

void sigmoid_f32(const float* x, size_t n, float* y) noexcept { each<sigmoid>(x, n, y); }

void gelu_f32(bool tanh_form, const float* x, size_t n, float* y) noexcept {
    if (tanh_form) {
        each<gelu_by_tanh>(x, n, y);
    } else {
        each<gelu>(x, n, y);
    }
}

// A NaN in the row makes the largest NaN, and so all of the row.
void softmax_f32(const float* x, size_t n, float* y) noexcept {
    const size_t whole = n / 4 * 4;
    float most = -__builtin_inff();
    float32x4_t most4 = all(most);
    for (size_t i = 0; i < whole; i += 4) most4 = vmaxq_f32(vld1q_f32(x + i), most4);
    for (size_t i = whole; i < n; ++i) most4 = vmaxq_f32(vld1q_dup_f32(x + i), most4);
    most = vmaxvq_f32(most4);
    const float32x4_t top = all(most);
    float32x4_t sums = all(0.0F);
    for (size_t i = 0; i < whole; i += 4) {
        const float32x4_t e = exponential(vsubq_f32(vld1q_f32(x + i), top));
        vst1q_f32(y + i, e);
        sums = vaddq_f32(sums, e);
    }
    const float32x4_t last = exponential(vsubq_f32(load_some(x + whole, n - whole), top));
    float sum = vaddvq_f32(sums);
    if (n - whole > 0) sum += vgetq_lane_f32(last, 0);
    if (n - whole > 1) sum += vgetq_lane_f32(last, 1);
    if (n - whole > 2) sum += vgetq_lane_f32(last, 2);
    const float32x4_t scale = all(1.0F / sum);
    for (size_t i = 0; i < whole; i += 4) vst1q_f32(y + i, vmulq_f32(vld1q_f32(y + i), scale));
    store_some(y + whole, n - whole, vmulq_f32(last, scale));
}

}  // namespace bitpress::neon
