// Float loops with no reduction, and the depthwise convolution of one row.
#include <immintrin.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

struct Clip {
    __m256 low, high;
};

// The operands' order lets NaN through.
static __m256 clip(__m256 x, const Clip& to) noexcept { return _mm256_min_ps(to.high, _mm256_max_ps(to.low, x)); }

static __m256i lanes(size_t n) noexcept {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), index);
}

static void store(float* y, size_t n, __m256 v) noexcept {
    if (n >= 8) {
        _mm256_storeu_ps(y, v);
    } else {
        _mm256_maskstore_ps(y, lanes(n), v);
    }
}

// Eight inputs, `stride` (1 or 2) apart.
template <size_t stride>
static __m256 gather(const float* x) noexcept {
    if (stride == 1) return _mm256_loadu_ps(x);
    const __m256 even = _mm256_shuffle_ps(_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), _MM_SHUFFLE(2, 0, 2, 0));
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(even), _MM_SHUFFLE(3, 1, 2, 0)));
}

struct Window {
    const float* w;
    size_t kernel_h, kernel_w, row_step, column_step;
};

// 8 * blocks outputs; `left` of them are stored.
template <size_t stride, size_t blocks>
static void outputs(const float* x, const Window& window, __m256 bias, const Clip& to, float* y, size_t left) noexcept {
    __m256 sum[blocks];
    for (size_t b = 0; b < blocks; ++b) sum[b] = bias;
    const float* w = window.w;
    for (size_t r = 0; r < window.kernel_h; ++r) {
        const float* row = x + r * window.row_step;
        for (size_t s = 0; s < window.kernel_w; ++s, row += window.column_step) {
            const __m256 factor = _mm256_broadcast_ss(w++);
#pragma GCC unroll 4
            for (size_t b = 0; b < blocks; ++b)
                sum[b] = _mm256_fmadd_ps(factor, gather<stride>(row + b * 8 * stride), sum[b]);
        }
    }
    for (size_t b = 0; b < blocks; ++b) store(y + b * 8, left - b * 8, clip(sum[b], to));
}

template <size_t stride>
static void row(const float* x, const Window& window, __m256 bias, const Clip& to, float* y, size_t n) noexcept {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) outputs<stride, 4>(x + i * stride, window, bias, to, y + i, 32);
    for (; i + 16 <= n; i += 16) outputs<stride, 2>(x + i * stride, window, bias, to, y + i, 16);
    for (; i < n; i += 8) outputs<stride, 1>(x + i * stride, window, bias, to, y + i, n - i);
}

template <unsigned op>
static __m256 apply(__m256 a, __m256 b) noexcept {
    if (op == 0) return _mm256_add_ps(a, b);
    if (op == 1) return _mm256_sub_ps(a, b);
    if (op == 2) return _mm256_mul_ps(a, b);
    return _mm256_div_ps(a, b);
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

void depthwise_f32(const float* x, const float* w, size_t kernel_h, size_t kernel_w, size_t row_step,
                   size_t column_step, size_t stride, float bias, float low, float high, float* y, size_t n) noexcept {
    if (stride > 2) {
        scalar::depthwise_f32(x, w, kernel_h, kernel_w, row_step, column_step, stride, bias, low, high, y, n);
        return;
    }
    const Window window = {w, kernel_h, kernel_w, row_step, column_step};
    const Clip to = {_mm256_set1_ps(low), _mm256_set1_ps(high)};
    if (stride == 1) {
        row<1>(x, window, _mm256_set1_ps(bias), to, y, n);
    } else {
        row<2>(x, window, _mm256_set1_ps(bias), to, y, n);
    }
}

void binary_f32(unsigned op, const float* a, size_t a_step, const float* b, size_t b_step, float* y, size_t n,
                float low, float high) noexcept {
    if (n == 0) return;
    const Clip to = {_mm256_set1_ps(low), _mm256_set1_ps(high)};
    switch (op) {
        case 0: binary<0>(a, a_step, b, b_step, y, n, to); break;
        case 1: binary<1>(a, a_step, b, b_step, y, n, to); break;
        case 2: binary<2>(a, a_step, b, b_step, y, n, to); break;
        default: binary<3>(a, a_step, b, b_step, y, n, to); break;
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
