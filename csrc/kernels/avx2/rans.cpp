// rANS. Where 16 symbols or fewer occur, states are held as planes of 16 bits and the table as bytes that pshufb looks
// up. Other tables are in memory: entries come by scalar loads, for gathers are slower on several CPUs.
#include <immintrin.h>
#include <string.h>

#include "kernels/avx2/overrides.h"

namespace bitpress::avx2 {
namespace {

// For each set of 8 lanes: which of the next words each lane of the set takes, in lane order, none for the others, as
// pshufb takes it.
struct SpreadWords {
    alignas(16) uint8_t of[256][16];
    constexpr SpreadWords() : of() {
        for (unsigned lanes = 0; lanes < 256; ++lanes) {
            unsigned word = 0;
            for (unsigned lane = 0; lane < 8; ++lane) {
                const bool taken = (lanes >> lane & 1) != 0;
                of[lanes][2 * lane] = static_cast<uint8_t>(taken ? 2 * word : 0x80);
                of[lanes][2 * lane + 1] = static_cast<uint8_t>(taken ? 2 * word + 1 : 0x80);
                word += taken ? 1 : 0;
            }
        }
    }
};
constexpr SpreadWords spread_words;

inline const __m128i* as128(const void* p) { return static_cast<const __m128i*>(p); }
inline __m256i* as256(void* p) { return static_cast<__m256i*>(p); }

inline __m128i load4(const uint32_t* entries, const uint32_t* slots) {
    __m128i four = _mm_cvtsi32_si128(static_cast<int>(entries[slots[0]]));
    four = _mm_insert_epi32(four, static_cast<int>(entries[slots[1]]), 1);
    four = _mm_insert_epi32(four, static_cast<int>(entries[slots[2]]), 2);
    return _mm_insert_epi32(four, static_cast<int>(entries[slots[3]]), 3);
}

// States, and their low 12 bits: stored, and read one by one a round later, they cost less than taking them out of a
// vector.
struct States {
    alignas(32) uint32_t x[128];
    alignas(32) uint32_t slots[128];
};

inline void store_states(__m256i x, uint32_t* states, uint32_t* slots) {
    _mm256_store_si256(as256(states), x);
    _mm256_store_si256(as256(slots), _mm256_and_si256(x, _mm256_set1_epi32(4095)));
}

// 8 states as they are; their entries. Returns where the words go on.
inline const uint8_t* step8(const uint32_t* entries, uint32_t* states, uint32_t* slots, const uint8_t* at,
                            __m256i* entry_out) {
    const __m256i entry =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load4(entries, slots)), load4(entries, slots + 4), 1);
    const __m256i x = _mm256_load_si256(as256(states));
    const __m256i rank = _mm256_and_si256(_mm256_srli_epi32(entry, 8), _mm256_set1_epi32(4095));
    const __m256i next =
        _mm256_add_epi32(_mm256_mullo_epi32(_mm256_srli_epi32(entry, 20), _mm256_srli_epi32(x, 12)), rank);
    const __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(next, 16), _mm256_setzero_si256());
    const auto lanes = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(low)));
    const __m128i words = _mm_shuffle_epi8(_mm_loadu_si128(as128(at)), _mm_load_si128(as128(spread_words.of[lanes])));
    const __m256i renewed = _mm256_or_si256(_mm256_slli_epi32(next, 16), _mm256_cvtepu16_epi32(words));
    store_states(_mm256_blendv_epi8(next, renewed, low), states, slots);
    *entry_out = entry;
    return at + 2 * _mm_popcnt_u32(lanes);
}

// 32 states, 32 symbols out. Returns where the words go on.
inline const uint8_t* step_loads(const uint32_t* entries, uint32_t* states, uint32_t* slots, const uint8_t* at,
                                 uint8_t* out) {
    const __m256i byte_mask = _mm256_set1_epi32(255);
    __m256i a, b, c, d;
    at = step8(entries, states, slots, at, &a);
    at = step8(entries, states + 8, slots + 8, at, &b);
    at = step8(entries, states + 16, slots + 16, at, &c);
    at = step8(entries, states + 24, slots + 24, at, &d);
    const __m256i ab = _mm256_packus_epi32(_mm256_and_si256(a, byte_mask), _mm256_and_si256(b, byte_mask));
    const __m256i cd = _mm256_packus_epi32(_mm256_and_si256(c, byte_mask), _mm256_and_si256(d, byte_mask));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(as256(out), _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), order));
    return at;
}

