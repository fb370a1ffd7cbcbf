// Bit packing in lanes: 16 lanes at a time, every shift a constant.
#include <arm_neon.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

constexpr size_t lanes = 128;
constexpr size_t per_lane = 8;
constexpr size_t width = 16;  // lanes a vector

// Code I of 16 lanes whose first bytes stand at p.
template <unsigned bits, unsigned I>
uint8x16_t code_at(const uint8_t* p) noexcept {
    constexpr unsigned byte = I * bits / 8;
    constexpr unsigned shift = I * bits % 8;
    constexpr unsigned inside = 8 - shift;  // bits of that byte
    const uint8x16_t mask = vdupq_n_u8((1U << bits) - 1U);
    const uint8x16_t first = vld1q_u8(p + byte * lanes);
    if constexpr (bits == 8) {
        return first;
    } else if constexpr (shift == 0) {
        return vandq_u8(first, mask);
    } else if constexpr (bits == inside) {
        return vshrq_n_u8(first, shift);
    } else if constexpr (bits < inside) {
        return vandq_u8(vshrq_n_u8(first, shift), mask);
    } else {
        const uint8x16_t second = vld1q_u8(p + (byte + 1) * lanes);
        return vandq_u8(vsliq_n_u8(vshrq_n_u8(first, shift), second, inside), mask);
    }
}

struct ToBytes {
    uint8_t* out;
    void operator()(size_t at, uint8x16_t codes) const noexcept { vst1q_u8(out + at, codes); }
};

struct ToSigned {
    int8_t* out;
    uint8x16_t zero;
    void operator()(size_t at, uint8x16_t codes) const noexcept {
        vst1q_s8(out + at, vreinterpretq_s8_u8(vsubq_u8(codes, zero)));
    }
};

struct ToFloats {
    float* out;
    float32x4_t scale;
    float32x4_t zero;
    void four(size_t at, uint32x4_t codes) const noexcept {
        vst1q_f32(out + at, vmulq_f32(scale, vsubq_f32(vcvtq_f32_u32(codes), zero)));
    }
    void operator()(size_t at, uint8x16_t codes) const noexcept {
        const uint16x8_t low = vmovl_u8(vget_low_u8(codes));
        const uint16x8_t high = vmovl_high_u8(codes);
        four(at, vmovl_u16(vget_low_u16(low)));
        four(at + 4, vmovl_high_u16(low));
        four(at + 8, vmovl_u16(vget_low_u16(high)));
        four(at + 12, vmovl_high_u16(high));
    }
};

template <unsigned bits, class To>
void unpack(const uint8_t* packed, size_t blocks, const To& to) noexcept {
    for (size_t block = 0; block < blocks; ++block, packed += lanes * bits) {
        const size_t at = block * lanes * per_lane;
        for (size_t l = 0; l < lanes; l += width) {
            const uint8_t* p = packed + l;
            to(at + 0 * lanes + l, code_at<bits, 0>(p));
            to(at + 1 * lanes + l, code_at<bits, 1>(p));
            to(at + 2 * lanes + l, code_at<bits, 2>(p));
            to(at + 3 * lanes + l, code_at<bits, 3>(p));
            to(at + 4 * lanes + l, code_at<bits, 4>(p));
            to(at + 5 * lanes + l, code_at<bits, 5>(p));
            to(at + 6 * lanes + l, code_at<bits, 6>(p));
            to(at + 7 * lanes + l, code_at<bits, 7>(p));
        }
    }
}

template <class To>
void unpack(const uint8_t* packed, size_t blocks, unsigned bits, const To& to) noexcept {
    switch (bits) {
        case 1: return unpack<1>(packed, blocks, to);
        case 2: return unpack<2>(packed, blocks, to);
        case 3: return unpack<3>(packed, blocks, to);
        case 4: return unpack<4>(packed, blocks, to);
        case 5: return unpack<5>(packed, blocks, to);
        case 6: return unpack<6>(packed, blocks, to);
        case 7: return unpack<7>(packed, blocks, to);
        default: return unpack<8>(packed, blocks, to);
    }
}

// Byte W of 16 lanes whose first codes stand at p: its codes below I are in `byte`, each above what it covers next.
template <unsigned bits, unsigned W, unsigned I>
uint8x16_t byte_of(const uint8_t* p, uint8x16_t byte) noexcept {
    if constexpr (I == per_lane || I * bits >= 8 * W + 8) {
        return byte;
    } else if constexpr ((I + 1) * bits <= 8 * W) {
        return byte_of<bits, W, I + 1>(p, byte);
    } else if constexpr (I * bits < 8 * W) {
        return byte_of<bits, W, I + 1>(p, vshrq_n_u8(vld1q_u8(p + I * lanes), 8 * W - I * bits));
    } else {
        return byte_of<bits, W, I + 1>(p, vsliq_n_u8(byte, vld1q_u8(p + I * lanes), I * bits - 8 * W));
    }
}

template <unsigned bits, unsigned W = 0>
void pack_bytes(const uint8_t* codes, uint8_t* packed) noexcept {
    const uint8x16_t byte = byte_of<bits, W, 0>(codes, vdupq_n_u8(0));
    vst1q_u8(packed + W * lanes, byte);
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
    unpack(packed, blocks, bits, ToBytes{codes});
}

void unpack_lanes_s8(const uint8_t* packed, size_t blocks, unsigned bits, unsigned zero, int8_t* values) noexcept {
    unpack(packed, blocks, bits, ToSigned{values, vdupq_n_u8(static_cast<uint8_t>(zero))});
}

void unpack_lanes_f32(const uint8_t* packed, size_t blocks, unsigned bits, float scale, float zero,
                      float* values) noexcept {
    unpack(packed, blocks, bits, ToFloats{values, vdupq_n_f32(scale), vdupq_n_f32(zero)});
}

}  // namespace bitpress::neon
