// Codes to the entries of a codebook of at most 16 floats, which stay in two registers.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {

// permutevar takes the low 3 bits of a code; the fourth, as a sign, says which register.
void look_up(const uint8_t* codes, size_t n, unsigned bits, unsigned vector, const uint8_t* book, float* x) noexcept {
    size_t i = 0;
    if (vector == 1 && bits <= 4) {
        float entries[16] = {};  // a smaller book fills the beginning, and no code names the rest
        memcpy(entries, book, sizeof(float) << bits);
        const __m256 first = _mm256_loadu_ps(entries);
        const __m256 second = _mm256_loadu_ps(entries + 8);
        for (; n - i >= 8; i += 8) {
            const __m256i c = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + i)));
            const __m256 which = _mm256_castsi256_ps(_mm256_slli_epi32(c, 28));
            const __m256 low = _mm256_permutevar8x32_ps(first, c);
            const __m256 high = _mm256_permutevar8x32_ps(second, c);
            _mm256_storeu_ps(x + i, _mm256_blendv_ps(low, high, which));
        }
    }
    scalar::look_up(codes + i, n - i, bits, vector, book, x + i * vector);
}

}  // namespace bitpress::avx2
