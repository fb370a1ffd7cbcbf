// Rows to mean 0 and variance 1.
#include <math.h>

#include "kernels/kernels.h"

namespace bitpress::scalar {

void layer_norm_f32(const float* x, size_t n, const float* scales, size_t scale_step, const float* shifts,
                    size_t shift_step, double epsilon, float* y) noexcept {
    const double count = static_cast<double>(n);
    double sum = 0.0;
    for (size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]);
    const double mean = sum / count;
    double squares = 0.0;
    for (size_t i = 0; i < n; ++i) {
        const double from_mean = static_cast<double>(x[i]) - mean;
        squares += from_mean * from_mean;
    }
    const double factor = 1.0 / sqrt(squares / count + epsilon);
    for (size_t i = 0; i < n; ++i) {
        const float unit = static_cast<float>((static_cast<double>(x[i]) - mean) * factor);
        y[i] = unit * scales[i * scale_step] + (shifts == nullptr ? 0.0F : shifts[i * shift_step]);
    }
}

}  // namespace bitpress::scalar
