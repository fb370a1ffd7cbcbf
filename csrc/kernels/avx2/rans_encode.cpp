// rANS, encoding: 8 states a vector. Tables are read by scalar loads, in loops of their own that no arithmetic waits
// in.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

// For each set of 8 lanes: the lanes' words moved to the end of 16 bytes, in lane order, as pshufb takes it.
struct GatherWords {
    alignas(16) uint8_t of[256][16];
    constexpr GatherWords() : of() {
        for (unsigned lanes = 0; lanes < 256; ++lanes) {
            unsigned word = 8;
            for (unsigned lane = 8; lane-- > 0;) {
                if ((lanes >> lane & 1) == 0) continue;
                --word;
                of[lanes][2 * word] = static_cast<uint8_t>(2 * lane);
                of[lanes][2 * word + 1] = static_cast<uint8_t>(2 * lane + 1);
            }
            for (unsigned i = 0; i < 2 * word; ++i) of[lanes][i] = 0x80;
        }
    }
};
constexpr GatherWords gather_words;

inline __m128i two(const uint64_t* table, unsigned a, unsigned b) {
    const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(table + a));
    return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64*>(table + b)));
}

inline __m256i four(const uint64_t* table, unsigned a, unsigned b, unsigned c, unsigned d) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(two(table, a, b)), two(table, c, d), 1);
}

// The states, without their low 12 bits, and which of the slots these are: looked up a round later, when nothing waits
// for it.
struct Round {
    alignas(32) uint32_t high[128];
    alignas(32) uint32_t index[128];
};

inline int load_slot(const uint16_t* slot, uint32_t index) {
    int two_slots;
    memcpy(&two_slots, slot + index, sizeof two_slots);
    return two_slots;
}

inline __m128i load_slots(const uint16_t* slot, const uint32_t* index) {
    __m128i four = _mm_cvtsi32_si128(load_slot(slot, index[0]));
    four = _mm_insert_epi32(four, load_slot(slot, index[1]), 1);
    four = _mm_insert_epi32(four, load_slot(slot, index[2]), 2);
    return _mm_insert_epi32(four, load_slot(slot, index[3]), 3);
}

// Codes 8 symbols. Returns where the words now begin.
inline uint8_t* step(const uint64_t* symbol, const uint16_t* slot, const uint8_t* in, uint32_t* high, uint32_t* index,
                     uint8_t* at) {
    const __m256i low_words = _mm256_set1_epi32(65535);
    const __m256 a = _mm256_castsi256_ps(four(symbol, in[0], in[1], in[4], in[5]));
    const __m256 b = _mm256_castsi256_ps(four(symbol, in[2], in[3], in[6], in[7]));
    const __m256i reciprocal = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    const __m256i f_start = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD));  // f in the low word
    const __m256i slots =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load_slots(slot, index)), load_slots(slot, index + 4), 1);
    __m256i x = _mm256_or_si256(_mm256_load_si256(reinterpret_cast<const __m256i*>(high)),
                                _mm256_and_si256(slots, _mm256_set1_epi32(4095)));
    const __m256i keep = _mm256_cmpgt_epi32(_mm256_and_si256(f_start, low_words), _mm256_srli_epi32(x, 20));
    const auto renew = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(keep))) ^ 255U;
    const __m256i halves =
        _mm256_shuffle_epi8(x, _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 4, 5, 8,
                                                9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1));
    const __m128i words = _mm_unpacklo_epi64(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    const __m128i order = _mm_load_si128(reinterpret_cast<const __m128i*>(gather_words.of[renew]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at - 16), _mm_shuffle_epi8(words, order));
    x = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, keep);

    const __m256i even = _mm256_mul_epu32(x, reciprocal);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(reciprocal, 32));
    const __m256i quotient = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);  // or one less
    // Ranks are below 2^13: their low words are enough.
    const __m256i rest = _mm256_sub_epi16(x, _mm256_mullo_epi16(quotient, f_start));
    const __m256i less = _mm256_sub_epi16(rest, f_start);
    const __m256i rank = _mm256_min_epu16(rest, less);
    const __m256i more = _mm256_and_si256(_mm256_cmpeq_epi16(rank, less), _mm256_set1_epi32(1));
    _mm256_store_si256(reinterpret_cast<__m256i*>(high), _mm256_slli_epi32(_mm256_add_epi32(quotient, more), 12));
    const __m256i rank_start = _mm256_blend_epi16(rank, f_start, 0xAA);
    _mm256_store_si256(reinterpret_cast<__m256i*>(index), _mm256_madd_epi16(rank_start, _mm256_set1_epi16(1)));
    return at - 2 * _mm_popcnt_u32(renew);
}

// The states' low 12 bits.
inline void add_slots(const uint16_t* slot, const uint32_t* index, uint32_t* high) {
    const __m256i slots =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load_slots(slot, index)), load_slots(slot, index + 4), 1);
    const __m256i x = _mm256_load_si256(reinterpret_cast<const __m256i*>(high));
    _mm256_store_si256(reinterpret_cast<__m256i*>(high),
                       _mm256_or_si256(x, _mm256_and_si256(slots, _mm256_set1_epi32(4095))));
}

}  // namespace

uint8_t* rans_encode(const RansEncodeTable* table, uint32_t* states, unsigned state_count, const uint8_t* in,
                     size_t rounds, const uint8_t* begin, uint8_t* end) noexcept {
    if (state_count % 32 != 0) return scalar::rans_encode(table, states, state_count, in, rounds, begin, end);
    Round round;
    memcpy(round.high, states, sizeof *states * state_count);
    for (uint32_t& index : round.index) index = 4096;
    uint8_t* at = end;
    while (rounds-- > 0) {
        if (static_cast<size_t>(at - begin) < 2 * state_count) return nullptr;
        const uint8_t* const symbols = in + rounds * state_count;
        // In each step 16 bytes are written: as much is left, for no step before has taken more.
        for (unsigned k = state_count; k > 0;) {
            k -= 8;
            at = step(table->symbol, table->slot, symbols + k, round.high + k, round.index + k, at);
        }
    }
    for (unsigned k = 0; k < state_count; k += 8) add_slots(table->slot, round.index + k, round.high + k);
    memcpy(states, round.high, sizeof *states * state_count);
    return at;
}

}  // namespace bitpress::avx2
