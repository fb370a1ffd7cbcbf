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

__m256i words16(__m128i bytes) noexcept { return _mm256_cvtepu8_epi16(bytes); }

// What 16 symbols mean, as words. Those of 128 and more: number n above 128 is 2^split + n % 2^split, times the power
// of two 2^raw, which a shuffle looks up by n >> split (at most 8).
struct Meaning {
    __m128i split, low_powers, high_powers, offset, part_mask, last, nibble;
    explicit Meaning(const WideTable& table) noexcept
        : split(_mm_cvtsi32_si128(static_cast<int>(table.split))),
          offset(_mm_set1_epi8(static_cast<char>(-128))),
          part_mask(_mm_set1_epi8(static_cast<char>((1 << table.split) - 1))),
          last(_mm_set1_epi8(static_cast<char>(1 << table.split))),
          nibble(_mm_set1_epi8(15)) {
        uint8_t low[16] = {};
        uint8_t high[16] = {};
        for (unsigned i = 0; i < 9; ++i) {
            const unsigned power = 1U << (7 + i - table.split);
            low[i] = static_cast<uint8_t>(power);
            high[i] = static_cast<uint8_t>(power >> 8);
        }
        low_powers = _mm_loadu_si128(reinterpret_cast<const __m128i*>(low));
        high_powers = _mm_loadu_si128(reinterpret_cast<const __m128i*>(high));
    }
    // raw: ones in the low bits that are raw. Returns the least u of each.
    __m256i operator()(__m128i symbols, __m256i* raw) const noexcept {
        const __m128i number = _mm_xor_si128(symbols, offset);
        const __m128i step = _mm_and_si128(_mm_srl_epi16(number, split), nibble);
        const __m256i power = _mm256_or_si256(words16(_mm_shuffle_epi8(low_powers, step)),
                                              _mm256_slli_epi16(words16(_mm_shuffle_epi8(high_powers, step)), 8));
        const __m256i factor = words16(_mm_or_si128(_mm_and_si128(number, part_mask), last));
        const __m256i large = _mm256_cvtepi8_epi16(_mm_cmpgt_epi8(_mm_setzero_si128(), symbols));
        *raw = _mm256_and_si256(large, _mm256_sub_epi16(power, _mm256_set1_epi16(1)));
        return _mm256_blendv_epi8(words16(symbols), _mm256_mullo_epi16(factor, power), large);
    }
};

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

// The next raw bits, put where the mask has ones; at most 56 of them, or of symbols that may not occur 64.
uint64_t take_raw(const uint8_t* raw, size_t* position, uint64_t mask) noexcept {
    const uint64_t bits = load8(raw + *position / 8) >> *position % 8;
    *position += static_cast<unsigned>(_mm_popcnt_u64(mask));
    return _pdep_u64(bits, mask);
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
    const Meaning meaning(*table);
    size_t i = 0;
    for (; n - i >= 16; i += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(symbols + i));
        __m256i u = words16(bytes);
        if (_mm_movemask_epi8(bytes) != 0) {
            if (position / 8 + 40 > raw_bytes) {  // no room for four loads, at most 8 bytes apart
                position = scalar::join_wide(table, symbols + i, 16, raw, raw_bytes, position, codes + i);
                continue;
            }
            __m256i mask;
            const __m256i base = meaning(bytes, &mask);
            const __m128i low = _mm256_castsi256_si128(mask);
            const __m128i high = _mm256_extracti128_si256(mask, 1);
            const uint64_t a = take_raw(raw, &position, static_cast<uint64_t>(_mm_cvtsi128_si64(low)));
            const uint64_t b = take_raw(raw, &position, static_cast<uint64_t>(_mm_extract_epi64(low, 1)));
            const uint64_t c = take_raw(raw, &position, static_cast<uint64_t>(_mm_cvtsi128_si64(high)));
            const uint64_t d = take_raw(raw, &position, static_cast<uint64_t>(_mm_extract_epi64(high, 1)));
            u = _mm256_or_si256(base, _mm256_set_epi64x(static_cast<long long>(d), static_cast<long long>(c),
                                                        static_cast<long long>(b), static_cast<long long>(a)));
        }
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), unfold(u));
    }
    return scalar::join_wide(table, symbols + i, n - i, raw, raw_bytes, position, codes + i);
}

}  // namespace bitpress::avx2
