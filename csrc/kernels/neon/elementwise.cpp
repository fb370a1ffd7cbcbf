// Float loops with no reduction.
#include "kernels/neon/vectors.h"

namespace bitpress::neon {
namespace {

template <unsigned op>
static float32x4_t apply(float32x4_t a, float32x4_t b) noexcept {
    if (op == 0) return vaddq_f32(a, b);
    if (op == 1) return vsubq_f32(a, b);
    if (op == 2) return vmulq_f32(a, b);
    if (op == 3) return vdivq_f32(a, b);
    const uint32x4_t first = vorrq_u32(op == 4 ? vcgtq_f32(a, b) : vcltq_f32(a, b), vmvnq_u32(vceqq_f32(a, a)));
    return vbslq_f32(first, a, b);
}

template <unsigned op>
static void binary(const float* a, size_t a_step, const float* b, size_t b_step, float* y, size_t n,
                   const Clip& to) noexcept {
    const float32x4_t a_fixed = vld1q_dup_f32(a);
    const float32x4_t b_fixed = vld1q_dup_f32(b);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t left = a_step == 0 ? a_fixed : vld1q_f32(a + i);
        const float32x4_t right = b_step == 0 ? b_fixed : vld1q_f32(b + i);
        vst1q_f32(y + i, clip(apply<op>(left, right), to));
    }
    if (i == n) return;
    const float32x4_t left = a_step == 0 ? a_fixed : load_some(a + i, n - i);
    const float32x4_t right = b_step == 0 ? b_fixed : load_some(b + i, n - i);
    store_some(y + i, n - i, clip(apply<op>(left, right), to));
}

}  // namespace

void binary_f32(unsigned op, const float* a, size_t a_step, const float* b, size_t b_step, float* y, size_t n,
                float low, float high) noexcept {
    if (n == 0) return;
    const Clip to(low, high);
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
    const Clip to(low, high);
    const float32x4_t factor = vdupq_n_f32(scale);
    const float32x4_t offset = vdupq_n_f32(shift);
    const auto of = [&](float32x4_t four) { return clip(vaddq_f32(vmulq_f32(four, factor), offset), to); };
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(y + i, of(vld1q_f32(x + i)));
    if (i < n) store_some(y + i, n - i, of(load_some(x + i, n - i)));
}

}  // namespace bitpress::neon
