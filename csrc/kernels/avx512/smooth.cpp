// Exponentials and what is made of them, sixteen at a time: avx2/smooth.cpp's polynomials.
#include "kernels/avx512/overrides.h"
#include "kernels/vectors512.h"

namespace bitpress::avx512 {
namespace {

static __m512 all(float x) noexcept { return _mm512_set1_ps(x); }

// 2^n * (1 + r + ..) where x = n * ln 2 + r. VSCALEFPS gives subnormal results and infinity by itself. NaN passes the
// bounds by the operands' order.
[[gnu::always_inline]] static inline __m512 exponential(__m512 x) noexcept {
    x = _mm512_min_ps(all(89.0F), _mm512_max_ps(all(-105.0F), x));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, all(1.44269504F)), _MM_FROUND_TO_NEAREST_INT);
    __m512 r = _mm512_fnmadd_ps(n, all(0x1.62e400p-1F), x);  // ln 2 in two parts
    r = _mm512_fnmadd_ps(n, all(0x1.7f7d1cp-20F), r);
    __m512 p = all(0.0013813161F);
    p = _mm512_fmadd_ps(p, r, all(0.0083694113F));
    p = _mm512_fmadd_ps(p, r, all(0.041668456F));
    p = _mm512_fmadd_ps(p, r, all(0.16666515F));
    p = _mm512_fmadd_ps(p, r, all(0.49999994F));
    p = _mm512_fmadd_ps(p, r, all(1.0F));
    p = _mm512_fmadd_ps(p, r, all(1.0F));
    return _mm512_scalef_ps(p, n);
}

[[gnu::always_inline]] static inline __m512 sigmoid(__m512 x) noexcept {
    const __m512 e = exponential(_mm512_sub_ps(_mm512_setzero_ps(), x));
    return _mm512_div_ps(all(1.0F), _mm512_add_ps(all(1.0F), e));
}

[[gnu::always_inline]] static inline __m512 gelu(__m512 x) noexcept {
    const __m512 size = _mm512_min_ps(_mm512_abs_ps(x), all(30.0F));
    const __m512 s = _mm512_div_ps(all(1.0F), _mm512_fmadd_ps(size, all(0.4F * 0.70710678F), all(1.0F)));
    __m512 p = all(-0.20025974F);
    p = _mm512_fmadd_ps(p, s, all(0.70914936F));
    p = _mm512_fmadd_ps(p, s, all(-0.37091124F));
    p = _mm512_fmadd_ps(p, s, all(0.46827684F));
    p = _mm512_fmadd_ps(p, s, all(0.16182249F));
    p = _mm512_fmadd_ps(p, s, all(0.23192227F));
    const __m512 half = _mm512_mul_ps(size, all(0.5F));
    const __m512 e = exponential(_mm512_mul_ps(half, _mm512_sub_ps(_mm512_setzero_ps(), size)));
    return _mm512_fnmadd_ps(_mm512_mul_ps(half, e), _mm512_mul_ps(p, s), _mm512_max_ps(_mm512_setzero_ps(), x));
}

[[gnu::always_inline]] static inline __m512 gelu_by_tanh(__m512 x) noexcept {
    const __m512 square = _mm512_mul_ps(x, x);
    const __m512 u = _mm512_mul_ps(x, _mm512_fmadd_ps(square, all(0.07135482F), all(1.59576912F)));
    return _mm512_mul_ps(x, sigmoid(u));
}

template <__m512 function(__m512) noexcept>
static void each(const float* x, size_t n, float* y) noexcept {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_ps(y + i, function(_mm512_loadu_ps(x + i)));
    if (i < n) _mm512_mask_storeu_ps(y + i, lanes(n - i), function(_mm512_maskz_loadu_ps(lanes(n - i), x + i)));
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
    const size_t whole = n / 16 * 16;
    const __mmask16 rest = lanes(n - whole);
    const __m512 lowest = all(-__builtin_inff());
    __m512 most = _mm512_max_ps(_mm512_mask_loadu_ps(lowest, rest, x + whole), lowest);
    for (size_t i = 0; i < whole; i += 16) most = _mm512_max_ps(_mm512_loadu_ps(x + i), most);
    const __m512 top = all(_mm512_reduce_max_ps(most));
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < whole; i += 16) {
        const __m512 e = exponential(_mm512_sub_ps(_mm512_loadu_ps(x + i), top));
        _mm512_storeu_ps(y + i, e);
        sum = _mm512_add_ps(sum, e);
    }
    const __m512 last = exponential(_mm512_sub_ps(_mm512_mask_loadu_ps(lowest, rest, x + whole), top));
    sum = _mm512_mask_add_ps(sum, rest, sum, last);
    const __m512 scale = all(1.0F / _mm512_reduce_add_ps(sum));
    for (size_t i = 0; i < whole; i += 16) _mm512_storeu_ps(y + i, _mm512_mul_ps(_mm512_loadu_ps(y + i), scale));
    if (rest != 0) _mm512_mask_storeu_ps(y + whole, rest, _mm512_mul_ps(last, scale));
}

}  // namespace bitpress::avx512
