// Products of weight codes of 2 to 8 bits with activations of 8 bits: VPDPBUSD sums four of them in 32 bits, exactly.
#include <string.h>

#include "kernels/avx512vnni/vectors.h"

namespace bitpress::avx512vnni {
namespace {

struct Product {
    size_t quads;
    const int8_t* a;
    size_t lda;
    const int32_t* sums;
    const float* row_scales;
    const float* starts;
    float* c;
    size_t ldc;
    Clip to;
};

// What belongs to the columns of one panel.
struct Columns {
    __m512i zeros;
    __m512 scales;
    const uint8_t* panel;
    int zero;  // that of all columns, where they have the same
    __mmask16 used;
};

// common: all columns have the same zero. plain: all columns of the panel are there, and nothing is clipped.
template <size_t rows, bool plain, bool common>
static void tile(const Product& of, size_t row, const Columns& with, float* c) noexcept {
    __m512i sums[rows];
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) {
        sums[i] = common ? _mm512_set1_epi32(-with.zero * of.sums[row + i]) : _mm512_setzero_si512();
    }
    const int8_t* a = of.a + row * of.lda;
    const auto add = [&](size_t q) {
        const uint8_t* from = with.panel + q * 4 * panel_columns;
        _mm_prefetch(reinterpret_cast<const char*>(from + 64 * 64), _MM_HINT_T0);  // panels in a file come from memory
        const __m512i b = _mm512_loadu_si512(from);
#pragma GCC unroll 12
        for (size_t i = 0; i < rows; ++i) {
            int quad = 0;
            memcpy(&quad, a + i * of.lda + 4 * q, sizeof quad);
            sums[i] = _mm512_dpbusd_epi32(sums[i], b, _mm512_set1_epi32(quad));
        }
    };
    size_t q = 0;
    for (; q + 4 <= of.quads; q += 4) {  // turns are few enough for their end to be foreseen
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; ++i) add(q + i);
    }
    for (; q < of.quads; ++q) add(q);
#pragma GCC unroll 12
    for (size_t i = 0; i < rows; ++i) {
        float* out = c + (row + i) * of.ldc;
        if (!common) {
            sums[i] = _mm512_sub_epi32(sums[i], _mm512_mullo_epi32(with.zeros, _mm512_set1_epi32(of.sums[row + i])));
        }
        const __m512 held = plain ? _mm512_loadu_ps(out) : _mm512_maskz_loadu_ps(with.used, out);
        const __m512 start = of.starts != nullptr ? _mm512_set1_ps(of.starts[row + i]) : held;
        const __m512 scale = _mm512_set1_ps(of.row_scales[row + i]);
        if (plain) {
            _mm512_storeu_ps(out, _mm512_add_ps(start, scaled(sums[i], with.scales, scale)));
        } else {
            _mm512_mask_storeu_ps(out, with.used, finish(sums[i], start, with.scales, scale, of.to));
        }
    }
}

template <bool plain>
static void column(const Product& of, size_t m, const Columns& with, float* c) noexcept {
    const __m512i same = _mm512_set1_epi32(with.zero);
    if (_mm512_mask_cmpneq_epi32_mask(with.used, with.zeros, same) == 0) {
        by_twelve(m, [&](auto rows, size_t i) { tile<decltype(rows)::count, plain, true>(of, i, with, c); });
    } else {
        by_twelve(m, [&](auto rows, size_t i) { tile<decltype(rows)::count, plain, false>(of, i, with, c); });
    }
}

// Sixteen vectors of sixteen numbers: of each, the sums of its first and of its last eight.
[[gnu::always_inline]] static inline void halves(const __m512i* v, __m512i* first, __m512i* last) noexcept {
    __m512i two[8];
    __m512i four[4];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; ++i) {
        two[i] = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2 * i], v[2 * i + 1]),
                                  _mm512_unpackhi_epi32(v[2 * i], v[2 * i + 1]));
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) {  // in each quarter, of vectors 4 i .. 4 i + 3
        four[i] = _mm512_add_epi32(_mm512_unpacklo_epi64(two[2 * i], two[2 * i + 1]),
                                   _mm512_unpackhi_epi64(two[2 * i], two[2 * i + 1]));
    }
    const __m512i low =
        _mm512_add_epi32(_mm512_shuffle_i32x4(four[0], four[1], 0x88), _mm512_shuffle_i32x4(four[0], four[1], 0xDD));
    const __m512i high =
        _mm512_add_epi32(_mm512_shuffle_i32x4(four[2], four[3], 0x88), _mm512_shuffle_i32x4(four[2], four[3], 0xDD));
    *first = _mm512_shuffle_i32x4(low, high, 0x88);
    *last = _mm512_shuffle_i32x4(low, high, 0xDD);
}

constexpr size_t dots_rows = 16;

struct Dots {
    const uint8_t* packed;
    size_t stride, k, block;
    const int8_t* x;
    const int32_t* sums;
    const float* x_scales;
    const float* scales;
    const uint8_t* zeros;
    size_t row_step, block_step;
    size_t blocks() const noexcept { return (k + block - 1) / block; }
};

