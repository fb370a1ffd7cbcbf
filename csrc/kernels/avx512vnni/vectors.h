// What several files of this folder share. Nothing of it may leave a file that includes it.
#pragma once

#include "kernels/avx512vnni/overrides.h"
#include "kernels/vectors512.h"

namespace bitpress::avx512vnni {
namespace {

// A sum of products of integers as a float, from `start` on.
static inline __m512 finish(__m512i sum, __m512 start, __m512 column_scales, __m512 row_scale,
                            const Clip& to) noexcept {
    const __m512 scaled = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), column_scales), row_scale);
    return clip(_mm512_add_ps(start, scaled), to);
}

}  // namespace
}  // namespace bitpress::avx512vnni
