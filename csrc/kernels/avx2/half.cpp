// binary16 and bfloat16 to float32.
#include <immintrin.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {

void f16_to_f32(const uint8_t* half, size_t n, float* x) noexcept {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        _mm256_storeu_ps(x + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(half + 2 * i))));
    }
    scalar::f16_to_f32(half + 2 * i, n - i, x + i);
}

void bf16_to_f32(const uint8_t* half, size_t n, float* x) noexcept {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(half + 2 * i)));
        _mm256_storeu_ps(x + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
    }
    scalar::bf16_to_f32(half + 2 * i, n - i, x + i);
}

}  // namespace bitpress::avx2
