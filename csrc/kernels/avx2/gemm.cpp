// Float matrix products: 6 x 16 sums in 12 registers; matrix-vector products four rows at a time.

#include "kernels/avx2/vectors.h"

namespace bitpress::avx2 {
namespace {

// What lies past the rows is never read.
static void prefetch(const float* from) noexcept { _mm_prefetch(reinterpret_cast<const char*>(from), _MM_HINT_T0); }

// Where C begins, and what bounds it.
struct Ends {
    const float* starts;  // of the rows, or null: C itself
    float* c;
    size_t ldc;
    Clip to;

    __m256 start(size_t row, const float* out, __m256i mask) const noexcept {
        return starts != nullptr ? _mm256_broadcast_ss(starts + row) : _mm256_maskload_ps(out, mask);
    }
};

// Rows row.. of one panel.
template <size_t rows>
static void tile(size_t k, const float* a, size_t lda, const float* b, const Ends& ends, size_t row, size_t column,
                 size_t width) noexcept {
    __m256 left[rows];
    __m256 right[rows];
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) left[i] = right[i] = _mm256_setzero_ps();
    for (size_t p = 0; p < k; ++p) {
        if (p % 16 == 0) {  // the next rows come from far, in steps that the hardware does not foresee
#pragma GCC unroll 6
            for (size_t i = 0; i < rows; ++i) prefetch(a + (rows + i) * lda + p);
        }
        const __m256 b0 = _mm256_loadu_ps(b + p * panel_columns);
        const __m256 b1 = _mm256_loadu_ps(b + p * panel_columns + 8);
#pragma GCC unroll 6
        for (size_t i = 0; i < rows; ++i) {
            const __m256 factor = _mm256_broadcast_ss(a + i * lda + p);
            left[i] = _mm256_fmadd_ps(factor, b0, left[i]);
            right[i] = _mm256_fmadd_ps(factor, b1, right[i]);
        }
    }
    const __m256i all = lanes(8);
    const __m256i some = lanes(width - 8);
#pragma GCC unroll 6
    for (size_t i = 0; i < rows; ++i) {
        float* out = ends.c + (row + i) * ends.ldc + column;
        const __m256 y0 = clip(_mm256_add_ps(ends.start(row + i, out, all), left[i]), ends.to);
        const __m256 y1 = clip(_mm256_add_ps(ends.start(row + i, out + 8, some), right[i]), ends.to);
        _mm256_storeu_ps(out, y0);
        store_some(out + 8, width - 8, y1);
    }
}

// The same of at most eight columns.
template <size_t rows>
static void half_tile(size_t k, const float* a, size_t lda, const float* b, const Ends& ends, size_t row, size_t column,
                      size_t width) noexcept {
    __m256 sums[rows];
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) sums[i] = _mm256_setzero_ps();
    for (size_t p = 0; p < k; ++p) {
        const __m256 b0 = _mm256_loadu_ps(b + p * panel_columns);
#pragma GCC unroll 12
        for (size_t i = 0; i < rows; ++i) {
            sums[i] = _mm256_fmadd_ps(_mm256_broadcast_ss(a + i * lda + p), b0, sums[i]);
        }
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) {
        float* out = ends.c + (row + i) * ends.ldc + column;
        store_some(out, width, clip(_mm256_add_ps(ends.start(row + i, out, lanes(width)), sums[i]), ends.to));
    }
}

template <size_t rows>
static void dots(size_t k, const float* a, size_t lda, const float* x, float* y) noexcept {
    __m256 even[rows];
    __m256 odd[rows];
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) even[i] = odd[i] = _mm256_setzero_ps();
    size_t p = 0;
    for (; p + 16 <= k; p += 16) {
        const __m256 x0 = _mm256_loadu_ps(x + p);
        const __m256 x1 = _mm256_loadu_ps(x + p + 8);
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            const float* row = a + i * lda + p;
            even[i] = _mm256_fmadd_ps(_mm256_loadu_ps(row), x0, even[i]);
            odd[i] = _mm256_fmadd_ps(_mm256_loadu_ps(row + 8), x1, odd[i]);
        }
    }
    for (; p < k; p += 8) {
        const __m256i mask = lanes(k - p < 8 ? k - p : 8);
        const __m256 x0 = _mm256_maskload_ps(x + p, mask);
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; ++i) {
            const float* row = a + i * lda + p;
            even[i] = _mm256_fmadd_ps(_mm256_maskload_ps(row, mask), x0, even[i]);
        }
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; ++i) y[i] += total(_mm256_add_ps(even[i], odd[i]));
}

