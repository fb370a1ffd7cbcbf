// How a row of floats becomes codes (quantize_row_* of kernels.def).
#pragma once

#include <math.h>
#include <stddef.h>

namespace bitpress::scalar {

// Codes are -most_code..most_code; a row of magnitudes below 2^-100 is taken as zeros: its inverse would overflow.
struct RowCodes {
    bool alive;
    float scale;  // 0 where the row is taken as zeros, NaN where it holds NaN or infinity
    float inverse;

    RowCodes(const float* x, size_t k, float most_code) noexcept {
        float most = 0.0F;
        bool finite = true;
        for (size_t p = 0; p < k; ++p) {
            const float size = fabsf(x[p]);
            finite = finite && size <= __FLT_MAX__;
            most = size > most ? size : most;
        }
        alive = finite && most >= 0x1p-100F;
        inverse = alive ? most_code / most : 0.0F;
        scale = !finite ? __builtin_nanf("") : alive ? most / most_code : 0.0F;
    }
    int operator()(float x) const noexcept { return alive ? static_cast<int>(rintf(x * inverse)) : 0; }
};

}  // namespace bitpress::scalar
