// Bit packing in lanes: a block of 1024 codes is 128 lanes of 8 codes, and a lane's `bits` bytes stand 128 apart.
#include "kernels/kernels.h"

namespace bitpress::scalar {

namespace {

constexpr size_t lanes = 128;
constexpr size_t per_lane = 8;

// Code i of the lane whose first byte stands at p.
unsigned code_at(const uint8_t* p, size_t i, unsigned bits) noexcept {
    const size_t byte = i * bits / 8;
    const unsigned shift = i * bits % 8;
    unsigned pair = p[byte * lanes];
    if (shift + bits > 8) pair |= static_cast<unsigned>(p[(byte + 1) * lanes]) << 8;
    return (pair >> shift) & ((1U << bits) - 1U);
}

}  // namespace

void pack_lanes(const uint8_t* codes, size_t blocks, unsigned bits, uint8_t* packed) noexcept {
    for (; blocks > 0; --blocks, codes += lanes * per_lane, packed += lanes * bits) {
        for (size_t lane = 0; lane < lanes; ++lane) {
            uint64_t word = 0;
            for (size_t i = 0; i < per_lane; ++i) word |= static_cast<uint64_t>(codes[i * lanes + lane]) << (i * bits);
            for (unsigned w = 0; w < bits; ++w) packed[w * lanes + lane] = static_cast<uint8_t>(word >> (8 * w));
        }
    }
}

void unpack_lanes(const uint8_t* packed, size_t blocks, unsigned bits, uint8_t* codes) noexcept {
    for (; blocks > 0; --blocks, codes += lanes * per_lane, packed += lanes * bits) {
        for (size_t k = 0; k < lanes * per_lane; ++k) {
            codes[k] = static_cast<uint8_t>(code_at(packed + k % lanes, k / lanes, bits));
        }
    }
}

void unpack_lanes_s8(const uint8_t* packed, size_t blocks, unsigned bits, unsigned zero, int8_t* values) noexcept {
    for (; blocks > 0; --blocks, values += lanes * per_lane, packed += lanes * bits) {
        for (size_t k = 0; k < lanes * per_lane; ++k) {
            const unsigned code = code_at(packed + k % lanes, k / lanes, bits);
            values[k] = static_cast<int8_t>(static_cast<uint8_t>(code - zero));
        }
    }
}

void unpack_lanes_f32(const uint8_t* packed, size_t blocks, unsigned bits, float scale, float zero,
                      float* values) noexcept {
    for (; blocks > 0; --blocks, values += lanes * per_lane, packed += lanes * bits) {
        for (size_t k = 0; k < lanes * per_lane; ++k) {
            values[k] = scale * (static_cast<float>(code_at(packed + k % lanes, k / lanes, bits)) - zero);
        }
    }
}

}  // namespace bitpress::scalar
