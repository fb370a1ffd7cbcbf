// Float loops with no reduction.

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

template <unsigned op>
static __m256 apply(__m256 a, __m256 b) noexcept {
    if (op == 0) return _mm256_add_ps(a, b);
    if (op == 1) return _mm256_sub_ps(a, b);
    if (op == 2) return _mm256_mul_ps(a, b);
    if (op == 3) return _mm256_div_ps(a, b);
    // The second where they are equal or one is NaN.
    const __m256 found = op == 4 ? _mm256_max_ps(a, b) : _mm256_min_ps(a, b);
    return _mm256_blendv_ps(found, a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}

template <unsigned op>
static void binary(const float* a, size_t a_step, const float* b, size_t b_step, float* y, size_t n,
                   const Clip& to) noexcept {
    const __m256 a_fixed = _mm256_broadcast_ss(a);
    const __m256 b_fixed = _mm256_broadcast_ss(b);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 left = a_step == 0 ? a_fixed : _mm256_loadu_ps(a + i);
        const __m256 right = b_step == 0 ? b_fixed : _mm256_loadu_ps(b + i);
        _mm256_storeu_ps(y + i, clip(apply<op>(left, right), to));
    }
    if (i == n) return;
    const __m256i mask = lanes(n - i);
    const __m256 left = a_step == 0 ? a_fixed : _mm256_maskload_ps(a + i, mask);
    const __m256 right = b_step == 0 ? b_fixed : _mm256_maskload_ps(b + i, mask);
    _mm256_maskstore_ps(y + i, mask, clip(apply<op>(left, right), to));
}

}  // namespace

void binary_f32(unsigned op, const float* a, size_t a_step, const float* b, size_t b_step, float* y, size_t n,
                float low, float high) noexcept {
    if (n == 0) return;
    const Clip to = {_mm256_set1_ps(low), _mm256_set1_ps(high)};
    switch (op) {
        case 0: binary<0>(a, a_step, b, b_step, y, n, to); break;
        case 1: binary<1>(a, a_step, b, b_step, y, n, to); break;
        case 2: binary<2>(a, a_step, b, b_step, y, n, to); break;
        case 3: binary<3>(a, a_step, b, b_step, y, n, to); break;
        case 4: binary<4>(a, a_step, b, b_step, y, n, to); break;
        default: binary<5>(a, a_step, b, b_step, y, n, to); break;
    }
}

void affine_f32(const float* x, size_t n, float scale, float shift, float low, float high, float* y) noexcept {
    const Clip to = {_mm256_set1_ps(low), _mm256_set1_ps(high)};
    const __m256 factor = _mm256_set1_ps(scale);
    const __m256 offset = _mm256_set1_ps(shift);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 product = _mm256_mul_ps(_mm256_loadu_ps(x + i), factor);
        _mm256_storeu_ps(y + i, clip(_mm256_add_ps(product, offset), to));
    }
    if (i == n) return;
    const __m256i mask = lanes(n - i);
    const __m256 product = _mm256_mul_ps(_mm256_maskload_ps(x + i, mask), factor);
    _mm256_maskstore_ps(y + i, mask, clip(_mm256_add_ps(product, offset), to));
}

}  // namespace bitpress::avx2
