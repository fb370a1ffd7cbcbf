// What convolutions read: pixels as panels.
#include "kernels/avx512/overrides.h"
#include "kernels/vectors512.h"

namespace bitpress::avx512 {

void gather_panel_f32(const float* x, const size_t* offsets, size_t k, size_t n, size_t room, float* panel) noexcept {
    const __mmask16 read = lanes(n);
    const __mmask16 written = lanes(room);
    if (n == panel_columns) {
        for (size_t p = 0; p < k; ++p) _mm512_storeu_ps(panel + p * panel_columns, _mm512_loadu_ps(x + offsets[p]));
        return;
    }
    for (size_t p = 0; p < k; ++p) {
        _mm512_mask_storeu_ps(panel + p * panel_columns, written, _mm512_maskz_loadu_ps(read, x + offsets[p]));
    }
}

}  // namespace bitpress::avx512
