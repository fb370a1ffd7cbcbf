// Elements to byte planes and back.
#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

// What an element's bits become before they are cut into bytes, and back: docs/format.md, "Planes".
template <class T>
struct Plain {
    using Word = T;
    static T forth(T x) noexcept { return x; }
    static T back(T y) noexcept { return y; }
};

// 0, -1, 1, -2 ... become 0, 1, 2, 3 ...
template <class T>
struct Signed {
    using Word = T;
    static T forth(T x) noexcept {
        return static_cast<T>(static_cast<T>(x << 1) ^ static_cast<T>(0 - (x >> (8 * sizeof(T) - 1))));
    }
    static T back(T y) noexcept { return static_cast<T>(static_cast<T>(y >> 1) ^ static_cast<T>(0 - (y & 1))); }
};

// sign, 8 bits of exponent, mantissa: the exponent goes before the sign.
template <class T>
struct Float {
    using Word = T;
    static constexpr unsigned mantissa = 8 * sizeof(T) - 9;
    static constexpr T low = static_cast<T>((T{1} << mantissa) - 1);
    static T forth(T x) noexcept {
        return static_cast<T>((x >> mantissa & 255U) << (mantissa + 1) | (x >> (mantissa + 8)) << mantissa | (x & low));
    }
    static T back(T y) noexcept {
        return static_cast<T>((y >> mantissa & 1U) << (mantissa + 8) | (y >> (mantissa + 1)) << mantissa | (y & low));
    }
};

// sign, 11 bits of exponent, mantissa: the exponent's low 8 bits, its high 3, the sign.
struct Double {
    using Word = uint64_t;
    static constexpr uint64_t low = (uint64_t{1} << 52) - 1;
    static uint64_t forth(uint64_t x) noexcept {
        return (x >> 52 & 255) << 56 | (x >> 60 & 7) << 53 | (x >> 63) << 52 | (x & low);
    }
    static uint64_t back(uint64_t y) noexcept {
        return (y >> 52 & 1) << 63 | (y >> 53 & 7) << 60 | (y >> 56) << 52 | (y & low);
    }
};

template <class Bits>
void split(const uint8_t* in, size_t n, uint8_t* const* planes) noexcept {
    using Word = decltype(Bits::back(0));
    constexpr unsigned width = sizeof(Word);
    for (size_t i = 0; i < n; ++i) {
        Word x = 0;
        for (unsigned k = 0; k < width; ++k) x = static_cast<Word>(x | static_cast<Word>(in[i * width + k]) << (8 * k));
        const Word y = Bits::forth(x);
        for (unsigned k = 0; k < width; ++k) planes[k][i] = static_cast<uint8_t>(y >> (8 * k));
    }
}

template <class Bits>
void join(const uint8_t* const* planes, size_t n, uint8_t* out) noexcept {
    using Word = decltype(Bits::back(0));
    constexpr unsigned width = sizeof(Word);
    for (size_t i = 0; i < n; ++i) {
        Word y = 0;
        for (unsigned k = 0; k < width; ++k) y = static_cast<Word>(y | static_cast<Word>(planes[k][i]) << (8 * k));
        const Word x = Bits::back(y);
        for (unsigned k = 0; k < width; ++k) out[i * width + k] = static_cast<uint8_t>(x >> (8 * k));
    }
}

}  // namespace

void split_planes(PlaneKind kind, const uint8_t* in, size_t n, uint8_t* const* planes) noexcept {
    switch (kind) {
        case PlaneKind::bytes1: return split<Plain<uint8_t>>(in, n, planes);
        case PlaneKind::bytes2: return split<Plain<uint16_t>>(in, n, planes);
        case PlaneKind::bytes4: return split<Plain<uint32_t>>(in, n, planes);
        case PlaneKind::bytes8: return split<Plain<uint64_t>>(in, n, planes);
        case PlaneKind::bf16: return split<Float<uint16_t>>(in, n, planes);
        case PlaneKind::f32: return split<Float<uint32_t>>(in, n, planes);
        case PlaneKind::f64: return split<Double>(in, n, planes);
        case PlaneKind::signed2: return split<Signed<uint16_t>>(in, n, planes);
        case PlaneKind::signed4: return split<Signed<uint32_t>>(in, n, planes);
        case PlaneKind::signed8: return split<Signed<uint64_t>>(in, n, planes);
    }
}

void join_planes(PlaneKind kind, const uint8_t* const* planes, size_t n, uint8_t* out) noexcept {
    switch (kind) {
        case PlaneKind::bytes1: return join<Plain<uint8_t>>(planes, n, out);
        case PlaneKind::bytes2: return join<Plain<uint16_t>>(planes, n, out);
        case PlaneKind::bytes4: return join<Plain<uint32_t>>(planes, n, out);
        case PlaneKind::bytes8: return join<Plain<uint64_t>>(planes, n, out);
        case PlaneKind::bf16: return join<Float<uint16_t>>(planes, n, out);
        case PlaneKind::f32: return join<Float<uint32_t>>(planes, n, out);
        case PlaneKind::f64: return join<Double>(planes, n, out);
        case PlaneKind::signed2: return join<Signed<uint16_t>>(planes, n, out);
        case PlaneKind::signed4: return join<Signed<uint32_t>>(planes, n, out);
        case PlaneKind::signed8: return join<Signed<uint64_t>>(planes, n, out);
    }
}

}  // namespace bitpress::scalar
