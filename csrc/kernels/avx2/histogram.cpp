// Counts of byte values, and their range. Where all are below 16, two neighbours are one index: half of the counters to
// raise.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

constexpr size_t block = 32768;

// Packs a block of values below 16 two a byte. False where one is 16 or more; pairs are then worth nothing.
bool pack_pairs(const uint8_t* in, uint8_t* pairs) noexcept {
    const __m256i weights = _mm256_set1_epi16(0x1001);  // the first of two is the low half
    __m256i seen = _mm256_setzero_si256();
    for (size_t i = 0; i < block; i += 64) {
        const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i));
        const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i + 32));
        seen = _mm256_or_si256(seen, _mm256_or_si256(a, b));
        const __m256i packed = _mm256_packus_epi16(_mm256_maddubs_epi16(a, weights), _mm256_maddubs_epi16(b, weights));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(pairs + i / 2), packed);
    }
    return _mm256_testz_si256(seen, _mm256_set1_epi8(static_cast<char>(0xF0))) != 0;
}

}  // namespace

void histogram(const uint8_t* in, size_t n, uint64_t* counts) noexcept {
    uint8_t pairs[block / 2];
    uint64_t pair_counts[256];
    memset(pair_counts, 0, sizeof pair_counts);
    bool any = false;
    for (; n >= block && pack_pairs(in, pairs); in += block, n -= block) {
        scalar::histogram(pairs, sizeof pairs, pair_counts);
        any = true;
    }
    for (unsigned v = 0; any && v < 256; ++v) {
        counts[v & 15] += pair_counts[v];
        counts[v >> 4] += pair_counts[v];
    }
    scalar::histogram(in, n, counts);
}

void min_max_bytes(const uint8_t* in, size_t n, uint8_t* low, uint8_t* high) noexcept {
    __m256i least = _mm256_set1_epi8(-1), greatest = _mm256_setzero_si256();
    for (; n >= 64; in += 64, n -= 64) {
        const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
        const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + 32));
        least = _mm256_min_epu8(least, _mm256_min_epu8(a, b));
        greatest = _mm256_max_epu8(greatest, _mm256_max_epu8(a, b));
    }
    // One vector of bytes each, and what is left of the input.
    uint8_t lows[32 + 64], highs[32 + 64];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lows), least);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(highs), greatest);
    memcpy(lows + 32, in, n);
    memcpy(highs + 32, in, n);
    uint8_t unused;
    scalar::min_max_bytes(lows, 32 + n, low, &unused);
    scalar::min_max_bytes(highs, 32 + n, &unused, high);
}

}  // namespace bitpress::avx2
