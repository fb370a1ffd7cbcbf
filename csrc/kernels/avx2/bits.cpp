// Bit packing with PDEP and PEXT: eight codes are `bits` bytes, so groups of eight begin on bytes.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

// The low `bits` bits of each of eight bytes.
uint64_t lanes(unsigned bits) noexcept { return 0x0101010101010101U * ((1U << bits) - 1U); }

uint64_t load8(const uint8_t* p) noexcept {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

void store8(uint8_t* p, uint64_t word) noexcept { memcpy(p, &word, sizeof word); }

}  // namespace

void pack_bits(const uint8_t* codes, size_t n, unsigned bits, uint8_t* packed) noexcept {
    if (bits == 8) {
        if (n != 0) memcpy(packed, codes, n);
        return;
    }
    const uint64_t mask = lanes(bits);
    size_t i = 0;
    // Each store writes 8 bytes of which `bits` count: stop while the rest still lies inside the output.
    for (; n - i >= 64; i += 8) {
        store8(packed, _pext_u64(load8(codes + i), mask));
        packed += bits;
    }
    scalar::pack_bits(codes + i, n - i, bits, packed);
}

void unpack_bits(const uint8_t* packed, size_t packed_bytes, size_t first, size_t n, unsigned bits,
                 uint8_t* codes) noexcept {
    if (bits == 8) {
        if (n != 0) memcpy(codes, packed + first, n);
        return;
    }
    size_t head = (8 - first % 8) % 8;
    if (head > n) head = n;
    scalar::unpack_bits(packed, packed_bytes, first, head, bits, codes);
    size_t i = head;
    size_t byte = (first + head) / 8 * bits;
    const uint64_t mask = lanes(bits);
    for (; n - i >= 8 && byte + 8 <= packed_bytes; i += 8, byte += bits) {
        store8(codes + i, _pdep_u64(load8(packed + byte), mask));
    }
    scalar::unpack_bits(packed, packed_bytes, first + i, n - i, bits, codes + i);
}

}  // namespace bitpress::avx2
