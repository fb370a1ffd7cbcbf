// Rows to mean 0 and variance 1: sums of float64, four at a time.
#include <immintrin.h>
#include <math.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

static double total(__m256d v) noexcept {
    const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}

static __m256d four(const float* x) noexcept { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }

}  // namespace

void layer_norm_f32(const float* x, size_t n, const float* scales, size_t scale_step, const float* shifts,
                    size_t shift_step, double epsilon, float* y) noexcept {
    const double count = static_cast<double>(n);
    __m256d sums[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        sums[0] = _mm256_add_pd(sums[0], four(x + i));
        sums[1] = _mm256_add_pd(sums[1], four(x + i + 4));
    }
    double sum = total(_mm256_add_pd(sums[0], sums[1]));
    for (; i < n; ++i) sum += static_cast<double>(x[i]);
    const double mean = sum / count;
    const __m256d means = _mm256_set1_pd(mean);
    sums[0] = sums[1] = _mm256_setzero_pd();
    for (i = 0; i + 8 <= n; i += 8) {
        const __m256d low = _mm256_sub_pd(four(x + i), means);
        const __m256d high = _mm256_sub_pd(four(x + i + 4), means);
        sums[0] = _mm256_fmadd_pd(low, low, sums[0]);
        sums[1] = _mm256_fmadd_pd(high, high, sums[1]);
    }
    double squares = total(_mm256_add_pd(sums[0], sums[1]));
    for (; i < n; ++i) {
        const double from_mean = static_cast<double>(x[i]) - mean;
        squares += from_mean * from_mean;
    }
    const double factor = 1.0 / sqrt(squares / count + epsilon);
    const __m256d factors = _mm256_set1_pd(factor);
    for (i = 0; i + 4 <= n && scale_step == 1 && (shifts == nullptr || shift_step == 1); i += 4) {
        const __m128 unit = _mm256_cvtpd_ps(_mm256_mul_pd(_mm256_sub_pd(four(x + i), means), factors));
        const __m128 shift = shifts == nullptr ? _mm_setzero_ps() : _mm_loadu_ps(shifts + i);
        _mm_storeu_ps(y + i, _mm_add_ps(_mm_mul_ps(unit, _mm_loadu_ps(scales + i)), shift));
    }
    for (; i < n; ++i) {
        const float unit = static_cast<float>((static_cast<double>(x[i]) - mean) * factor);
        y[i] = unit * scales[i * scale_step] + (shifts == nullptr ? 0.0F : shifts[i * shift_step]);
    }
}

}  // namespace bitpress::avx2