// The low and the high half of each state, 16 states a vector.
struct Planes {
    uint16_t low[128];
    uint16_t high[128];
};

struct Buckets16 {
    __m256i threshold, alias, rank_low, rank_high, frequency_low, frequency_high, value;
};

inline __m256i twice(const uint8_t* p) { return _mm256_broadcastsi128_si256(_mm_loadu_si128(as128(p))); }

inline __m256i load_two(const void* low, const void* high) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(as128(low))), _mm_loadu_si128(as128(high)),
                                   1);
}

// state = frequency * (state >> 12) + rank for 16 states in planes.
inline void advance(__m256i frequency, __m256i rank, __m256i* low, __m256i* high) {
    const __m256i quotient_low = _mm256_or_si256(_mm256_slli_epi16(*high, 4), _mm256_srli_epi16(*low, 12));
    const __m256i quotient_high = _mm256_srli_epi16(*high, 12);
    const __m256i sum = _mm256_add_epi16(_mm256_mullo_epi16(frequency, quotient_low), rank);
    const __m256i no_carry = _mm256_cmpeq_epi16(_mm256_max_epu16(sum, rank), sum);  // -1 where true
    const __m256i product_high =
        _mm256_add_epi16(_mm256_mulhi_epu16(frequency, quotient_low), _mm256_mullo_epi16(frequency, quotient_high));
    *high = _mm256_add_epi16(product_high, _mm256_add_epi16(no_carry, _mm256_set1_epi16(1)));
    *low = sum;
}

// 32 states from `planes` on, 32 symbols out. Returns where the words go on.
inline const uint8_t* step_planes(const Buckets16& table, uint16_t* lows, uint16_t* highs, const uint8_t* at,
                                  uint8_t* out) {
    const __m256i byte_mask = _mm256_set1_epi16(255);
    const __m256i bucket_mask = _mm256_set1_epi16(15);
    __m256i low[2] = {_mm256_loadu_si256(as256(lows)), _mm256_loadu_si256(as256(lows + 16))};
    __m256i high[2] = {_mm256_loadu_si256(as256(highs)), _mm256_loadu_si256(as256(highs + 16))};
    // Packing two vectors of words interleaves their halves; unpacking below undoes it.
    const __m256i bucket = _mm256_packus_epi16(_mm256_and_si256(_mm256_srli_epi16(low[0], 8), bucket_mask),
                                               _mm256_and_si256(_mm256_srli_epi16(low[1], 8), bucket_mask));
    const __m256i offset0 = _mm256_and_si256(low[0], byte_mask);
    const __m256i offset1 = _mm256_and_si256(low[1], byte_mask);
    const __m256i offset = _mm256_packus_epi16(offset0, offset1);
    const __m256i aliased =
        _mm256_cmpeq_epi8(_mm256_max_epu8(offset, _mm256_shuffle_epi8(table.threshold, bucket)), offset);
    const __m256i item = _mm256_blendv_epi8(bucket, _mm256_shuffle_epi8(table.alias, bucket), aliased);
    const __m256i f_low = _mm256_shuffle_epi8(table.frequency_low, item);
    const __m256i f_high = _mm256_shuffle_epi8(table.frequency_high, item);
    const __m256i r_low = _mm256_and_si256(aliased, _mm256_shuffle_epi8(table.rank_low, bucket));
    const __m256i r_high = _mm256_and_si256(aliased, _mm256_shuffle_epi8(table.rank_high, bucket));
    _mm256_storeu_si256(as256(out), _mm256_permute4x64_epi64(_mm256_shuffle_epi8(table.value, item), 0xD8));

    advance(_mm256_unpacklo_epi8(f_low, f_high), _mm256_add_epi16(offset0, _mm256_unpacklo_epi8(r_low, r_high)),
            &low[0], &high[0]);
    advance(_mm256_unpackhi_epi8(f_low, f_high), _mm256_add_epi16(offset1, _mm256_unpackhi_epi8(r_low, r_high)),
            &low[1], &high[1]);
    const __m256i renew0 = _mm256_cmpeq_epi16(high[0], _mm256_setzero_si256());
    const __m256i renew1 = _mm256_cmpeq_epi16(high[1], _mm256_setzero_si256());
    const auto lanes = static_cast<unsigned>(_mm256_movemask_epi8(_mm256_packs_epi16(renew0, renew1)));
    const unsigned set[4] = {lanes & 255, lanes >> 16 & 255, lanes >> 8 & 255, lanes >> 24};
    const uint8_t* from[5] = {at};
    for (int i = 0; i < 4; ++i) from[i + 1] = from[i] + 2 * _mm_popcnt_u32(set[i]);
    const __m256i words0 =
        _mm256_shuffle_epi8(load_two(from[0], from[1]), load_two(spread_words.of[set[0]], spread_words.of[set[1]]));
    const __m256i words1 =
        _mm256_shuffle_epi8(load_two(from[2], from[3]), load_two(spread_words.of[set[2]], spread_words.of[set[3]]));
    _mm256_storeu_si256(as256(highs), _mm256_blendv_epi8(high[0], low[0], renew0));
    _mm256_storeu_si256(as256(highs + 16), _mm256_blendv_epi8(high[1], low[1], renew1));
    _mm256_storeu_si256(as256(lows), _mm256_blendv_epi8(low[0], words0, renew0));
    _mm256_storeu_si256(as256(lows + 16), _mm256_blendv_epi8(low[1], words1, renew1));
    return from[4];
}

