// Uniform quantization, 8 floats a register. Every operation is the scalar one, in the scalar order: no FMA.
#include <immintrin.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

struct Rounding {
    __m256 scale, half, whole, low, high;
};

__m256i round8(const float* x, const Rounding& r) noexcept {
    const __m256 ratio = _mm256_add_ps(_mm256_div_ps(_mm256_loadu_ps(x), r.scale), r.half);
    const __m256 rounded = _mm256_round_ps(ratio, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m256 code = _mm256_add_ps(rounded, r.whole);
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(code, r.low), r.high));
}

// Eight 32-bit values 0..255 to eight bytes.
void store_bytes(uint8_t* out, __m256i words) noexcept {
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packus_epi16(halves, halves));
}

// Eight 32-bit values 0..65535 to eight words.
void store_words(uint16_t* out, __m256i words) noexcept {
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), halves);
}

__m256 load_codes(const uint8_t* codes) noexcept {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes))));
}

__m256 floor8(__m256 x) noexcept { return _mm256_round_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }

template <bool largest>
__m128 pick(__m128 a, __m128 b) noexcept {
    return largest ? _mm_max_ps(a, b) : _mm_min_ps(a, b);
}

// The smallest or the largest of eight, in the lowest place.
template <bool largest>
__m128 reduce(__m256 x) noexcept {
    __m128 best = pick<largest>(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    best = pick<largest>(best, _mm_movehl_ps(best, best));
    return pick<largest>(best, _mm_shuffle_ps(best, best, 1));
}

// All ones where the exponent is: NaN and infinity.
__m256i not_finite(__m256 x) noexcept {
    const __m256i exponent = _mm256_set1_epi32(0x7F800000);
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_castps_si256(x), exponent), exponent);
}

// As many eights as there are; how many elements that is.
template <auto store, class Code>
static size_t quantize_eights(const float* x, size_t n, const float* scales, const float* zeros, unsigned low,
                              unsigned high, Code* codes) noexcept {
    const __m256 lowest = _mm256_set1_ps(static_cast<float>(low));
    const __m256 highest = _mm256_set1_ps(static_cast<float>(high));
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const __m256 zero = _mm256_loadu_ps(zeros + i);
        const __m256 whole = floor8(zero);
        const Rounding r = {_mm256_loadu_ps(scales + i), _mm256_sub_ps(zero, whole), whole, lowest, highest};
        store(codes + i, round8(x + i, r));
    }
    return i;
}

}  // namespace

void quantize(const float* x, size_t n, float scale, float zero, unsigned low, unsigned high, uint8_t* codes) noexcept {
    const __m256 zero8 = _mm256_set1_ps(zero);
    const __m256 whole = floor8(zero8);
    const Rounding r = {_mm256_set1_ps(scale), _mm256_sub_ps(zero8, whole), whole,
                        _mm256_set1_ps(static_cast<float>(low)), _mm256_set1_ps(static_cast<float>(high))};
    size_t i = 0;
    for (; n - i >= 8; i += 8) store_bytes(codes + i, round8(x + i, r));
    scalar::quantize(x + i, n - i, scale, zero, low, high, codes + i);
}

void quantize_each(const float* x, size_t n, const float* scales, const float* zeros, unsigned low, unsigned high,
                   uint8_t* codes) noexcept {
    const size_t i = quantize_eights<store_bytes>(x, n, scales, zeros, low, high, codes);
    scalar::quantize_each(x + i, n - i, scales + i, zeros + i, low, high, codes + i);
}

void dequantize(const uint8_t* codes, size_t n, float scale, float zero, float* x) noexcept {
    const __m256 scale8 = _mm256_set1_ps(scale);
    const __m256 zero8 = _mm256_set1_ps(zero);
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        _mm256_storeu_ps(x + i, _mm256_mul_ps(scale8, _mm256_sub_ps(load_codes(codes + i), zero8)));
    }
    scalar::dequantize(codes + i, n - i, scale, zero, x + i);
}

void dequantize_each(const uint8_t* codes, size_t n, const float* scales, const float* zeros, float* x) noexcept {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const __m256 difference = _mm256_sub_ps(load_codes(codes + i), _mm256_loadu_ps(zeros + i));
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(scales + i), difference));
    }
    scalar::dequantize_each(codes + i, n - i, scales + i, zeros + i, x + i);
}

void quantize_wide(const float* x, size_t n, const float* scales, const float* zeros, unsigned low, unsigned high,
                   uint16_t* codes) noexcept {
    const size_t i = quantize_eights<store_words>(x, n, scales, zeros, low, high, codes);
    scalar::quantize_wide(x + i, n - i, scales + i, zeros + i, low, high, codes + i);
}

void dequantize_wide(const uint16_t* codes, size_t n, const float* scales, const float* zeros, float* x) noexcept {
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i));
        const __m256 code = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(words));
        const __m256 difference = _mm256_sub_ps(code, _mm256_loadu_ps(zeros + i));
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(scales + i), difference));
    }
    scalar::dequantize_wide(codes + i, n - i, scales + i, zeros + i, x + i);
}

void min_max(const float* x, size_t n, float* low, float* high, bool* finite) noexcept {
    if (n < 8) {
        scalar::min_max(x, n, low, high, finite);
        return;
    }
    __m256 smallest = _mm256_loadu_ps(x);
    __m256 largest = smallest;
    __m256i bad = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += 8) {
        const __m256 values = _mm256_loadu_ps(x + (n - i >= 8 ? i : n - 8));  // the last eight may be seen twice
        smallest = _mm256_min_ps(smallest, values);
        largest = _mm256_max_ps(largest, values);
        bad = _mm256_or_si256(bad, not_finite(values));
    }
    *low = _mm_cvtss_f32(reduce<false>(smallest)) + 0.0F;  // -0 becomes +0
    *high = _mm_cvtss_f32(reduce<true>(largest)) + 0.0F;
    *finite = _mm256_testz_si256(bad, bad) != 0;
}

bool min_max_each(const float* x, size_t n, float* low, float* high) noexcept {
    const __m256 zero = _mm256_setzero_ps();
    __m256i bad = _mm256_setzero_si256();
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const __m256 values = _mm256_loadu_ps(x + i);
        _mm256_storeu_ps(low + i, _mm256_add_ps(_mm256_min_ps(values, _mm256_loadu_ps(low + i)), zero));
        _mm256_storeu_ps(high + i, _mm256_add_ps(_mm256_max_ps(values, _mm256_loadu_ps(high + i)), zero));
        bad = _mm256_or_si256(bad, not_finite(values));
    }
    const bool rest = scalar::min_max_each(x + i, n - i, low + i, high + i);
    return rest && _mm256_testz_si256(bad, bad) != 0;
}

}  // namespace bitpress::avx2
