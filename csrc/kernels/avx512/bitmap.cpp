// Bitmaps: 64 elements, which a mask register has the bits of, a step.
#if defined(__GNUC__) && !defined(__clang__)  // GCC bug 105593, as in bytes256.h
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"
#include "kernels/avx512/overrides.h"

namespace bitpress::avx512 {
namespace {

alignas(64) constexpr uint8_t places[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                            16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                            32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
                                            48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};

inline __mmask64 load_mask(const uint8_t* mask, size_t i) noexcept {
    uint64_t bits;
    memcpy(&bits, mask + i / 8, sizeof bits);
    return bits;
}

}  // namespace

size_t compress_bytes(const uint8_t* in, size_t n, const uint8_t* mask, uint8_t* out) noexcept {
    size_t kept = 0;
    size_t i = 0;
    for (; n - i >= 64; i += 64) {  // kept <= i: the 64 bytes written lie inside the n of the output
        const __mmask64 keep = load_mask(mask, i);
        _mm512_storeu_si512(out + kept, _mm512_maskz_compress_epi8(keep, _mm512_loadu_si512(in + i)));
        kept += static_cast<size_t>(_mm_popcnt_u64(keep));
    }
    return kept + avx2::compress_bytes(in + i, n - i, mask + i / 8, out + kept);
}

void expand_bytes(const uint8_t* in, size_t n_in, const uint8_t* mask, size_t n, uint8_t fill, uint8_t* out) noexcept {
    const __m512i fills = _mm512_set1_epi8(static_cast<char>(fill));
    const uint8_t* const end = in + n_in;
    size_t i = 0;
    for (; n - i >= 64 && end - in >= 64; i += 64) {
        const __mmask64 set = load_mask(mask, i);
        _mm512_storeu_si512(out + i, _mm512_mask_expand_epi8(fills, set, _mm512_loadu_si512(in)));
        in += _mm_popcnt_u64(set);
    }
    avx2::expand_bytes(in, static_cast<size_t>(end - in), mask + i / 8, n - i, fill, out + i);
}

void mask_other(const uint8_t* in, size_t n, uint8_t value, uint8_t* mask) noexcept {
    const __m512i values = _mm512_set1_epi8(static_cast<char>(value));
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        const uint64_t other = _mm512_cmpneq_epu8_mask(_mm512_loadu_si512(in + i), values);
        memcpy(mask + i / 8, &other, sizeof other);
    }
    avx2::mask_other(in + i, n - i, value, mask + i / 8);
}

size_t mask_positions(const uint8_t* mask, size_t n, unsigned start, uint16_t* positions) noexcept {
    const __m512i place = _mm512_load_si512(places);
    uint16_t* at = positions;
    for (size_t i = 0; i < n; i += 64) {
        uint64_t bits = 0;
        memcpy(&bits, mask + i / 8, n - i >= 64 ? sizeof bits : (n - i + 7) / 8);
        const __m512i set = _mm512_maskz_compress_epi8(bits, place);
        const __m512i first = _mm512_set1_epi16(static_cast<short>(start + i));
        const auto count = static_cast<size_t>(_mm_popcnt_u64(bits));
        const __m512i low = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(set));
        _mm512_storeu_si512(at, _mm512_add_epi16(low, first));
        if (count > 32) {
            const __m512i high = _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(set, 1));
            _mm512_storeu_si512(at + 32, _mm512_add_epi16(high, first));
        }
        at += count;
    }
    return static_cast<size_t>(at - positions);
}

size_t write_gaps(const uint8_t* mask, size_t n, uint8_t* gaps) noexcept {
    const __m512i place = _mm512_load_si512(places);
    const __m512i one = _mm512_set1_epi8(1);
    const __m512i before = _mm512_sub_epi8(place, one);
    uint8_t* at = gaps;
    size_t clear = 0;  // bits since the last one set
    for (size_t i = 0; i < n; i += 64) {
        uint64_t bits = 0;
        memcpy(&bits, mask + i / 8, n - i >= 64 ? sizeof bits : (n - i + 7) / 8);
        if (bits == 0) {
            clear += 64;
            continue;
        }
        const auto first = static_cast<size_t>(__builtin_ctzll(bits));
        for (; clear + first >= 255; clear -= 255) *at++ = 255;
        const __m512i set = _mm512_maskz_compress_epi8(bits, place);
        const __m512i last = _mm512_permutexvar_epi8(before, set);
        _mm512_storeu_si512(at, _mm512_sub_epi8(_mm512_sub_epi8(set, last), one));
        *at = static_cast<uint8_t>(clear + first);
        at += _mm_popcnt_u64(bits);
        clear = static_cast<size_t>(__builtin_clzll(bits));
    }
    return static_cast<size_t>(at - gaps);
}

}  // namespace bitpress::avx512
