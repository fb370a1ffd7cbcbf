// Unpacking from lanes to bytes, 64 lanes at a time.
#include <immintrin.h>

#include "kernels/avx512/overrides.h"
#include "kernels/unpack_lanes.h"

namespace bitpress::avx512 {
namespace {

struct Vector {
    static constexpr size_t width = 64;
    __m512i v;

    static Vector load(const uint8_t* p) noexcept { return {_mm512_loadu_si512(p)}; }
    static Vector low(unsigned bits) noexcept { return {_mm512_set1_epi8(static_cast<char>((1U << bits) - 1U))}; }
    void store(uint8_t* p) const noexcept { _mm512_storeu_si512(p, v); }
};
Vector both(Vector a, Vector b) noexcept { return {_mm512_and_si512(a.v, b.v)}; }
Vector either(Vector a, Vector b) noexcept { return {_mm512_or_si512(a.v, b.v)}; }
template <unsigned n>
Vector right(Vector a) noexcept {
    return {_mm512_srli_epi16(a.v, n)};
}
template <unsigned n>
Vector left(Vector a) noexcept {
    return {_mm512_slli_epi16(a.v, n)};
}

}  // namespace

void unpack_lanes(const uint8_t* packed, size_t blocks, unsigned bits, uint8_t* codes) noexcept {
    unpack_lanes_to_bytes<Vector>(packed, blocks, bits, codes);
}

void unpack_lanes_s8(const uint8_t* packed, size_t blocks, unsigned bits, unsigned zero, int8_t* values) noexcept {
    const __m512i zeros = _mm512_set1_epi8(static_cast<char>(zero));
    unpack_lanes_to<Vector>(packed, blocks, bits, [=](size_t at, Vector codes) noexcept {
        _mm512_storeu_si512(values + at, _mm512_sub_epi8(codes.v, zeros));
    });
}

}  // namespace bitpress::avx512
