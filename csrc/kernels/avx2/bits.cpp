// Packing with PEXT (eight codes are `bits` bytes, so groups of eight begin on bytes), unpacking by shuffles: each code
// lies in two neighbouring bytes.
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

// 16 codes from each half of `packed`, which holds them from its first bit on. Even and odd codes apart, as words: the
// two bytes that hold a code, multiplied so that its highest bit becomes the word's, then shifted down.
struct Spread {
    __m256i even_bytes, odd_bytes, even_factors, odd_factors;
    __m128i down;  // bits to shift

    explicit Spread(unsigned bits) noexcept : down(_mm_cvtsi32_si128(static_cast<int>(16 - bits))) {
        uint8_t bytes[2][16];
        uint16_t factors[2][8];
        for (unsigned i = 0; i < 16; ++i) {
            const unsigned bit = i * bits;
            bytes[i % 2][i / 2 * 2] = static_cast<uint8_t>(bit / 8);
            bytes[i % 2][i / 2 * 2 + 1] = static_cast<uint8_t>(bit / 8 + 1);
            factors[i % 2][i / 2] = static_cast<uint16_t>(1U << (16 - bits - bit % 8));
        }
        even_bytes = twice(bytes[0]);
        odd_bytes = twice(bytes[1]);
        even_factors = twice(factors[0]);
        odd_factors = twice(factors[1]);
    }

    static __m256i twice(const void* p) noexcept {
        return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    }

    __m256i codes(__m256i packed) const noexcept {
        const __m256i even = _mm256_mullo_epi16(_mm256_shuffle_epi8(packed, even_bytes), even_factors);
        const __m256i odd = _mm256_mullo_epi16(_mm256_shuffle_epi8(packed, odd_bytes), odd_factors);
        return _mm256_or_si256(_mm256_srl_epi16(even, down), _mm256_slli_epi16(_mm256_srl_epi16(odd, down), 8));
    }
};

__m256i two_loads(const uint8_t* low, const uint8_t* high) noexcept {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(low));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(first),
                                   _mm_loadu_si128(reinterpret_cast<const __m128i*>(high)), 1);
}

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
    if (n - i >= 64) {  // else making the constants takes longer
        const Spread spread(bits);
        for (; n - i >= 32 && byte + 2 * bits + 16 <= packed_bytes; i += 32, byte += size_t{4} * bits) {
            const uint8_t* p = packed + byte;
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), spread.codes(two_loads(p, p + 2 * bits)));
        }
    }
    const uint64_t mask = lanes(bits);
    for (; n - i >= 8 && byte + 8 <= packed_bytes; i += 8, byte += bits) {
        store8(codes + i, _pdep_u64(load8(packed + byte), mask));
    }
    scalar::unpack_bits(packed, packed_bytes, first + i, n - i, bits, codes + i);
}

}  // namespace bitpress::avx2
