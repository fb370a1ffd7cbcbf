// Rows to mean 0 and variance 1: sums of float64, four at a time.
#include <math.h>

#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

struct Four {
    float64x2_t low, high;
    explicit Four(float32x4_t x) noexcept : low(vcvt_f64_f32(vget_low_f32(x))), high(vcvt_high_f64_f32(x)) {}
};

}  // namespace

void layer_norm_f32(const float* x, size_t n, const float* scales, size_t scale_step, const float* shifts,
                    size_t shift_step, double epsilon, float* y) noexcept {
    const double count = static_cast<double>(n);
    const size_t whole = n / 4 * 4;
    float64x2_t sums[2] = {vdupq_n_f64(0.0), vdupq_n_f64(0.0)};
    for (size_t i = 0; i < whole; i += 4) {
        const Four four(vld1q_f32(x + i));
        sums[0] = vaddq_f64(sums[0], four.low);
        sums[1] = vaddq_f64(sums[1], four.high);
    }
    double sum = vaddvq_f64(vaddq_f64(sums[0], sums[1]));
    for (size_t i = whole; i < n; ++i) sum += static_cast<double>(x[i]);
    const double mean = sum / count;
    const float64x2_t means = vdupq_n_f64(mean);
    sums[0] = sums[1] = vdupq_n_f64(0.0);
    for (size_t i = 0; i < whole; i += 4) {
        const Four four(vld1q_f32(x + i));
        const float64x2_t low = vsubq_f64(four.low, means);
        const float64x2_t high = vsubq_f64(four.high, means);
        sums[0] = vfmaq_f64(sums[0], low, low);
        sums[1] = vfmaq_f64(sums[1], high, high);
    }
    double squares = vaddvq_f64(vaddq_f64(sums[0], sums[1]));
    for (size_t i = whole; i < n; ++i) {
        const double from_mean = static_cast<double>(x[i]) - mean;
        squares += from_mean * from_mean;
    }
    const double factor = 1.0 / sqrt(squares / count + epsilon);
    const float64x2_t factors = vdupq_n_f64(factor);
    size_t i = 0;
    for (; i < whole && scale_step == 1 && (shifts == nullptr || shift_step == 1); i += 4) {
        const Four four(vld1q_f32(x + i));
        const float32x2_t low = vcvt_f32_f64(vmulq_f64(vsubq_f64(four.low, means), factors));
        const float32x4_t unit = vcvt_high_f32_f64(low, vmulq_f64(vsubq_f64(four.high, means), factors));
        const float32x4_t shift = shifts == nullptr ? vdupq_n_f32(0.0F) : vld1q_f32(shifts + i);
        vst1q_f32(y + i, vaddq_f32(vmulq_f32(unit, vld1q_f32(scales + i)), shift));
    }
    for (; i < n; ++i) {
        const float unit = static_cast<float>((static_cast<double>(x[i]) - mean) * factor);
        y[i] = unit * scales[i * scale_step] + (shifts == nullptr ? 0.0F : shifts[i * shift_step]);
    }
}

}  // namespace bitpress::neon
