// rANS with states as planes of 16 bits and the whole table in registers: byte permutes look up 16 or 256 buckets.
#include "kernels/avx2/overrides.h"
#include "kernels/avx512/bytes256.h"
#include "kernels/avx512/overrides.h"

namespace bitpress::avx512 {
namespace {

// 16 buckets: every table is one vector, repeated in each 128-bit lane.
struct Buckets16 {
    static constexpr unsigned size_log = 8;
    __m512i threshold, alias, rank_low, rank_high, frequency_low, frequency_high, value;

    static __m512i repeat(const uint8_t* p) {
        return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    explicit Buckets16(const RansTable* table)
        : threshold(repeat(table->threshold)),
          alias(repeat(table->alias)),
          rank_low(repeat(table->alias_rank_low)),
          rank_high(repeat(table->alias_rank_high)),
          frequency_low(repeat(table->frequency_low)),
          frequency_high(repeat(table->frequency_high)),
          value(repeat(table->value)) {}
    static __m512i look_up(__m512i entries, __m512i index) { return _mm512_shuffle_epi8(entries, index); }
    __m512i symbols(__m512i item) const { return _mm512_shuffle_epi8(value, item); }
};

// 256 buckets: an item is the symbol itself.
struct Buckets256 {
    static constexpr unsigned size_log = 4;
    Bytes256 threshold, alias, rank_low, rank_high, frequency_low, frequency_high;

    explicit Buckets256(const RansTable* table)
        : threshold(table->threshold),
          alias(table->alias),
          rank_low(table->alias_rank_low),
          rank_high(table->alias_rank_high),
          frequency_low(table->frequency_low),
          frequency_high(table->frequency_high) {}
    static __m512i look_up(const Bytes256& entries, __m512i index) { return entries.at(index); }
    static __m512i symbols(__m512i item) { return item; }
};

// 32 states in two planes.
struct States {
    __m512i low, high;
};

// state = frequency * (state >> 12) + rank, then the states below 2^16 take the next words. Returns the words taken.
inline unsigned advance(__m512i frequency, __m512i rank, const uint8_t* at, States* x) {
    const __m512i quotient_low = _mm512_shldi_epi16(x->high, x->low, 4);
    const __m512i quotient_high = _mm512_srli_epi16(x->high, 12);
    const __m512i sum = _mm512_add_epi16(_mm512_mullo_epi16(frequency, quotient_low), rank);
    const __mmask32 carry = _mm512_cmplt_epu16_mask(sum, rank);
    __m512i high =
        _mm512_add_epi16(_mm512_mulhi_epu16(frequency, quotient_low), _mm512_mullo_epi16(frequency, quotient_high));
    high = _mm512_mask_add_epi16(high, carry, high, _mm512_set1_epi16(1));
    const __mmask32 renew = _mm512_testn_epi16_mask(high, high);
    x->high = _mm512_mask_mov_epi16(high, renew, sum);
    x->low = _mm512_mask_expand_epi16(sum, renew, _mm512_loadu_si512(at));
    return static_cast<unsigned>(_mm_popcnt_u32(renew));
}

// 64 states, 64 symbols out. Returns where the words go on.
template <class Buckets>
inline const uint8_t* step(const Buckets& table, States* x, const uint8_t* at, uint8_t* out) {
    const __m512i offset_mask = _mm512_set1_epi16((1 << Buckets::size_log) - 1);
    const __m512i bucket_mask = _mm512_set1_epi16((4096 >> Buckets::size_log) - 1);
    const __m512i offset0 = _mm512_and_si512(x[0].low, offset_mask);
    const __m512i offset1 = _mm512_and_si512(x[1].low, offset_mask);
    // Packing two vectors of words interleaves their quarters; unpacking below undoes it.
    const __m512i offset = _mm512_packus_epi16(offset0, offset1);
    const __m512i bucket =
        _mm512_packus_epi16(_mm512_and_si512(_mm512_srli_epi16(x[0].low, Buckets::size_log), bucket_mask),
                            _mm512_and_si512(_mm512_srli_epi16(x[1].low, Buckets::size_log), bucket_mask));
    const __mmask64 aliased = _mm512_cmpge_epu8_mask(offset, Buckets::look_up(table.threshold, bucket));
    const __m512i item = _mm512_mask_mov_epi8(bucket, aliased, Buckets::look_up(table.alias, bucket));
    const __m512i f_low = Buckets::look_up(table.frequency_low, item);
    const __m512i f_high = Buckets::look_up(table.frequency_high, item);
    const __m512i r_low = _mm512_maskz_mov_epi8(aliased, Buckets::look_up(table.rank_low, bucket));
    const __m512i r_high = _mm512_maskz_mov_epi8(aliased, Buckets::look_up(table.rank_high, bucket));
    const __m512i order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
    _mm512_storeu_si512(out, _mm512_permutexvar_epi64(order, table.symbols(item)));
    at += 2 * advance(_mm512_unpacklo_epi8(f_low, f_high),
                      _mm512_add_epi16(offset0, _mm512_unpacklo_epi8(r_low, r_high)), at, &x[0]);
    at += 2 * advance(_mm512_unpackhi_epi8(f_low, f_high),
                      _mm512_add_epi16(offset1, _mm512_unpackhi_epi8(r_low, r_high)), at, &x[1]);
    return at;
}

template <class Buckets>
size_t decode128(const RansTable* table, uint32_t* states, const uint8_t* words, size_t words_bytes, size_t* used_bytes,
                 uint8_t* out, size_t rounds) {
    States x[4];
    for (int v = 0; v < 4; ++v) {
        const __m512i a = _mm512_loadu_si512(states + 32 * v);
        const __m512i b = _mm512_loadu_si512(states + 32 * v + 16);
        x[v].low = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(a)), _mm512_cvtepi32_epi16(b), 1);
        x[v].high = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(_mm512_srli_epi32(a, 16))),
                                       _mm512_cvtepi32_epi16(_mm512_srli_epi32(b, 16)), 1);
    }
    const Buckets buckets(table);
    const uint8_t* at = words;
    size_t done = 0;
    for (; done < rounds && static_cast<size_t>(words + words_bytes - at) >= 256; ++done, out += 128) {
        at = step(buckets, x, at, out);
        at = step(buckets, x + 2, at, out + 64);
    }
    for (int v = 0; v < 4; ++v) {
        const __m512i a = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(x[v].low));
        const __m512i b = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(x[v].low, 1));
        const __m512i c = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(x[v].high));
        const __m512i d = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(x[v].high, 1));
        _mm512_storeu_si512(states + 32 * v, _mm512_or_si512(a, _mm512_slli_epi32(c, 16)));
        _mm512_storeu_si512(states + 32 * v + 16, _mm512_or_si512(b, _mm512_slli_epi32(d, 16)));
    }
    *used_bytes = static_cast<size_t>(at - words);
    return done;
}

}  // namespace

size_t rans_decode(const RansTable* table, uint32_t* states, unsigned state_count, const uint8_t* words,
                   size_t words_bytes, size_t* used_bytes, uint8_t* out, size_t rounds) noexcept {
    if (state_count != 128) {  // short chunks: 32 states keep AVX2 as busy
        return avx2::rans_decode(table, states, state_count, words, words_bytes, used_bytes, out, rounds);
    }
    return table->bucket_log == 4 ? decode128<Buckets16>(table, states, words, words_bytes, used_bytes, out, rounds)
                                  : decode128<Buckets256>(table, states, words, words_bytes, used_bytes, out, rounds);
}

}  // namespace bitpress::avx512
