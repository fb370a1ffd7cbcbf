// Bit packing in lanes: 32 lanes at a time, every shift a constant.
#include <immintrin.h>

#include "kernels/avx2/overrides.h"
#include "kernels/unpack_lanes.h"

namespace bitpress::avx2 {
namespace {

constexpr size_t lanes = 128;
constexpr size_t per_lane = 8;
constexpr size_t width = 32;  // lanes a vector

__m256i load(const uint8_t* p) noexcept { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
void store(void* p, __m256i v) noexcept { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
// The low `bits` bits of every byte.
__m256i low(unsigned bits) noexcept { return _mm256_set1_epi8(static_cast<char>((1U << bits) - 1U)); }

// 32 lanes, as unpack_lanes.h wants them.
struct Vector {
    static constexpr size_t width = 32;
    __m256i v;

    static Vector load(const uint8_t* p) noexcept { return {avx2::load(p)}; }
    static Vector low(unsigned bits) noexcept { return {avx2::low(bits)}; }
    void store(uint8_t* p) const noexcept { avx2::store(p, v); }
};
Vector both(Vector a, Vector b) noexcept { return {_mm256_and_si256(a.v, b.v)}; }
Vector either(Vector a, Vector b) noexcept { return {_mm256_or_si256(a.v, b.v)}; }
template <unsigned n>
Vector right(Vector a) noexcept {
    return {_mm256_srli_epi16(a.v, n)};
}
template <unsigned n>
Vector left(Vector a) noexcept {
    return {_mm256_slli_epi16(a.v, n)};
}

struct ToSigned {
    int8_t* out;
    __m256i zero;
    void operator()(size_t at, Vector codes) const noexcept { store(out + at, _mm256_sub_epi8(codes.v, zero)); }
};

struct ToFloats {
    float* out;
    __m256 scale;
    __m256 zero;
    void eight(size_t at, __m128i codes) const noexcept {
        const __m256 values = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes));
        _mm256_storeu_ps(out + at, _mm256_mul_ps(scale, _mm256_sub_ps(values, zero)));
    }
    void operator()(size_t at, Vector codes) const noexcept {
        const __m128i halves[2] = {_mm256_castsi256_si128(codes.v), _mm256_extracti128_si256(codes.v, 1)};
        for (size_t h = 0; h < 2; ++h) {
            eight(at + 16 * h, halves[h]);
            eight(at + 16 * h + 8, _mm_srli_si128(halves[h], 8));
        }
    }
};

// The part of code I that lies in byte W of its lane.
template <unsigned bits, unsigned W, unsigned I>
__m256i part_of(__m256i code) noexcept {
    if constexpr (I * bits < 8 * W) {
        constexpr unsigned gone = 8 * W - I * bits;
        return _mm256_and_si256(_mm256_srli_epi16(code, gone), low(bits - gone));
    } else {
        constexpr unsigned shift = I * bits - 8 * W;
        constexpr unsigned kept = bits < 8 - shift ? bits : 8 - shift;
        if constexpr (shift == 0) return code;
        return _mm256_slli_epi16(_mm256_and_si256(code, low(kept)), shift);
    }
}

// Byte W of 32 lanes whose first codes stand at p, from its codes I and after.
template <unsigned bits, unsigned W, unsigned I>
__m256i byte_of(const uint8_t* p) noexcept {
    if constexpr (I == per_lane || I * bits >= 8 * W + 8) {
        return _mm256_setzero_si256();
    } else if constexpr ((I + 1) * bits <= 8 * W) {
        return byte_of<bits, W, I + 1>(p);
    } else {
        return _mm256_or_si256(part_of<bits, W, I>(load(p + I * lanes)), byte_of<bits, W, I + 1>(p));
    }
}

template <unsigned bits, unsigned W = 0>
void pack_bytes(const uint8_t* codes, uint8_t* packed) noexcept {
    store(packed + W * lanes, byte_of<bits, W, 0>(codes));
    if constexpr (W + 1 < bits) pack_bytes<bits, W + 1>(codes, packed);
}

template <unsigned bits>
void pack(const uint8_t* codes, size_t blocks, uint8_t* packed) noexcept {
    for (; blocks > 0; --blocks, codes += lanes * per_lane, packed += lanes * bits) {
        for (size_t l = 0; l < lanes; l += width) pack_bytes<bits>(codes + l, packed + l);
    }
}

}  // namespace

void pack_lanes(const uint8_t* codes, size_t blocks, unsigned bits, uint8_t* packed) noexcept {
    switch (bits) {
        case 1: return pack<1>(codes, blocks, packed);
        case 2: return pack<2>(codes, blocks, packed);
        case 3: return pack<3>(codes, blocks, packed);
        case 4: return pack<4>(codes, blocks, packed);
        case 5: return pack<5>(codes, blocks, packed);
        case 6: return pack<6>(codes, blocks, packed);
        case 7: return pack<7>(codes, blocks, packed);
        default: return pack<8>(codes, blocks, packed);
    }
}

void unpack_lanes(const uint8_t* packed, size_t blocks, unsigned bits, uint8_t* codes) noexcept {
    unpack_lanes_to_bytes<Vector>(packed, blocks, bits, codes);
}

void unpack_lanes_s8(const uint8_t* packed, size_t blocks, unsigned bits, unsigned zero, int8_t* values) noexcept {
    unpack_lanes_to<Vector>(packed, blocks, bits, ToSigned{values, _mm256_set1_epi8(static_cast<char>(zero))});
}

void unpack_lanes_f32(const uint8_t* packed, size_t blocks, unsigned bits, float scale, float zero,
                      float* values) noexcept {
    unpack_lanes_to<Vector>(packed, blocks, bits, ToFloats{values, _mm256_set1_ps(scale), _mm256_set1_ps(zero)});
}

}  // namespace bitpress::avx2
