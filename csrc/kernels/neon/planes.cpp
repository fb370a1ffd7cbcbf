// Byte planes of elements of 2, 4 and 8 bytes: 16 elements are taken apart by interleaving loads, put together by
// interleaving stores, and their bits rearranged byte by byte between.
#include <arm_neon.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

constexpr size_t block = 16;  // elements at a time

// Byte k of each of 16 elements.
template <unsigned width>
struct Bytes {
    uint8x16_t at[width];
};

template <unsigned width>
Bytes<width> load(const uint8_t* in) noexcept {
    if constexpr (width == 2) {
        const uint8x16x2_t two = vld2q_u8(in);
        return {{two.val[0], two.val[1]}};
    } else if constexpr (width == 4) {
        const uint8x16x4_t four = vld4q_u8(in);
        return {{four.val[0], four.val[1], four.val[2], four.val[3]}};
    } else {
        const uint8x16x4_t low = vld4q_u8(in);  // bytes k and k + 4 of each element by turns
        const uint8x16x4_t high = vld4q_u8(in + 64);
        Bytes<width> bytes;
        for (unsigned k = 0; k < 4; ++k) {
            bytes.at[k] = vuzp1q_u8(low.val[k], high.val[k]);
            bytes.at[k + 4] = vuzp2q_u8(low.val[k], high.val[k]);
        }
        return bytes;
    }
}

template <unsigned width>
void store(uint8_t* out, const Bytes<width>& bytes) noexcept {
    if constexpr (width == 2) {
        const uint8x16x2_t two = {{bytes.at[0], bytes.at[1]}};
        vst2q_u8(out, two);
    } else if constexpr (width == 4) {
        const uint8x16x4_t four = {{bytes.at[0], bytes.at[1], bytes.at[2], bytes.at[3]}};
        vst4q_u8(out, four);
    } else {
        uint8x16x4_t low;
        uint8x16x4_t high;
        for (unsigned k = 0; k < 4; ++k) {
            low.val[k] = vzip1q_u8(bytes.at[k], bytes.at[k + 4]);
            high.val[k] = vzip2q_u8(bytes.at[k], bytes.at[k + 4]);
        }
        vst4q_u8(out, low);
        vst4q_u8(out + 64, high);
    }
}

constexpr bool is_signed(PlaneKind kind) noexcept {
    return kind == PlaneKind::signed2 || kind == PlaneKind::signed4 || kind == PlaneKind::signed8;
}

// An element's bits before they are cut into bytes, from them; and back.
template <PlaneKind kind, unsigned width>
Bytes<width> forth(Bytes<width> b) noexcept {
    const uint8x16_t low = b.at[width - 2];
    const uint8x16_t high = b.at[width - 1];
    if constexpr (is_signed(kind)) {
        const uint8x16_t sign = vreinterpretq_u8_s8(vshrq_n_s8(vreinterpretq_s8_u8(high), 7));
        for (unsigned k = width - 1; k > 0; --k) {
            b.at[k] = veorq_u8(vsriq_n_u8(vshlq_n_u8(b.at[k], 1), b.at[k - 1], 7), sign);
        }
        b.at[0] = veorq_u8(vshlq_n_u8(b.at[0], 1), sign);
    } else if constexpr (kind == PlaneKind::bf16 || kind == PlaneKind::f32) {
        const uint8x16_t exponent = vsriq_n_u8(vshlq_n_u8(high, 1), low, 7);
        b.at[width - 2] = vbslq_u8(vdupq_n_u8(0x80), high, low);
        b.at[width - 1] = exponent;
    } else if constexpr (kind == PlaneKind::f64) {
        const uint8x16_t exponent = vsriq_n_u8(vshlq_n_u8(high, 4), low, 4);
        const uint8x16_t top = vbslq_u8(vdupq_n_u8(0xE0), vshlq_n_u8(high, 1), vshrq_n_u8(high, 3));
        b.at[width - 2] = vbslq_u8(vdupq_n_u8(0xF0), top, low);
        b.at[width - 1] = exponent;
    }
    return b;
}

