// Codes of 9 to 16 bits, in words. Packing by PEXT and PDEP, four codes at a time (eight are `bits` bytes); symbols
// whose top bit is clear have no raw bits, so that most blocks of 16 need none of the loop that looks them up.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

uint64_t load8(const void* p) noexcept {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

void store8(void* p, uint64_t word) noexcept { memcpy(p, &word, sizeof word); }

// The low `bits` bits of each of four words.
uint64_t four(unsigned bits) noexcept { return 0x0001000100010001U * ((1U << bits) - 1U); }

// The codes of 16 u's: halves, those of odd u's inverted, added to the middle.
struct Unfold {
    __m256i middle, most, one;
    explicit Unfold(const WideTable& table) noexcept
        : middle(_mm256_set1_epi16(static_cast<short>(table.middle))),
          most(_mm256_set1_epi16(static_cast<short>(table.most))),
          one(_mm256_set1_epi16(1)) {}
    __m256i operator()(__m256i u) const noexcept {
        const __m256i odd = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_and_si256(u, one));
        const __m256i difference = _mm256_xor_si256(_mm256_srli_epi16(u, 1), odd);
        return _mm256_and_si256(_mm256_add_epi16(middle, difference), most);
    }
};

uint64_t four_of(const uint16_t* table, const uint8_t* symbols) noexcept {
    return table[symbols[0]] | static_cast<uint64_t>(table[symbols[1]]) << 16 |
           static_cast<uint64_t>(table[symbols[2]]) << 32 | static_cast<uint64_t>(table[symbols[3]]) << 48;
}

}  // namespace

void pack_wide(const uint16_t* codes, size_t n, unsigned bits, uint8_t* packed) noexcept {
    const uint64_t mask = four(bits);
    const unsigned half = 4 * bits;  // 36..64
    size_t i = 0;
    for (; n - i >= 24; i += 8, packed += bits) {  // 16 bytes are written, of which the last ones are not final
        const uint64_t low = _pext_u64(load8(codes + i), mask);
        const uint64_t high = _pext_u64(load8(codes + i + 4), mask);
        store8(packed, half == 64 ? low : low | high << half);
        store8(packed + 8, half == 64 ? high : high >> (64 - half));
    }
    scalar::pack_wide(codes + i, n - i, bits, packed);
}

void unpack_wide(const uint8_t* packed, size_t packed_bytes, size_t first, size_t n, unsigned bits,
                 uint16_t* codes) noexcept {
    const size_t head = (8 - first % 8) % 8 < n ? (8 - first % 8) % 8 : n;
    scalar::unpack_wide(packed, packed_bytes, first, head, bits, codes);
    const uint64_t mask = four(bits);
    const size_t middle = bits / 2;  // the byte where the fifth code begins, at bit 4 where bits is odd
    const unsigned shift = bits % 2 * 4;
    size_t i = head;
    size_t at = (first + head) / 8 * bits;
    for (; n - i >= 8 && packed_bytes - at >= middle + 8; i += 8, at += bits) {
        store8(codes + i, _pdep_u64(load8(packed + at), mask));
        store8(codes + i + 4, _pdep_u64(load8(packed + at + middle) >> shift, mask));
    }
    scalar::unpack_wide(packed, packed_bytes, first + i, n - i, bits, codes + i);
}

size_t join_wide(const WideTable* table, const uint8_t* symbols, size_t n, const uint8_t* raw, size_t raw_bytes,
                 size_t position, uint16_t* codes) noexcept {
    const Unfold unfold(*table);
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(symbols + i));
        __m256i u = _mm256_cvtepu8_epi16(bytes);
        if (_mm_movemask_epi8(bytes) != 0) {
            if (position / 8 + 40 > raw_bytes) {  // no room for four loads, at most 7 bytes apart
                position = scalar::join_wide(table, symbols + i, 16, raw, raw_bytes, position, codes + i);
                continue;
            }
            alignas(32) uint64_t words[4];
            for (unsigned k = 0; k < 4; ++k) {
                const uint8_t* const s = symbols + i + 4 * k;
                const uint64_t mask = four_of(table->raw, s);
                // The raw bits of four symbols are 56 at most.
                const uint64_t bits = load8(raw + position / 8) >> position % 8;
                words[k] = four_of(table->base, s) + _pdep_u64(bits, mask);
                position += static_cast<unsigned>(_mm_popcnt_u64(mask));
            }
            u = _mm256_load_si256(reinterpret_cast<const __m256i*>(words));
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), unfold(u));
    }
    return scalar::join_wide(table, symbols + i, n - i, raw, raw_bytes, position, codes + i);
}

}  // namespace bitpress::avx2
