// What products of bytes read: rows of activations as 8-bit codes, weight codes as panels of quads.
#include "kernels/avx512vnni/vectors.h"

namespace bitpress::avx512vnni {
namespace {

// The bits of magnitudes; as integers they are in order, with infinity and NaN above.
static __m512i magnitude(__m512 x) noexcept {
    return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7FFFFFFF));
}

// How a row of k floats becomes codes of -127..127 (quantize_row_s8 of kernels.def).
struct RowCodes {
    __m512 inverse;
    __mmask16 alive;
    float scale;  // 0 where the row is taken as zeros, NaN where it holds NaN or infinity

    RowCodes(const float* x, size_t k) noexcept {
        __m512i most[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
        size_t p = 0;
        for (; p + 32 <= k; p += 32) {
            most[0] = _mm512_max_epi32(most[0], magnitude(_mm512_loadu_ps(x + p)));
            most[1] = _mm512_max_epi32(most[1], magnitude(_mm512_loadu_ps(x + p + 16)));
        }
        for (; p < k; p += 16) {
            const __m512 rest = _mm512_maskz_loadu_ps(lanes(k - p < 16 ? k - p : 16), x + p);
            most[0] = _mm512_max_epi32(most[0], magnitude(rest));
        }
        const int bits = _mm512_reduce_max_epi32(_mm512_max_epi32(most[0], most[1]));
        const bool finite = bits < 0x7F800000;
        const bool held = finite && bits >= (127 - 100) << 23 /* 2^-100 */;
        const float size = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
        scale = !finite ? __builtin_nanf("") : held ? size / 127.0F : 0.0F;
        inverse = _mm512_set1_ps(held ? 127.0F / size : 0.0F);
        alive = held ? 0xFFFF : 0;
    }
    __m512i sixteen(__mmask16 used, const float* x) const noexcept {
        const __m512 values = _mm512_maskz_loadu_ps(used & alive, x);
        return _mm512_cvtps_epi32(_mm512_mul_ps(values, inverse));
    }
    // 64 floats as codes in their order.
    __m512i codes(const float* x) const noexcept {
        const __m512i low = _mm512_packs_epi32(sixteen(0xFFFF, x), sixteen(0xFFFF, x + 16));
        const __m512i high = _mm512_packs_epi32(sixteen(0xFFFF, x + 32), sixteen(0xFFFF, x + 48));
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
    }
};

// Bytes r * spread + i at place 32 * i + r of 32 * spread.
struct Order {
    alignas(64) uint8_t from[128];
    explicit Order(size_t spread) noexcept {
        for (size_t i = 0; i < spread; ++i) {
            for (size_t r = 0; r < 32; ++r) from[32 * i + r] = static_cast<uint8_t>(r * spread + i);
        }
    }
};

// Up to 64 bytes (a multiple of 4) of each of up to 16 rows, as words; the rest is 0.
[[gnu::always_inline]] static inline void read_words(const uint8_t* from, size_t stride, size_t rows, __mmask64 used,
                                                     __m512i* words) noexcept {
#pragma GCC unroll 16
    for (size_t i = 0; i < panel_columns; ++i) {
        words[i] = i < rows ? _mm512_maskz_loadu_epi8(used, from + i * stride) : _mm512_setzero_si512();
    }
    transpose(words);
}

static void store(uint8_t* to, __m512i codes) noexcept { _mm512_storeu_si512(to, codes); }

static __mmask64 bytes(size_t n) noexcept { return n >= 64 ? ~__mmask64{0} : (__mmask64{1} << n) - 1; }

constexpr size_t ahead_rows = 32;

template <unsigned bits>
static void panels_of(const uint8_t* packed, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    const __m512i mask = _mm512_set1_epi8((1 << bits) - 1);
    const size_t length = k * bits / 8;
    for (size_t j = 0; j < width; j += panel_columns) {
        const size_t rows = width - j < panel_columns ? width - j : panel_columns;
        for (size_t at = 0; at < length; at += 64) {
            const uint8_t* from = packed + j * stride + at;
            for (size_t row = 0; row < rows; ++row) {  // what a later call will want: more rows
                _mm_prefetch(reinterpret_cast<const char*>(from + (row + ahead_rows) * stride), _MM_HINT_T1);
            }
            __m512i words[16];
            read_words(from, stride, rows, bytes(length - at), words);
            uint8_t* to = panels + j * k + at * (8 / bits) * panel_columns;
#pragma GCC unroll 16
            for (size_t w = 0; w < 16; ++w) {
                if (w == 8 && length - at < 64) break;
                uint8_t* quad = to + (w / 8 * (64 / bits) + w % 8) * 4 * panel_columns;
#pragma GCC unroll 4
                for (size_t i = 0; i < 8 / bits; ++i) {
                    store(quad + 8 * i * 4 * panel_columns, _mm512_and_si512(words[w], mask));
                    words[w] = _mm512_srli_epi16(words[w], bits);
                }
            }
        }
    }
}

template <unsigned bits>
static void spread_of(const uint8_t* packed, size_t k, uint8_t* panel) noexcept {
    constexpr size_t quad = 4 * panel_columns;  // bytes of one
    constexpr size_t ahead = 32 * quad;         // the next page too, which the hardware does not foresee
    const __m512i mask = _mm512_set1_epi8((1 << bits) - 1);
    for (size_t p = 0; p < k; p += 32 / bits, packed += quad) {
        _mm_prefetch(reinterpret_cast<const char*>(packed + ahead), _MM_HINT_T0);
        __m512i word = _mm512_loadu_si512(packed);
#pragma GCC unroll 4
        for (size_t i = 0; i < 8 / bits; ++i, panel += quad) {
            store(panel, _mm512_and_si512(word, mask));
            word = _mm512_srli_epi16(word, bits);
        }
    }
}

}  // namespace

