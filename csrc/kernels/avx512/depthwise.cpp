// Depthwise convolution of one plane: blocks of rows x 16 columns (8 where a row has no more), whose last columns are
// stored by mask.
#include "kernels/avx512/overrides.h"
#include "kernels/vectors512.h"

namespace bitpress::avx512 {
namespace {

struct Taps {
    const float* w;
    const size_t* offsets;
    size_t count;
    size_t row_step;
    __m512 bias;
    Clip to;
};

// Sixteen or eight lanes.
struct Sixteen {
    using Vector = __m512;
    static constexpr size_t lanes = 16;
    static Vector all(float x) noexcept { return _mm512_set1_ps(x); }
    static Vector load(const float* x, __mmask16 some) noexcept { return _mm512_maskz_loadu_ps(some, x); }
    static Vector add(Vector w, Vector x, Vector sum) noexcept { return _mm512_fmadd_ps(w, x, sum); }
    static Vector first(__m512 x) noexcept { return x; }
    static void store(float* y, __mmask16 some, Vector sum, const Clip& to) noexcept {
        _mm512_mask_storeu_ps(y, some, clip(sum, to));
    }
};

struct Eight {
    using Vector = __m256;
    static constexpr size_t lanes = 8;
    static Vector all(float x) noexcept { return _mm256_set1_ps(x); }
    static Vector load(const float* x, __mmask16 some) noexcept {
        return _mm256_maskz_loadu_ps(static_cast<__mmask8>(some), x);
    }
    static Vector add(Vector w, Vector x, Vector sum) noexcept { return _mm256_fmadd_ps(w, x, sum); }
    static Vector first(__m512 x) noexcept { return _mm512_castps512_ps256(x); }
    static void store(float* y, __mmask16 some, Vector sum, const Clip& to) noexcept {
        const Vector high = _mm512_castps512_ps256(to.high);
        const Vector clipped = _mm256_min_ps(high, _mm256_max_ps(_mm512_castps512_ps256(to.low), sum));
        _mm256_mask_storeu_ps(y, static_cast<__mmask8>(some), clipped);
    }
};

// rows x the lanes of V outputs, n apart, of which each row has those in `used`.
template <class V, size_t rows>
static void block(const float* x, const Taps& taps, float* y, size_t n, __mmask16 used) noexcept {
    typename V::Vector sum[rows];
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; ++r) sum[r] = V::first(taps.bias);
    for (size_t t = 0; t < taps.count; ++t) {
        const typename V::Vector factor = V::all(taps.w[t]);
        const float* from = x + taps.offsets[t];
#pragma GCC unroll 14
        for (size_t r = 0; r < rows; ++r) sum[r] = V::add(factor, V::load(from + r * taps.row_step, used), sum[r]);
    }
#pragma GCC unroll 14
    for (size_t r = 0; r < rows; ++r) V::store(y + r * n, used, sum[r], taps.to);
}

// The same where a tap of the next row of a kernel x kernel window reads what this one reads for the next output row:
// an input is loaded once for all of them. Each output's sum is in the order of the taps here too.
template <class V, size_t kernel, size_t rows>
static void rolling_block(const float* x, const Taps& taps, float* y, size_t n, __mmask16 used) noexcept {
    typename V::Vector sum[rows];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; ++r) sum[r] = V::first(taps.bias);
#pragma GCC unroll 12
    for (size_t row = 0; row < rows + kernel - 1; ++row, x += taps.row_step) {
#pragma GCC unroll 5
        for (size_t t = 0; t < kernel; ++t) {
            const typename V::Vector in = V::load(x + taps.offsets[t], used);
#pragma GCC unroll 8
            for (size_t r = 0; r < rows; ++r) {
                if (row < r || row >= r + kernel) continue;
                sum[r] = V::add(V::all(taps.w[(row - r) * kernel + t]), in, sum[r]);
            }
        }
    }
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; ++r) V::store(y + r * n, used, sum[r], taps.to);
}

// How wide the window is whose rows roll so, or 0.
static size_t rolling(const size_t* offsets, size_t taps, size_t row_step) noexcept {
    const size_t kernel = taps == 9 ? 3 : taps == 25 ? 5 : 0;
    for (size_t t = kernel; kernel != 0 && t < taps; ++t) {
        if (offsets[t] != offsets[t - kernel] + row_step) return 0;
    }
    return kernel;
}

// All rows of some columns: fourteen at a time, then seven, then one by one.
template <class V>
static void strip(const float* x, const Taps& taps, float* y, size_t rows, size_t n, size_t kernel,
                  __mmask16 used) noexcept {
    size_t r = 0;
    for (; kernel == 3 && r + 7 <= rows; r += 7) {
        rolling_block<V, 3, 7>(x + r * taps.row_step, taps, y + r * n, n, used);
    }
    for (; kernel == 5 && r + 7 <= rows; r += 7) {
        rolling_block<V, 5, 7>(x + r * taps.row_step, taps, y + r * n, n, used);
    }
    for (; r + 14 <= rows; r += 14) block<V, 14>(x + r * taps.row_step, taps, y + r * n, n, used);
    for (; r + 7 <= rows; r += 7) block<V, 7>(x + r * taps.row_step, taps, y + r * n, n, used);
    for (; r + 2 <= rows; r += 2) block<V, 2>(x + r * taps.row_step, taps, y + r * n, n, used);
    for (; r < rows; ++r) block<V, 1>(x + r * taps.row_step, taps, y + r * n, n, used);
}

}  // namespace

void depthwise_f32(const float* x, const float* w, const size_t* offsets, size_t taps, size_t row_step, float bias,
                   float low, float high, float* y, size_t rows, size_t n) noexcept {
    const Clip to = {_mm512_set1_ps(low), _mm512_set1_ps(high)};
    const Taps all = {w, offsets, taps, row_step, _mm512_set1_ps(bias), to};
    const size_t kernel = rolling(offsets, taps, row_step);
    for (size_t i = 0; i < n;) {
        const size_t left = n - i;
        if (left > 8) {
            strip<Sixteen>(x + i, all, y + i, rows, n, kernel, lanes(left < 16 ? left : 16));
            i += 16;
        } else {
            strip<Eight>(x + i, all, y + i, rows, n, kernel, lanes(left));
            i += 8;
        }
    }
}

}  // namespace bitpress::avx512
