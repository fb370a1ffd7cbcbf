// Counts of byte values. Where all are below 16, two neighbours are one index: half of the counters to
// raise.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"
#include "kernels/byte_set.h"

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

size_t select_bytes(const uint8_t* in, size_t n, const uint8_t* values, uint8_t* out) noexcept {
    const ByteSet set(values);
    const __m256i low_half = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(set.rows[0])));
    const __m256i high_half =
        _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(set.rows[1])));
    const __m256i bits = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201U));
    const __m256i nibble = _mm256_set1_epi8(15);
    size_t taken = 0;
    size_t i = 0;
    for (; n - i >= 32; i += 32) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + i));
        const __m256i low = _mm256_and_si256(bytes, nibble);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
        const __m256i row =
            _mm256_blendv_epi8(_mm256_shuffle_epi8(low_half, low), _mm256_shuffle_epi8(high_half, low), bytes);
        const __m256i clear =
            _mm256_cmpeq_epi8(_mm256_and_si256(row, _mm256_shuffle_epi8(bits, high)), _mm256_setzero_si256());
        for (auto found = ~static_cast<unsigned>(_mm256_movemask_epi8(clear)); found != 0; found &= found - 1) {
            out[taken++] = in[i + _tzcnt_u32(found)];
        }
    }
    return taken + scalar::select_bytes(in + i, n - i, values, out + taken);
}

}  // namespace bitpress::avx2
