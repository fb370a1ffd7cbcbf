// Bitmaps with PDEP and PEXT, eight elements (one mask byte) a step.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

// 0xFF in each byte whose bit of the mask is set.
uint64_t spread(uint8_t mask) noexcept { return _pdep_u64(mask, 0x0101010101010101U) * 0xFFU; }

unsigned count8(uint8_t mask) noexcept { return static_cast<unsigned>(_mm_popcnt_u32(mask)); }

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
        word = _pext_u64(word, spread(mask[i / 8]));
        memcpy(out + kept, &word, sizeof word);
        kept += count8(mask[i / 8]);
    }
    return kept + scalar::compress_bytes(in + i, n - i, mask + i / 8, out + kept);
}

void expand_bytes(const uint8_t* in, size_t n_in, const uint8_t* mask, size_t n, uint8_t* out) noexcept {
    size_t used = 0;
    size_t i = 0;
    for (; n - i >= 8 && n_in - used >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, in + used, sizeof word);
        word = _pdep_u64(word, spread(mask[i / 8]));
        memcpy(out + i, &word, sizeof word);
        used += count8(mask[i / 8]);
    }
    scalar::expand_bytes(in + used, n_in - used, mask + i / 8, n - i, out + i);
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

}  // namespace bitpress::avx2
