// AVX-512's intrinsics, and what the folders compiled for it do with sixteen lanes. Nothing of it may leave a file that
// includes it (docs/design.md, "The dispatch seam").
#pragma once

#include <stddef.h>

// GCC 12 takes some of its own intrinsics for uses of what is not initialized (its bug 105593).
#ifndef __clang__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic pop
#endif

namespace bitpress {
namespace {

constexpr size_t panel_columns = 16;

// The first n (0..16) lanes.
static inline __mmask16 lanes(size_t n) noexcept { return static_cast<__mmask16>((1U << n) - 1U); }

struct Clip {
    __m512 low, high;
};

// The operands' order lets NaN through.
static inline __m512 clip(__m512 x, const Clip& to) noexcept {
    return _mm512_min_ps(to.high, _mm512_max_ps(to.low, x));
}

template <size_t n>
struct Rows {
    static constexpr size_t count = n;
};

// tile(Rows<n>{}, i) for rows i.. i + n - 1 of m: twelve at a time, then the rest (16: 8 and 8).
template <class Tile>
[[gnu::always_inline]] static inline void by_twelve(size_t m, const Tile& tile) noexcept {
    size_t i = 0;
    for (; i + 12 <= m && m - i != 16; i += 12) tile(Rows<12>{}, i);
    for (; i + 8 <= m; i += 8) tile(Rows<8>{}, i);
    if (i + 4 <= m) {
        tile(Rows<4>{}, i);
        i += 4;
    }
    switch (m - i) {
        case 1: tile(Rows<1>{}, i); break;
        case 2: tile(Rows<2>{}, i); break;
        case 3: tile(Rows<3>{}, i); break;
        default: break;
    }
}

}  // namespace
}  // namespace bitpress