// The activations that meet the codes of 64 packed bytes, by shift; of 32 bytes: the rest is 0.
template <unsigned bits>
[[gnu::always_inline]] static inline void read_row(const int8_t* x, bool whole, __m512i* with) noexcept {
    constexpr size_t shifts = 8 / bits;
    __m512i part[shifts];
#pragma GCC unroll 4
    for (size_t i = 0; i < shifts; ++i) {
        part[i] = whole || i < shifts / 2 ? _mm512_loadu_si512(x + 64 * i) : _mm512_setzero_si512();
    }
#pragma GCC unroll 2
    for (size_t i = 0; i < shifts / 2; ++i) {
        with[2 * i] = _mm512_shuffle_i64x2(part[i], part[i + shifts / 2], 0x44);
        with[2 * i + 1] = _mm512_shuffle_i64x2(part[i], part[i + shifts / 2], 0xEE);
    }
}

// Sixteen packed rows at once. A row that is missing is stood in for by the last one.
template <unsigned bits>
struct Sixteen {
    const Dots& of;
    size_t row, rows;
    __mmask16 used;
    alignas(64) float scales[dots_rows][dots_rows];  // of some blocks: of each row
    __m512 result;

    Sixteen(const Dots& dots, size_t first, size_t count, const float* y) noexcept
        : of(dots), row(first), rows(count), used(lanes(count)), result(_mm512_maskz_loadu_ps(used, y)) {}

    // Adds what codes from packed byte `at` on give: 64 of them, or 32 and zeros.
    [[gnu::always_inline]] void add(size_t at, bool whole, __m512i* sums) const noexcept {
        const __m512i mask = _mm512_set1_epi8((1 << bits) - 1);
        const __mmask8 loaded = whole ? 0xFF : 0x0F;
        __m512i with[8 / bits];
        read_row<bits>(of.x + at * (8 / bits), whole, with);
        const uint8_t* from = of.packed + row * of.stride + at;
        const size_t ahead = 2 * dots_rows * of.stride;  // rows are too short for what the hardware foresees
#pragma GCC unroll 16
        for (size_t r = 0; r < dots_rows; ++r) {
            _mm_prefetch(reinterpret_cast<const char*>(from + ahead), _MM_HINT_T1);
            __m512i word = _mm512_maskz_loadu_epi64(loaded, from);
            if (r + 1 < rows) from += of.stride;
#pragma GCC unroll 4
            for (size_t i = 0; i < 8 / bits; ++i) {
                sums[r] = _mm512_dpbusd_epi32(sums[r], _mm512_and_si512(word, mask), with[i]);
                if (i + 1 < 8 / bits) word = _mm512_srli_epi16(word, bits);
            }
        }
    }

    // The sums of one panel (16 columns in quads) over k from `first` to `end`.
    [[gnu::always_inline]] __m512i panel_sums(size_t first, size_t end) const noexcept {
        constexpr size_t ahead = 64 * 64;  // bytes: the next page too, which the hardware does not foresee
        constexpr size_t shifts = 8 / bits;
        const __m512i mask = _mm512_set1_epi8(static_cast<char>((1U << bits) - 1U));
        const uint8_t* from = of.packed + row / dots_rows * of.stride + 2 * first * bits;
        __m512i sums[4] = {};
        for (size_t p = first; p < end; p += 4 * shifts, from += 64) {
            _mm_prefetch(reinterpret_cast<const char*>(from + ahead), _MM_HINT_T0);
            __m512i word = _mm512_loadu_si512(from);
#pragma GCC unroll 4
            for (size_t i = 0; i < shifts; ++i) {
                int quad = 0;
                memcpy(&quad, of.x + p + 4 * i, sizeof quad);
                const __m512i codes = bits == 8 ? word : _mm512_and_si512(word, mask);
                sums[i] = _mm512_dpbusd_epi32(sums[i], codes, _mm512_set1_epi32(quad));
                if (i + 1 < shifts) word = _mm512_srli_epi16(word, bits);
            }
        }
        return _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
    }

    void run_panel() noexcept {
        for (size_t first = 0, b = 0; first < of.k; first += of.block, ++b) {
            if (b % dots_rows == 0) read_scales(b);
            finish(b, panel_sums(first, of.k - first < of.block ? of.k : first + of.block));
        }
    }

    __m512i zeros(size_t b) const noexcept {
        if (of.zeros == nullptr) return _mm512_set1_epi32(1 << (bits - 1));
        alignas(64) int32_t of_rows[dots_rows] = {};
        for (size_t r = 0; r < rows; ++r) of_rows[r] = of.zeros[(row + r) * of.row_step + b * of.block_step];
        return _mm512_load_si512(of_rows);
    }

