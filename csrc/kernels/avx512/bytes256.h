// 256 bytes in four vectors, looked up by 64 indices at a time.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)  // GCC bug 105593: the header's own undefined vectors are warned of
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#include <stdint.h>

namespace bitpress::avx512 {
namespace {

struct Bytes256 {
    __m512i part[4];

    explicit Bytes256(const uint8_t* p)
        : part{_mm512_loadu_si512(p), _mm512_loadu_si512(p + 64), _mm512_loadu_si512(p + 128),
               _mm512_loadu_si512(p + 192)} {}

    __m512i at(__m512i index) const {
        const __m512i low = _mm512_permutex2var_epi8(part[0], index, part[1]);
        const __m512i high = _mm512_permutex2var_epi8(part[2], index, part[3]);
        return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
    }
};

}  // namespace
}  // namespace bitpress::avx512
