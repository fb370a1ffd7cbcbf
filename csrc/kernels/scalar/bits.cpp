// Bit packing: code i fills bits [i*bits, (i+1)*bits) of the packed bytes, least significant bit first.
#include "kernels/kernels.h"

namespace bitpress::scalar {

void pack_bits(const uint8_t* codes, size_t n, unsigned bits, uint8_t* packed) noexcept {
    uint64_t pending = 0;
    unsigned held = 0;
    for (size_t i = 0; i < n; ++i) {
        pending |= static_cast<uint64_t>(codes[i]) << held;
        held += bits;
        while (held >= 8) {
            *packed++ = static_cast<uint8_t>(pending);
            pending >>= 8;
            held -= 8;
        }
    }
    if (held > 0) *packed = static_cast<uint8_t>(pending);
}

void unpack_bits(const uint8_t* packed, size_t packed_bytes, size_t first, size_t n, unsigned bits,
                 uint8_t* codes) noexcept {
    const unsigned mask = (1U << bits) - 1U;
    for (size_t i = 0; i < n; ++i) {
        const size_t bit = (first + i) * bits;
        const size_t byte = bit / 8;
        unsigned pair = packed[byte];
        if (byte + 1 < packed_bytes) pair |= static_cast<unsigned>(packed[byte + 1]) << 8;
        codes[i] = static_cast<uint8_t>((pair >> (bit % 8)) & mask);
    }
}

void pack_wide(const uint16_t* codes, size_t n, unsigned bits, uint8_t* packed) noexcept {
    uint64_t pending = 0;
    unsigned held = 0;
    for (size_t i = 0; i < n; ++i) {
        pending |= static_cast<uint64_t>(codes[i]) << held;
        for (held += bits; held >= 8; held -= 8, pending >>= 8) *packed++ = static_cast<uint8_t>(pending);
    }
    if (held > 0) *packed = static_cast<uint8_t>(pending);
}

void unpack_wide(const uint8_t* packed, size_t packed_bytes, size_t first, size_t n, unsigned bits,
                 uint16_t* codes) noexcept {
    const uint32_t mask = (1U << bits) - 1U;
    for (size_t i = 0; i < n; ++i) {
        const size_t bit = (first + i) * bits;
        const size_t byte = bit / 8;
        uint32_t three = packed[byte];
        for (unsigned k = 1; k < 3 && byte + k < packed_bytes; ++k) three |= uint32_t{packed[byte + k]} << 8 * k;
        codes[i] = static_cast<uint16_t>(three >> (bit % 8) & mask);
    }
}

}  // namespace bitpress::scalar
