// Codes to the entries of a codebook: one of at most 16 floats stays in two registers, vectors are copied whole.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

// The book as two registers of 8; a small one fills only its beginning, and no code names the rest.
struct Registers {
    __m256 low, high;
};

Registers load_book(const uint8_t* book, unsigned bits) noexcept {
    float entries[16] = {};
    memcpy(entries, book, sizeof(float) << bits);
    return {_mm256_loadu_ps(entries), _mm256_loadu_ps(entries + 8)};
}

// permutevar takes the low 3 bits of a code; the fourth, as a sign, says which register.
void look_up_small(const uint8_t* codes, size_t n, unsigned bits, const uint8_t* book, float* x) noexcept {
    const Registers r = load_book(book, bits);
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const __m256i c = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + i)));
        const __m256 which = _mm256_castsi256_ps(_mm256_slli_epi32(c, 28));
        const __m256 low = _mm256_permutevar8x32_ps(r.low, c);
        const __m256 high = _mm256_permutevar8x32_ps(r.high, c);
        _mm256_storeu_ps(x + i, _mm256_blendv_ps(low, high, which));
    }
    for (; i < n; ++i) memcpy(x + i, book + size_t{codes[i]} * 4, 4);
}

template <size_t floats>
void look_up_vectors(const uint8_t* codes, size_t n, const uint8_t* book, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) memcpy(x + i * floats, book + codes[i] * floats * 4, floats * 4);
}

}  // namespace

void look_up(const uint8_t* codes, size_t n, unsigned bits, unsigned vector, const uint8_t* book, float* x) noexcept {
    if (vector == 1 && bits <= 4) return look_up_small(codes, n, bits, book, x);
    switch (vector) {
        case 1: return look_up_vectors<1>(codes, n, book, x);
        case 2: return look_up_vectors<2>(codes, n, book, x);
        case 3: return look_up_vectors<3>(codes, n, book, x);
        case 4: return look_up_vectors<4>(codes, n, book, x);
        case 5: return look_up_vectors<5>(codes, n, book, x);
        case 6: return look_up_vectors<6>(codes, n, book, x);
        case 7: return look_up_vectors<7>(codes, n, book, x);
        default: return look_up_vectors<8>(codes, n, book, x);
    }
}

}  // namespace bitpress::avx2