    void finish(size_t b, __m512i sums) noexcept {
        const __m512i shift = _mm512_mullo_epi32(zeros(b), _mm512_set1_epi32(of.sums[b]));
        const __m512 sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums, shift));
        const __m512 scaled = _mm512_mul_ps(sum, _mm512_load_ps(scales[b % dots_rows]));
        result = _mm512_add_ps(result, _mm512_mul_ps(scaled, _mm512_set1_ps(of.x_scales[b])));
    }

    // Scales of blocks b .. b + 15.
    void read_scales(size_t b) noexcept {
        const size_t count = of.blocks() - b < dots_rows ? of.blocks() - b : dots_rows;
        const float* from = of.scales + row * of.row_step + b * of.block_step;
        if (of.block_step == 1) {  // a row's stand side by side
            __m512i words[dots_rows];
#pragma GCC unroll 16
            for (size_t r = 0; r < dots_rows; ++r) {
                const float* there = from + (r < rows ? r : 0) * of.row_step;
                words[r] = _mm512_castps_si512(_mm512_maskz_loadu_ps(lanes(count), there));
            }
            transpose(words);
#pragma GCC unroll 16
            for (size_t i = 0; i < dots_rows; ++i) _mm512_store_si512(scales[i], words[i]);
            return;
        }
        for (size_t i = 0; i < count; ++i) {
            for (size_t r = 0; r < dots_rows; ++r) {
                scales[i][r] = r < rows ? from[r * of.row_step + i * of.block_step] : 0.0F;
            }
        }
    }

    void run() noexcept {
        const size_t bytes = of.block * bits / 8;
        const size_t all = of.k * bits / 8;
        for (size_t at = 0, b = 0; at < all;) {
            if (b % dots_rows == 0) read_scales(b);
            __m512i sums[dots_rows];
            __m512i first;
            __m512i last;
#pragma GCC unroll 16
            for (size_t r = 0; r < dots_rows; ++r) sums[r] = _mm512_setzero_si512();
            if (bytes == 32 && all - at >= 64 && b % 2 == 0) {  // two blocks
                add(at, true, sums);
                halves(sums, &first, &last);
                finish(b, first);
                finish(b + 1, last);
                at += 64;
                b += 2;
                continue;
            }
            const size_t end = all - at < bytes ? all : at + bytes;
            for (; at + 64 <= end; at += 64) add(at, true, sums);
            if (at < end) add(at, false, sums);
            at = end;
            halves(sums, &first, &last);
            finish(b, _mm512_add_epi32(first, last));
            ++b;
        }
    }
};

template <unsigned bits>
static void all_dots(const Dots& of, size_t rows, float* y) noexcept {
    for (size_t row = 0; row < rows; row += dots_rows) {
        const size_t some = rows - row < dots_rows ? rows - row : dots_rows;
        Sixteen<bits> dots(of, row, some, y + row);
        dots.run();
        _mm512_mask_storeu_ps(y + row, dots.used, dots.result);
    }
}

template <unsigned bits>
static void all_panels(const Dots& of, size_t count, float* y) noexcept {
    for (size_t row = 0; row < count * dots_rows; row += dots_rows) {
        Sixteen<bits> dots(of, row, dots_rows, y + row);
        dots.run_panel();
        _mm512_storeu_ps(y + row, dots.result);
    }
}

}  // namespace

void gemm_u8s8(size_t m, size_t n, size_t quads, unsigned, const int8_t* a, size_t lda, const int32_t* sums,
               const uint8_t* panels, const int32_t* zeros, const float* column_scales, const float* row_scales,
               const float* starts, float* c, size_t ldc, float low, float high) noexcept {
    const Clip to = {_mm512_set1_ps(low), _mm512_set1_ps(high)};
    const Product of = {quads, a, lda, sums, row_scales, starts, c, ldc, to};
    const bool free = low == -__builtin_inff() && high == __builtin_inff();
    for (size_t j = 0; j < n; j += panel_columns) {
        const __mmask16 used = lanes(n - j < panel_columns ? n - j : panel_columns);
        const Columns with = {_mm512_maskz_loadu_epi32(used, zeros + j), _mm512_maskz_loadu_ps(used, column_scales + j),
                              panels + j * 4 * quads, zeros[j], used};
        if (free && n - j >= panel_columns) {
            column<true>(of, m, with, c + j);
        } else {
            column<false>(of, m, with, c + j);
        }
    }
}

void dots_u8s8(unsigned bits, const uint8_t* packed, size_t stride, size_t rows, size_t k, size_t block,
               const int8_t* x, const int32_t* sums, const float* x_scales, const float* scales, const uint8_t* zeros,
               size_t row_step, size_t block_step, float* y) noexcept {
    const Dots of = {packed, stride, k, block, x, sums, x_scales, scales, zeros, row_step, block_step};
    if (bits == 4) {
        all_dots<4>(of, rows, y);
    } else {
        all_dots<2>(of, rows, y);
    }
}

void panel_dots_u8s8(unsigned bits, const uint8_t* packed, size_t count, size_t k, size_t block, const int8_t* x,
                     const int32_t* sums, const float* x_scales, const float* scales, const uint8_t* zeros,
                     size_t row_step, size_t block_step, float* y) noexcept {
    const Dots of = {packed, 2 * k * bits, k, block, x, sums, x_scales, scales, zeros, row_step, block_step};
    if (bits == 8) {
        all_panels<8>(of, count, y);
    } else if (bits == 4) {
        all_panels<4>(of, count, y);
    } else {
        all_panels<2>(of, count, y);
    }
}

}  // namespace bitpress::avx512vnni