template <PlaneKind kind, unsigned width>
Bytes<width> back(Bytes<width> b) noexcept {
    const uint8x16_t low = b.at[width - 2];
    const uint8x16_t high = b.at[width - 1];
    if constexpr (is_signed(kind)) {
        const uint8x16_t odd = vtstq_u8(b.at[0], vdupq_n_u8(1));
        for (unsigned k = 0; k + 1 < width; ++k) {
            b.at[k] = veorq_u8(vsliq_n_u8(vshrq_n_u8(b.at[k], 1), b.at[k + 1], 7), odd);
        }
        b.at[width - 1] = veorq_u8(vshrq_n_u8(high, 1), odd);
    } else if constexpr (kind == PlaneKind::bf16 || kind == PlaneKind::f32) {
        const uint8x16_t sign = vsriq_n_u8(low, high, 1);
        b.at[width - 2] = vsliq_n_u8(low, high, 7);
        b.at[width - 1] = sign;
    } else if constexpr (kind == PlaneKind::f64) {
        const uint8x16_t top = vbslq_u8(vdupq_n_u8(0x80), vshlq_n_u8(low, 3), vshrq_n_u8(low, 1));
        b.at[width - 2] = vsliq_n_u8(low, high, 4);
        b.at[width - 1] = vsriq_n_u8(top, high, 4);
    }
    return b;
}

template <PlaneKind kind>
void split(const uint8_t* in, size_t n, uint8_t* const* planes) noexcept {
    constexpr unsigned width = plane_count(kind);
    size_t i = 0;
    for (; i + block <= n; i += block, in += block * width) {
        const Bytes<width> y = forth<kind>(load<width>(in));
        for (unsigned k = 0; k < width; ++k) vst1q_u8(planes[k] + i, y.at[k]);
    }
    uint8_t* rest[width];
    for (unsigned k = 0; k < width; ++k) rest[k] = planes[k] + i;
    scalar::split_planes(kind, in, n - i, rest);
}

template <PlaneKind kind>
void join(const uint8_t* const* planes, size_t n, uint8_t* out) noexcept {
    constexpr unsigned width = plane_count(kind);
    size_t i = 0;
    for (; i + block <= n; i += block, out += block * width) {
        Bytes<width> y;
        for (unsigned k = 0; k < width; ++k) y.at[k] = vld1q_u8(planes[k] + i);
        store<width>(out, back<kind>(y));
    }
    const uint8_t* rest[width];
    for (unsigned k = 0; k < width; ++k) rest[k] = planes[k] + i;
    scalar::join_planes(kind, rest, n - i, out);
}

}  // namespace

void split_planes(PlaneKind kind, const uint8_t* in, size_t n, uint8_t* const* planes) noexcept {
    switch (kind) {
        case PlaneKind::bytes1: return scalar::split_planes(kind, in, n, planes);
        case PlaneKind::bytes2: return split<PlaneKind::bytes2>(in, n, planes);
        case PlaneKind::bytes4: return split<PlaneKind::bytes4>(in, n, planes);
        case PlaneKind::bytes8: return split<PlaneKind::bytes8>(in, n, planes);
        case PlaneKind::bf16: return split<PlaneKind::bf16>(in, n, planes);
        case PlaneKind::f32: return split<PlaneKind::f32>(in, n, planes);
        case PlaneKind::f64: return split<PlaneKind::f64>(in, n, planes);
        case PlaneKind::signed2: return split<PlaneKind::signed2>(in, n, planes);
        case PlaneKind::signed4: return split<PlaneKind::signed4>(in, n, planes);
        case PlaneKind::signed8: return split<PlaneKind::signed8>(in, n, planes);
    }
}

void join_planes(PlaneKind kind, const uint8_t* const* planes, size_t n, uint8_t* out) noexcept {
    switch (kind) {
        case PlaneKind::bytes1: return scalar::join_planes(kind, planes, n, out);
        case PlaneKind::bytes2: return join<PlaneKind::bytes2>(planes, n, out);
        case PlaneKind::bytes4: return join<PlaneKind::bytes4>(planes, n, out);
        case PlaneKind::bytes8: return join<PlaneKind::bytes8>(planes, n, out);
        case PlaneKind::bf16: return join<PlaneKind::bf16>(planes, n, out);
        case PlaneKind::f32: return join<PlaneKind::f32>(planes, n, out);
        case PlaneKind::f64: return join<PlaneKind::f64>(planes, n, out);
        case PlaneKind::signed2: return join<PlaneKind::signed2>(planes, n, out);
        case PlaneKind::signed4: return join<PlaneKind::signed4>(planes, n, out);
        case PlaneKind::signed8: return join<PlaneKind::signed8>(planes, n, out);
    }
}

}  // namespace bitpress::neon
