// Products of a sparse matrix, row by row, with packed panels of 16 columns.
#include "kernels/kernels.h"

namespace bitpress::scalar {

void spmm_f32(size_t lists, const uint32_t* ends, const uint16_t* positions, const float* values, const float* panels,
              size_t apart, size_t panel_count, float* sums, size_t ldsums) noexcept {
    constexpr size_t panel = 16;
    size_t begin = 0;
    for (size_t i = 0; i < lists; ++i) {
        for (size_t q = 0; q < panel_count; ++q) {
            float sum[panel] = {};
            for (size_t s = begin; s < ends[i]; ++s) {
                const float* x = panels + q * apart + panel * positions[s];
                for (size_t c = 0; c < panel; ++c) sum[c] += values[s] * x[c];
            }
            for (size_t c = 0; c < panel; ++c) sums[i * ldsums + q * panel + c] += sum[c];
        }
        begin = ends[i];
    }
}

}  // namespace bitpress::scalar
