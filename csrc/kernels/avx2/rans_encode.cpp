// rANS, encoding: 8 states a vector. Tables are read by scalar loads, for gathers are slower on several CPUs; what
// limits the loop is the number of its instructions.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

// For each set of 8 lanes: the words of all others moved to the end of 16 bytes, in lane order, as pshufb takes it.
struct GatherWords {
    alignas(16) uint8_t without[256][16];
    constexpr GatherWords() : without() {
        for (unsigned lanes = 0; lanes < 256; ++lanes) {
            unsigned word = 8;
            for (unsigned lane = 8; lane-- > 0;) {
                if ((lanes >> lane & 1) != 0) continue;
                --word;
                without[lanes][2 * word] = static_cast<uint8_t>(2 * lane);
                without[lanes][2 * word + 1] = static_cast<uint8_t>(2 * lane + 1);
            }
            for (unsigned i = 0; i < 2 * word; ++i) without[lanes][i] = 0x80;
        }
    }
};
constexpr GatherWords gather_words;

// Entries a, b, c, d: broadcast by loads and blended, neither of which the units that shuffle take part in.
inline __m256i four(const uint64_t* table, unsigned a, unsigned b, unsigned c, unsigned d) {
    const auto all = [table](unsigned i) { return _mm256_set1_epi64x(static_cast<int64_t>(table[i])); };
    return _mm256_blend_epi32(_mm256_blend_epi32(all(a), all(b), 0x0C), _mm256_blend_epi32(all(c), all(d), 0xC0), 0xF0);
}

// 8 states without what the slot table adds to them, and where in it that stands: looked up a round later, a step
// before it is needed, when nothing waits for it.
struct Eight {
    alignas(32) uint32_t high[8];
    alignas(32) uint32_t index[8];
};

// What stands at two indices, in the first and the second lane of each two; the other half of a lane is its neighbour.
inline __m256i two_slots(const uint16_t* slot, const uint32_t* index) {
    uint64_t both;
    memcpy(&both, index, sizeof both);
    int first, second;
    memcpy(&first, slot + static_cast<uint32_t>(both), sizeof first);
    memcpy(&second, slot + (both >> 32), sizeof second);
    return _mm256_blend_epi32(_mm256_set1_epi32(first), _mm256_set1_epi32(second), 0xAA);
}

inline __m256i whole_states(const uint16_t* slot, const Eight& states) {
    const __m256i low = _mm256_blend_epi32(two_slots(slot, states.index), two_slots(slot, states.index + 2), 0x0C);
    const __m256i high = _mm256_blend_epi32(two_slots(slot, states.index + 4), two_slots(slot, states.index + 6), 0xC0);
    return _mm256_add_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(states.high)),
                            _mm256_and_si256(_mm256_blend_epi32(low, high, 0xF0), _mm256_set1_epi32(8191)));
}

// Codes 8 symbols with the states *whole, which then are those that follow. Returns where the words now begin.
inline uint8_t* step(const RansEncodeTable& table, const uint8_t* in, Eight* states, const Eight& following,
                     __m256i* whole, uint8_t* at) {
    const uint64_t* const symbol = table.symbol;
    const __m256i even = four(symbol, in[0], in[2], in[4], in[6]);
    const __m256i odd = four(symbol, in[1], in[3], in[5], in[7]);
    const __m256i f_start = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);  // f in the low word
    __m256i x = *whole;
    *whole = whole_states(table.slot, following);
    const __m256i keep =
        _mm256_cmpgt_epi32(_mm256_and_si256(f_start, _mm256_set1_epi32(65535)), _mm256_srli_epi32(x, 20));
    const auto kept = static_cast<uint64_t>(static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(keep))));
    const __m256i low = _mm256_and_si256(x, _mm256_set1_epi32(65535));
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    const __m128i order = _mm_load_si128(reinterpret_cast<const __m128i*>(gather_words.without[kept]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at - 16), _mm_shuffle_epi8(words, order));
    x = _mm256_blendv_epi8(_mm256_srli_epi32(x, 16), x, keep);

    const __m256i quotient =  // or one less: the slot table makes up for it
        _mm256_blend_epi32(_mm256_srli_epi64(_mm256_mul_epu32(x, even), 32),
                           _mm256_mul_epu32(_mm256_srli_epi64(x, 32), odd), 0xAA);
    // Ranks are below 2^13: their low words are enough.
    const __m256i rank = _mm256_sub_epi16(x, _mm256_mullo_epi16(quotient, f_start));
    _mm256_store_si256(reinterpret_cast<__m256i*>(states->high), _mm256_slli_epi32(quotient, 12));
    const __m256i rank_start = _mm256_blend_epi16(rank, f_start, 0xAA);
    _mm256_store_si256(reinterpret_cast<__m256i*>(states->index), _mm256_madd_epi16(rank_start, _mm256_set1_epi16(1)));
    return at - 16 + 2 * _mm_popcnt_u64(kept);
}

}  // namespace

uint8_t* rans_encode(const RansEncodeTable* table, uint32_t* states, unsigned state_count, const uint8_t* in,
                     size_t rounds, const uint8_t* begin, uint8_t* end) noexcept {
    if (state_count % 32 != 0) return scalar::rans_encode(table, states, state_count, in, rounds, begin, end);
    Eight all[16];
    Eight* const all_end = all + state_count / 8;
    for (unsigned k = 0; k < state_count; ++k) {
        all[k / 8].high[k % 8] = states[k];
        all[k / 8].index[k % 8] = 8192;  // adds nothing
    }
    const uint8_t* symbols = in + rounds * state_count;
    uint8_t* at = end;
    __m256i whole = whole_states(table->slot, all_end[-1]);
    while (symbols != in) {
        if (static_cast<size_t>(at - begin) < 2 * state_count) return nullptr;
        // In each step 16 bytes are written: as much is left, for no step before has taken more.
        for (Eight* eight = all_end; eight-- != all;) {
            symbols -= 8;
            at = step(*table, symbols, eight, eight == all ? all_end[-1] : eight[-1], &whole, at);
        }
    }
    for (const Eight* eight = all; eight != all_end; ++eight, states += 8) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(states), whole_states(table->slot, *eight));
    }
    return at;
}

}  // namespace bitpress::avx2