void quantize_row_s8(const float* x, size_t k, size_t spread, int8_t* codes, float* scale, int32_t* sum) noexcept {
    const RowCodes row(x, k);
    *scale = row.scale;
    const __m512i ones = _mm512_set1_epi8(1);
    __m512i sums = _mm512_setzero_si512();
    size_t p = 0;
    if (spread == 4) {
        const Order order(4);
        const __m512i from[2] = {_mm512_load_si512(order.from), _mm512_load_si512(order.from + 64)};
        for (; p + 128 <= k; p += 128) {
            const __m512i low = row.codes(x + p);
            const __m512i high = row.codes(x + p + 64);
            sums = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sums, ones, low), ones, high);
            _mm512_storeu_si512(codes + p, _mm512_permutex2var_epi8(low, from[0], high));
            _mm512_storeu_si512(codes + p + 64, _mm512_permutex2var_epi8(low, from[1], high));
        }
    } else {
        const Order order(2);
        const __m512i from = _mm512_load_si512(order.from);
        for (; p + 64 <= k; p += 64) {
            const __m512i some = row.codes(x + p);
            sums = _mm512_dpbusd_epi32(sums, ones, some);
            _mm512_storeu_si512(codes + p, spread == 1 ? some : _mm512_permutexvar_epi8(from, some));
        }
    }
    for (; p < k; p += 16) {
        const size_t left = k - p < 16 ? k - p : 16;
        const __m128i some = _mm512_cvtepi32_epi8(row.sixteen(lanes(left), x + p));
        sums = _mm512_dpbusd_epi32(sums, ones, _mm512_zextsi128_si512(some));
        _mm_mask_storeu_epi8(codes + p, lanes((left + 3) / 4 * 4), some);
    }
    *sum = _mm512_reduce_add_epi32(sums);
}

void panel_columns_u8(const uint8_t* codes, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    const size_t deep = (k + 3) / 4 * 4;
    alignas(64) uint8_t from[64];
    for (size_t i = 0; i < 64; ++i) from[i] = static_cast<uint8_t>(i % 4 * 16 + i / 4);
    const __m512i order = _mm512_load_si512(from);
    for (size_t p = 0; p < deep; p += 4) {
        for (size_t j = 0; j < width; j += panel_columns) {
            const __mmask16 used = lanes(width - j < panel_columns ? width - j : panel_columns);
            const uint8_t* at = codes + p * stride + j;
            __m128i row[4];
#pragma GCC unroll 4
            for (size_t i = 0; i < 4; ++i) {
                row[i] = p + i < k ? _mm_maskz_loadu_epi8(used, at + i * stride) : _mm_setzero_si128();
            }
            const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(row[0]), row[1], 1);
            const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(row[2]), row[3], 1);
            const __m512i rows = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
            store(panels + j * deep + p * panel_columns, _mm512_permutexvar_epi8(order, rows));
        }
    }
}

void panel_rows_u8(const uint8_t* codes, size_t stride, size_t width, size_t k, uint8_t* panels) noexcept {
    const size_t deep = (k + 3) / 4 * 4;
    for (size_t j = 0; j < width; j += panel_columns) {
        const size_t rows = width - j < panel_columns ? width - j : panel_columns;
        for (size_t p = 0; p < k; p += 64) {
            __m512i words[16];
            read_words(codes + j * stride + p, stride, rows, bytes(k - p), words);
            const size_t quads = deep - p < 64 ? (deep - p) / 4 : 16;
            uint8_t* to = panels + j * deep + p * panel_columns;
            for (size_t w = 0; w < quads; ++w) store(to + w * 4 * panel_columns, words[w]);
        }
    }
}

void panel_packed_u8(unsigned bits, const uint8_t* packed, size_t stride, size_t width, size_t k,
                     uint8_t* panels) noexcept {
    if (bits == 4) {
        panels_of<4>(packed, stride, width, k, panels);
    } else {
        panels_of<2>(packed, stride, width, k, panels);
    }
}

void spread_panel_u8(unsigned bits, const uint8_t* packed, size_t k, uint8_t* panel) noexcept {
    if (bits == 4) {
        spread_of<4>(packed, k, panel);
    } else {
        spread_of<2>(packed, k, panel);
    }
}

}  // namespace bitpress::avx512vnni
