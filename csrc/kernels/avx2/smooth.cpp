// Exponentials and what is made of them, eight at a time. Coefficients are minimax fits of our own.

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

static __m256 all(float x) noexcept { return _mm256_set1_ps(x); }

// 2^n as a float, -126 <= n <= 127.
static __m256 power_of_two(__m256i n) noexcept {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

// 2^n * (1 + r + ..) where x = n * ln 2 + r: the polynomial is within 2^-28 on |r| <= 0.35. 2^n as two factors, so that
// subnormal results and infinity come by themselves. NaN passes the bounds by the operands' order.
[[gnu::always_inline]] static inline __m256 exponential(__m256 x) noexcept {
    x = _mm256_min_ps(all(89.0F), _mm256_max_ps(all(-105.0F), x));
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, all(1.44269504F)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, all(0x1.62e400p-1F), x);  // ln 2 in two parts
    r = _mm256_fnmadd_ps(n, all(0x1.7f7d1cp-20F), r);
    __m256 p = all(0.0013813161F);
    p = _mm256_fmadd_ps(p, r, all(0.0083694113F));
    p = _mm256_fmadd_ps(p, r, all(0.041668456F));
    p = _mm256_fmadd_ps(p, r, all(0.16666515F));
    p = _mm256_fmadd_ps(p, r, all(0.49999994F));
    p = _mm256_fmadd_ps(p, r, all(1.0F));
    p = _mm256_fmadd_ps(p, r, all(1.0F));
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(p, power_of_two(half)), power_of_two(_mm256_sub_epi32(whole, half)));
}

[[gnu::always_inline]] static inline __m256 sigmoid(__m256 x) noexcept {
    const __m256 e = exponential(_mm256_sub_ps(_mm256_setzero_ps(), x));
    return _mm256_div_ps(all(1.0F), _mm256_add_ps(all(1.0F), e));
}

// max(x, 0) - |x| / 2 * erfc(|x| / sqrt 2), with erfc(z) = exp(-z^2) * s * P(s), s = 1 / (1 + 0.4 z), within 2^-25.
[[gnu::always_inline]] static inline __m256 gelu(__m256 x) noexcept {
    const __m256 size = _mm256_min_ps(_mm256_andnot_ps(all(-0.0F), x), all(30.0F));
    const __m256 s = _mm256_div_ps(all(1.0F), _mm256_fmadd_ps(size, all(0.4F * 0.70710678F), all(1.0F)));
    __m256 p = all(-0.20025974F);
    p = _mm256_fmadd_ps(p, s, all(0.70914936F));
    p = _mm256_fmadd_ps(p, s, all(-0.37091124F));
    p = _mm256_fmadd_ps(p, s, all(0.46827684F));
    p = _mm256_fmadd_ps(p, s, all(0.16182249F));
    p = _mm256_fmadd_ps(p, s, all(0.23192227F));
    const __m256 half = _mm256_mul_ps(size, all(0.5F));
    const __m256 e = exponential(_mm256_mul_ps(half, _mm256_sub_ps(_mm256_setzero_ps(), size)));
    return _mm256_fnmadd_ps(_mm256_mul_ps(half, e), _mm256_mul_ps(p, s), _mm256_max_ps(_mm256_setzero_ps(), x));
}

[[gnu::always_inline]] static inline __m256 gelu_by_tanh(__m256 x) noexcept {
    const __m256 square = _mm256_mul_ps(x, x);
    const __m256 u = _mm256_mul_ps(x, _mm256_fmadd_ps(square, all(0.07135482F), all(1.59576912F)));
    return _mm256_mul_ps(x, sigmoid(u));
}

template <__m256 function(__m256) noexcept>
static void each(const float* x, size_t n, float* y) noexcept {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, function(_mm256_loadu_ps(x + i)));
    if (i < n) _mm256_maskstore_ps(y + i, lanes(n - i), function(_mm256_maskload_ps(x + i, lanes(n - i))));
}

static float largest(__m256 v) noexcept {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

}  // namespace

void sigmoid_f32(const float* x, size_t n, float* y) noexcept { each<sigmoid>(x, n, y); }

void gelu_f32(bool tanh_form, const float* x, size_t n, float* y) noexcept {
    if (tanh_form) {
        each<gelu_by_tanh>(x, n, y);
    } else {
        each<gelu>(x, n, y);
    }
}

// Of a NaN in the row the largest may know nothing; its own exponential is NaN, and so is the sum.
void softmax_f32(const float* x, size_t n, float* y) noexcept {
    const size_t whole = n / 8 * 8;
    const size_t left = n - whole;
    const __m256i mask = lanes(left);
    const __m256 in_row = _mm256_castsi256_ps(mask);
    const __m256 lowest = all(-__builtin_inff());
    const __m256 rest = _mm256_blendv_ps(lowest, _mm256_maskload_ps(x + whole, mask), in_row);
    __m256 most = _mm256_max_ps(rest, lowest);
    for (size_t i = 0; i < whole; i += 8) most = _mm256_max_ps(_mm256_loadu_ps(x + i), most);
    const __m256 top = all(largest(most));
    __m256 sum = _mm256_setzero_ps();
    for (size_t i = 0; i < whole; i += 8) {
        const __m256 e = exponential(_mm256_sub_ps(_mm256_loadu_ps(x + i), top));
        _mm256_storeu_ps(y + i, e);
        sum = _mm256_add_ps(sum, e);
    }
    const __m256 last = _mm256_and_ps(exponential(_mm256_sub_ps(rest, top)), in_row);
    const __m256 scale = all(1.0F / total(_mm256_add_ps(sum, last)));
    for (size_t i = 0; i < whole; i += 8) _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(y + i), scale));
    if (left > 0) _mm256_maskstore_ps(y + whole, mask, _mm256_mul_ps(last, scale));
}

}  // namespace bitpress::avx2
