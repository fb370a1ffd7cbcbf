// What several files of this folder do with eight lanes. Nothing of it may leave a file that includes it (docs/
// design.md, "The dispatch seam").
#pragma once

#include <immintrin.h>

#include "kernels/avx2/overrides.h"

// Keeps a sum in its register: without this GCC moves all loads and products of a step before its additions, and
// spills.
#define BP_PIN(sum) asm("" : "+x"(sum))

namespace bitpress::avx2 {
namespace {

constexpr size_t panel_columns = 16;

// All ones in the first n (0..8) lanes.
static inline __m256i lanes(size_t n) noexcept {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), index);
}

// The first n (8 where it is more) floats of v. A store by mask is slow on some CPUs.
static inline void store_some(float* y, size_t n, __m256 v) noexcept {
    if (n >= 8) {
        _mm256_storeu_ps(y, v);
        return;
    }
    __m128 part = _mm256_castps256_ps128(v);
    if ((n & 4U) != 0) {
        _mm_storeu_ps(y, part);
        part = _mm256_extractf128_ps(v, 1);
        y += 4;
    }
    if ((n & 2U) != 0) {
        _mm_storel_pi(reinterpret_cast<__m64*>(y), part);
        part = _mm_movehl_ps(part, part);
        y += 2;
    }
    if ((n & 1U) != 0) _mm_store_ss(y, part);
}

struct Clip {
    __m256 low, high;
};

// The operands' order lets NaN through.
static inline __m256 clip(__m256 x, const Clip& to) noexcept {
    return _mm256_min_ps(to.high, _mm256_max_ps(to.low, x));
}

static inline int total(__m256i v) noexcept {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(2, 3, 0, 1))));
}

static inline float total(__m256 v) noexcept {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

// The bits of magnitudes; as integers they are in order, with infinity and NaN above.
static inline __m256i magnitude(__m256 x) noexcept {
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(0x7FFFFFFF));
}

// Those of the largest of k.
static inline unsigned largest(const float* x, size_t k) noexcept {
    __m256i most0 = _mm256_setzero_si256();
    __m256i most1 = _mm256_setzero_si256();
    size_t p = 0;
    for (; p + 16 <= k; p += 16) {
        most0 = _mm256_max_epi32(most0, magnitude(_mm256_loadu_ps(x + p)));
        most1 = _mm256_max_epi32(most1, magnitude(_mm256_loadu_ps(x + p + 8)));
    }
    for (; p < k; p += 8) {
        const __m256i mask = lanes(k - p < 8 ? k - p : 8);
        most0 = _mm256_max_epi32(most0, magnitude(_mm256_maskload_ps(x + p, mask)));
    }
    most0 = _mm256_max_epi32(most0, most1);
    __m128i half = _mm_max_epi32(_mm256_castsi256_si128(most0), _mm256_extracti128_si256(most0, 1));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(1, 0, 3, 2)));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(2, 3, 0, 1)));
    return static_cast<unsigned>(_mm_cvtsi128_si32(half));
}

// How a row of k floats becomes codes of -most_code..most_code (quantize_row_* of kernels.def).
struct RowCodes {
    bool alive;
    float scale;     // 0 where the row is taken as zeros, NaN where it holds NaN or infinity
    __m256 inverse;  // 0 where not alive
    __m256 keep;     // all ones where alive

    RowCodes(const float* x, size_t k, float most_code) noexcept {
        const unsigned most = largest(x, k);
        const bool finite = most < 0x7F800000U;
        alive = finite && most >= (127U - 100U) << 23U /* 2^-100 */;
        const float size = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(most))));
        scale = !finite ? __builtin_nanf("") : alive ? size / most_code : 0.0F;
        inverse = _mm256_set1_ps(alive ? most_code / size : 0.0F);
        keep = _mm256_castsi256_ps(_mm256_set1_epi32(alive ? -1 : 0));
    }
    __m256i eight(const float* x) const noexcept {
        return _mm256_cvtps_epi32(_mm256_and_ps(_mm256_mul_ps(_mm256_loadu_ps(x), inverse), keep));
    }
    int one(float x) const noexcept {
        return alive ? _mm_cvtss_si32(_mm_mul_ss(_mm_set_ss(x), _mm256_castps256_ps128(inverse))) : 0;
    }
};

// A sum of products of integers as a float, from `start` on.
static inline __m256 finish(__m256i sum, __m256 start, __m256 column_scales, __m256 row_scale,
                            const Clip& to) noexcept {
    const __m256 scaled = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), column_scales), row_scale);
    return clip(_mm256_add_ps(start, scaled), to);
}

// How much of a panel's 16 columns is used: all of them, 9 to 15, 1 to 8.
enum class Width { full, most, half };

template <size_t n>
struct Rows {
    static constexpr size_t count = n;
};

// tile(Rows<n>{}, i) for rows i.. i + n - 1 of m: six at a time, then the rest.
template <class Tile>
[[gnu::always_inline]] static inline void by_six(size_t m, const Tile& tile) noexcept {
    size_t i = 0;
    for (; i + 6 <= m; i += 6) tile(Rows<6>{}, i);
    switch (m - i) {
        case 1: tile(Rows<1>{}, i); break;
        case 2: tile(Rows<2>{}, i); break;
        case 3: tile(Rows<3>{}, i); break;
        case 4: tile(Rows<4>{}, i); break;
        case 5: tile(Rows<5>{}, i); break;
        default: break;
    }
}

}  // namespace
}  // namespace bitpress::avx2
