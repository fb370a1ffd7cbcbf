// What several files of this folder share. Nothing of it may leave a file that includes it.
#pragma once

#include "kernels/avx512vnni/overrides.h"
#include "kernels/vectors512.h"

namespace bitpress::avx512vnni {
namespace {

// A sum of products of integers as a float.
static inline __m512 scaled(__m512i sum, __m512 column_scales, __m512 row_scale) noexcept {
    return _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum), column_scales), row_scale);
}

// The same from `start` on.
static inline __m512 finish(__m512i sum, __m512 start, __m512 column_scales, __m512 row_scale,
                            const Clip& to) noexcept {
    return clip(_mm512_add_ps(start, scaled(sum, column_scales, row_scale)), to);
}

// Words w of sixteen rows of 64 bytes become row w.
[[gnu::always_inline]] static inline void transpose(__m512i* a) noexcept {
    __m512i b[16];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
        b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {  // in quarter q: word 4 q + s of rows 4 i .. 4 i + 3, at a[4 * i + s]
        a[4 * i] = _mm512_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 1] = _mm512_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 2] = _mm512_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
        a[4 * i + 3] = _mm512_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
#pragma GCC unroll 4
    for (size_t s = 0; s < 4; ++s) {
        const __m512i even0 = _mm512_shuffle_i32x4(a[s], a[4 + s], 0x88);
        const __m512i odd0 = _mm512_shuffle_i32x4(a[s], a[4 + s], 0xDD);
        const __m512i even1 = _mm512_shuffle_i32x4(a[8 + s], a[12 + s], 0x88);
        const __m512i odd1 = _mm512_shuffle_i32x4(a[8 + s], a[12 + s], 0xDD);
        b[s] = _mm512_shuffle_i32x4(even0, even1, 0x88);
        b[8 + s] = _mm512_shuffle_i32x4(even0, even1, 0xDD);
        b[4 + s] = _mm512_shuffle_i32x4(odd0, odd1, 0x88);
        b[12 + s] = _mm512_shuffle_i32x4(odd0, odd1, 0xDD);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; ++i) a[i] = b[i];
}

}  // namespace
}  // namespace bitpress::avx512vnni