// out[16 * c + r] = a[r * lda + c] for r, c < 8; rows from `rows` on are zeros.
static void transpose8(const float* a, size_t lda, size_t rows, float* out) noexcept {
    __m256 in[8];
    __m256 pair[8];
    __m256 four[8];
#pragma GCC unroll 8
    for (size_t r = 0; r < 8; ++r) in[r] = r < rows ? _mm256_loadu_ps(a + r * lda) : _mm256_setzero_ps();
#pragma GCC unroll 4
    for (size_t r = 0; r < 8; r += 2) {
        pair[r] = _mm256_unpacklo_ps(in[r], in[r + 1]);
        pair[r + 1] = _mm256_unpackhi_ps(in[r], in[r + 1]);
    }
#pragma GCC unroll 2
    for (size_t r = 0; r < 8; r += 4) {
        four[r] = _mm256_shuffle_ps(pair[r], pair[r + 2], _MM_SHUFFLE(1, 0, 1, 0));
        four[r + 1] = _mm256_shuffle_ps(pair[r], pair[r + 2], _MM_SHUFFLE(3, 2, 3, 2));
        four[r + 2] = _mm256_shuffle_ps(pair[r + 1], pair[r + 3], _MM_SHUFFLE(1, 0, 1, 0));
        four[r + 3] = _mm256_shuffle_ps(pair[r + 1], pair[r + 3], _MM_SHUFFLE(3, 2, 3, 2));
    }
#pragma GCC unroll 4
    for (size_t c = 0; c < 4; ++c) {
        _mm256_storeu_ps(out + c * panel_columns, _mm256_permute2f128_ps(four[c], four[c + 4], 0x20));
        _mm256_storeu_ps(out + (c + 4) * panel_columns, _mm256_permute2f128_ps(four[c], four[c + 4], 0x31));
    }
}

}  // namespace

void gemm_f32(size_t m, size_t n, size_t k, const float* a, size_t lda, const float* b, const float* starts, float* c,
              size_t ldc, float low, float high) noexcept {
    const Ends ends = {starts, c, ldc, {_mm256_set1_ps(low), _mm256_set1_ps(high)}};
    const size_t whole = n % panel_columns > 8 ? n : n / panel_columns * panel_columns;
    by_six(m, [&](auto rows, size_t i) {
        for (size_t j = 0; j < whole; j += panel_columns) {  // inside: C's rows are written on and on
            const size_t width = n - j < panel_columns ? n - j : panel_columns;
            tile<decltype(rows)::count>(k, a + i * lda, lda, b + j * k, ends, i, j, width);
        }
    });
    if (whole == n) return;
    size_t i = 0;
    for (; i + 12 <= m; i += 12) half_tile<12>(k, a + i * lda, lda, b + whole * k, ends, i, whole, n - whole);
    by_six(m - i, [&](auto rows, size_t more) {
        constexpr size_t count = decltype(rows)::count;
        half_tile<count>(k, a + (i + more) * lda, lda, b + whole * k, ends, i + more, whole, n - whole);
    });
}

void gemv_f32(size_t m, size_t k, const float* a, size_t lda, const float* x, float* y) noexcept {
    size_t i = 0;
    for (; i + 4 <= m; i += 4) dots<4>(k, a + i * lda, lda, x, y + i);
    for (; i < m; ++i) dots<1>(k, a + i * lda, lda, x, y + i);
}

void pack_panel_f32(const float* a, size_t lda, size_t rows, size_t k, float* out) noexcept {
    size_t j = 0;
    for (; j + 8 <= k; j += 8) {
        transpose8(a + j, lda, rows, out + j * panel_columns);
        transpose8(a + j + 8 * lda, lda, rows < 8 ? 0 : rows - 8, out + j * panel_columns + 8);
    }
    scalar::pack_panel_f32(a + j, lda, rows, k - j, out + j * panel_columns);
}

}  // namespace bitpress::avx2