size_t decode_planes(const RansTable* table, uint32_t* states, unsigned state_count, const uint8_t* words,
                     size_t words_bytes, size_t* used_bytes, uint8_t* out, size_t rounds) {
    Planes planes;
    for (unsigned k = 0; k < state_count; ++k) {
        planes.low[k] = static_cast<uint16_t>(states[k]);
        planes.high[k] = static_cast<uint16_t>(states[k] >> 16);
    }
    const Buckets16 buckets = {twice(table->threshold),      twice(table->alias),
                               twice(table->alias_rank_low), twice(table->alias_rank_high),
                               twice(table->frequency_low),  twice(table->frequency_high),
                               twice(table->value)};
    const uint8_t* at = words;
    size_t done = 0;
    for (; done < rounds && static_cast<size_t>(words + words_bytes - at) >= 2 * state_count; ++done) {
        for (unsigned k = 0; k < state_count; k += 32, out += 32) {
            at = step_planes(buckets, planes.low + k, planes.high + k, at, out);
        }
    }
    for (unsigned k = 0; k < state_count; ++k) {
        states[k] = planes.low[k] | static_cast<uint32_t>(planes.high[k]) << 16;
    }
    *used_bytes = static_cast<size_t>(at - words);
    return done;
}

}  // namespace

size_t rans_decode(const RansTable* table, uint32_t* states, unsigned state_count, const uint8_t* words,
                   size_t words_bytes, size_t* used_bytes, uint8_t* out, size_t rounds) noexcept {
    if (state_count % 32 != 0) {
        return scalar::rans_decode(table, states, state_count, words, words_bytes, used_bytes, out, rounds);
    }
    if (table->bucket_log == 4) {
        return decode_planes(table, states, state_count, words, words_bytes, used_bytes, out, rounds);
    }
    States x;
    for (unsigned k = 0; k < state_count; k += 8) {
        store_states(_mm256_loadu_si256(as256(states + k)), x.x + k, x.slots + k);
    }
    const uint8_t* at = words;
    size_t done = 0;
    for (; done < rounds && static_cast<size_t>(words + words_bytes - at) >= 2 * state_count; ++done) {
        for (unsigned k = 0; k < state_count; k += 32, out += 32) {
            at = step_loads(table->entry, x.x + k, x.slots + k, at, out);
        }
    }
    memcpy(states, x.x, sizeof *states * state_count);
    *used_bytes = static_cast<size_t>(at - words);
    return done;
}

}  // namespace bitpress::avx2
