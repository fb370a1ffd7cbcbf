// Bitmaps with PDEP and PEXT, eight elements (one mask byte) a step.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

unsigned count8(uint8_t mask) noexcept { return static_cast<unsigned>(_mm_popcnt_u32(mask)); }

// 0xFF in each byte whose bit of the mask is set, for every mask.
struct Spread {
    uint64_t of[256];
    constexpr Spread() : of() {
        for (unsigned mask = 0; mask < 256; ++mask) {
            for (unsigned i = 0; i < 8; ++i) of[mask] |= (mask >> i & 1) * (uint64_t{255} << (8 * i));
        }
    }
};
constexpr Spread spreads;

// Eight bytes out, up to eight in; what is taken.
unsigned expand8(const uint8_t* in, uint8_t mask, uint64_t fills, uint8_t* out) noexcept {
    uint64_t word;
    memcpy(&word, in, sizeof word);
    word = _pdep_u64(word ^ fills, spreads.of[mask]) ^ fills;
    memcpy(out, &word, sizeof word);
    return count8(mask);
}

// The gaps of every mask byte, as if a bit was set just before it, and in bits 60..63, which no gap needs, the clear
// bits at its end.
struct ByteGaps {
    uint64_t of[256];
    constexpr ByteGaps() : of() {
        for (unsigned mask = 0; mask < 256; ++mask) {
            unsigned gap = 0, bytes = 0;
            for (unsigned i = 0; i < 8; ++i) {
                if ((mask >> i & 1) != 0) {
                    of[mask] |= uint64_t{gap} << (8 * bytes++);
                    gap = 0;
                } else {
                    ++gap;
                }
            }
            of[mask] |= uint64_t{gap} << 60;
        }
    }
};
constexpr ByteGaps byte_gaps;

}  // namespace

void mask_nonzero(const float* x, size_t n, uint8_t* mask) noexcept {
    const __m256 zero = _mm256_setzero_ps();
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        mask[i / 8] =
            static_cast<uint8_t>(_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + i), zero, _CMP_NEQ_UQ)));
    }
    scalar::mask_nonzero(x + i, n - i, mask + i / 8);
}

uint64_t count_bits(const uint8_t* mask, size_t n_bytes) noexcept {
    uint64_t count = 0;
    size_t i = 0;
    for (; n_bytes - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, mask + i, sizeof word);
        count += static_cast<uint64_t>(_mm_popcnt_u64(word));
    }
    return count + scalar::count_bits(mask + i, n_bytes - i);
}

size_t compress_bytes(const uint8_t* in, size_t n, const uint8_t* mask, uint8_t* out) noexcept {
    size_t kept = 0;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {  // kept <= i: the eight bytes written lie inside the n of the output
        uint64_t word;
        memcpy(&word, in + i, sizeof word);
        word = _pext_u64(word, spreads.of[mask[i / 8]]);
        memcpy(out + kept, &word, sizeof word);
        kept += count8(mask[i / 8]);
    }
    return kept + scalar::compress_bytes(in + i, n - i, mask + i / 8, out + kept);
}

void expand_bytes(const uint8_t* in, size_t n_in, const uint8_t* mask, size_t n, uint8_t fill, uint8_t* out) noexcept {
    const uint64_t fills = fill * 0x0101010101010101U;
    const uint8_t* const end = in + n_in;
    size_t i = 0;
    for (; n - i >= 32 && end - in >= 32; i += 32) {  // of 32 bytes, all are taken at most
        in += expand8(in, mask[i / 8], fills, out + i);
        in += expand8(in, mask[i / 8 + 1], fills, out + i + 8);
        in += expand8(in, mask[i / 8 + 2], fills, out + i + 16);
        in += expand8(in, mask[i / 8 + 3], fills, out + i + 24);
    }
    for (; n - i >= 8 && end - in >= 8; i += 8) in += expand8(in, mask[i / 8], fills, out + i);
    scalar::expand_bytes(in, static_cast<size_t>(end - in), mask + i / 8, n - i, fill, out + i);
}

void mask_other(const uint8_t* in, size_t n, uint8_t value, uint8_t* mask) noexcept {
    const __m256i values = _mm256_set1_epi8(static_cast<char>(value));
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i));
        const uint32_t same = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, values)));
        const uint32_t other = ~same;
        memcpy(mask + i / 8, &other, sizeof other);
    }
    scalar::mask_other(in + i, n - i, value, mask + i / 8);
}

size_t write_gaps(const uint8_t* mask, size_t n, uint8_t* gaps) noexcept {
    uint8_t* at = gaps;
    uint64_t clear = 0;  // bits since the last one set
    for (size_t i = 0; i < (n + 7) / 8; ++i) {
        const unsigned byte = mask[i];
        const uint64_t first = _tzcnt_u32(byte | 256U);
        if (__builtin_expect(clear + first >= 255, 0) != 0 && byte != 0) {
            for (; clear + first >= 255; clear -= 255) *at++ = 255;  // may leave less than nothing before `first`
        }
        const uint64_t entry = byte_gaps.of[byte];
        memcpy(at, &entry, sizeof entry);
        at[0] = static_cast<uint8_t>(clear + first);
        at += _mm_popcnt_u32(byte);
        clear = (entry >> 60) + (byte == 0 ? clear : 0);
    }
    return static_cast<size_t>(at - gaps);
}

void clear_unmasked(const uint8_t* mask, size_t n, float* x) noexcept {
    const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const __m256i set = _mm256_and_si256(_mm256_set1_epi32(mask[i / 8]), lanes);
        const __m256i keep = _mm256_cmpeq_epi32(set, lanes);
        _mm256_storeu_ps(x + i, _mm256_and_ps(_mm256_loadu_ps(x + i), _mm256_castsi256_ps(keep)));
    }
    scalar::clear_unmasked(mask + i / 8, n - i, x + i);
}

// Each byte of a mask as eight bytes, then the numbers of its bits drawn together.
size_t mask_positions(const uint8_t* mask, size_t n, unsigned start, uint16_t* positions) noexcept {
    uint16_t* at = positions;
    for (size_t i = 0; i < n; i += 8) {
        const unsigned byte = mask[i / 8];
        const unsigned long long spread = _pdep_u64(byte, 0x0101010101010101ULL) * 255U;
        const auto numbers = static_cast<long long>(_pext_u64(0x0706050403020100ULL, spread));
        const __m128i wide = _mm_cvtepu8_epi16(_mm_cvtsi64_si128(numbers));
        const __m128i first = _mm_set1_epi16(static_cast<short>(start + i));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm_add_epi16(wide, first));
        at += _mm_popcnt_u32(byte);
    }
    return static_cast<size_t>(at - positions);
}

}  // namespace bitpress::avx2
