// rANS. Where 16 symbols or fewer occur, states are held as planes of 16 bits and the table as bytes that TBL looks up.
// Other tables are in memory: entries come by scalar loads, two a transfer.
#include <arm_neon.h>
#include <string.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {
namespace {

// For each set of 8 lanes: which of the next words each lane of the set takes, in lane order, none for the others, as
// TBL takes it; and how many bytes that is.
struct SpreadWords {
    alignas(16) uint8_t of[256][16];
    uint8_t taken[256];
    constexpr SpreadWords() : of(), taken() {
        for (unsigned lanes = 0; lanes < 256; ++lanes) {
            unsigned byte = 0;
            for (unsigned lane = 0; lane < 8; ++lane) {
                const bool in_set = (lanes >> lane & 1) != 0;
                of[lanes][2 * lane] = static_cast<uint8_t>(in_set ? byte : 0xFF);
                of[lanes][2 * lane + 1] = static_cast<uint8_t>(in_set ? byte + 1 : 0xFF);
                byte += in_set ? 2 : 0;
            }
            taken[lanes] = static_cast<uint8_t>(byte);
        }
    }
};
constexpr SpreadWords spread_words;

uint8x16_t bytes_of(uint16x8_t v) noexcept { return vreinterpretq_u8_u16(v); }

// 32 lanes (all ones or zeros, 8 a vector) as the next words of those that are ones. Returns where the words go on.
inline const uint8_t* take_words(const uint16x8_t renew[4], const uint8_t* at, uint16x8_t words[4]) noexcept {
    const uint8x16_t bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201U));
    const uint8x16_t low = vandq_u8(vuzp1q_u8(bytes_of(renew[0]), bytes_of(renew[1])), bits);
    const uint8x16_t high = vandq_u8(vuzp1q_u8(bytes_of(renew[2]), bytes_of(renew[3])), bits);
    uint8x16_t sums = vpaddq_u8(low, high);
    sums = vpaddq_u8(sums, sums);
    const uint32_t sets = vgetq_lane_u32(vreinterpretq_u32_u8(vpaddq_u8(sums, sums)), 0);
#pragma GCC unroll 4
    for (unsigned v = 0; v < 4; ++v) {
        const unsigned set = sets >> 8 * v & 255U;
        words[v] = vreinterpretq_u16_u8(vqtbl1q_u8(vld1q_u8(at), vld1q_u8(spread_words.of[set])));
        at += spread_words.taken[set];
    }
    return at;
}

inline uint32x2_t load_two(const uint32_t* entries, uint64_t slots) noexcept {
    return vcreate_u32(entries[slots & 4095] | static_cast<uint64_t>(entries[slots >> 32 & 4095]) << 32);
}

// The entries of four states.
inline uint32x4_t load_entries(const uint32_t* entries, uint32x4_t x) noexcept {
    const uint64x2_t two = vreinterpretq_u64_u32(x);
    return vcombine_u32(load_two(entries, vgetq_lane_u64(two, 0)), load_two(entries, vgetq_lane_u64(two, 1)));
}

// 32 states, 32 symbols out. Returns where the words go on.
inline const uint8_t* step_loads(const uint32_t* entries, uint32_t* states, const uint8_t* at, uint8_t* out) noexcept {
    const uint32x4_t least = vdupq_n_u32(65536);
    uint32x4_t next[8];
    uint32x4_t low[8];
    uint16x8_t renew[4];
    uint16x8_t symbols[4];
    uint16x8_t words[4];
#pragma GCC unroll 4
    for (unsigned v = 0; v < 4; ++v) {
        uint32x4_t entry[2];
#pragma GCC unroll 2
        for (unsigned h = 0; h < 2; ++h) {
            const uint32x4_t x = vld1q_u32(states + 8 * v + 4 * h);
            entry[h] = load_entries(entries, x);
            const uint32x4_t rank = vandq_u32(vshrq_n_u32(entry[h], 8), vdupq_n_u32(4095));
            next[2 * v + h] = vmlaq_u32(rank, vshrq_n_u32(entry[h], 20), vshrq_n_u32(x, 12));
            low[2 * v + h] = vcltq_u32(next[2 * v + h], least);
        }
        symbols[v] = vuzp1q_u16(vreinterpretq_u16_u32(entry[0]), vreinterpretq_u16_u32(entry[1]));
        renew[v] = vuzp1q_u16(vreinterpretq_u16_u32(low[2 * v]), vreinterpretq_u16_u32(low[2 * v + 1]));
    }
    vst1q_u8(out, vuzp1q_u8(bytes_of(symbols[0]), bytes_of(symbols[1])));
    vst1q_u8(out + 16, vuzp1q_u8(bytes_of(symbols[2]), bytes_of(symbols[3])));
    at = take_words(renew, at, words);
#pragma GCC unroll 8
    for (unsigned v = 0; v < 8; ++v) {
        const uint32x4_t word = v % 2 == 0 ? vmovl_u16(vget_low_u16(words[v / 2])) : vmovl_high_u16(words[v / 2]);
        vst1q_u32(states + 4 * v, vbslq_u32(low[v], vsliq_n_u32(word, next[v], 16), next[v]));
    }
    return at;
}

struct Buckets16 {
    uint8x16_t threshold, alias, rank_low, rank_high, frequency_low, frequency_high, value;
};

// The low and the high half of each state, 8 states a vector.
struct Planes {
    uint16_t low[128];
    uint16_t high[128];
};

// state = frequency * (state >> 12) + rank for 8 states in planes.
inline void advance(uint16x8_t frequency, uint16x8_t rank, uint16x8_t* low, uint16x8_t* high) noexcept {
    const uint16x8_t quotient_low = vsliq_n_u16(vshrq_n_u16(*low, 12), *high, 4);
    const uint16x8_t quotient_high = vshrq_n_u16(*high, 12);
    const uint32x4_t a = vaddw_u16(vmull_u16(vget_low_u16(frequency), vget_low_u16(quotient_low)), vget_low_u16(rank));
    const uint32x4_t b = vaddw_high_u16(vmull_high_u16(frequency, quotient_low), rank);
    *low = vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
    *high = vmlaq_u16(vuzp2q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b)), frequency, quotient_high);
}

// 16 states as they are after their symbols, which go to out; words are not taken yet.
inline void look_up(const Buckets16& table, uint16x8_t low[2], uint16x8_t high[2], uint8_t* out) noexcept {
    const uint8x16_t offset = vuzp1q_u8(bytes_of(low[0]), bytes_of(low[1]));
    const uint8x16_t bucket = vandq_u8(vuzp2q_u8(bytes_of(low[0]), bytes_of(low[1])), vdupq_n_u8(15));
    const uint8x16_t aliased = vcgeq_u8(offset, vqtbl1q_u8(table.threshold, bucket));
    const uint8x16_t item = vbslq_u8(aliased, vqtbl1q_u8(table.alias, bucket), bucket);
    const uint8x16_t f_low = vqtbl1q_u8(table.frequency_low, item);
    const uint8x16_t f_high = vqtbl1q_u8(table.frequency_high, item);
    const uint8x16_t r_low = vandq_u8(aliased, vqtbl1q_u8(table.rank_low, bucket));
    const uint8x16_t r_high = vandq_u8(aliased, vqtbl1q_u8(table.rank_high, bucket));
    vst1q_u8(out, vqtbl1q_u8(table.value, item));
    const uint16x8_t rank0 = vreinterpretq_u16_u8(vzip1q_u8(r_low, r_high));
    const uint16x8_t rank1 = vreinterpretq_u16_u8(vzip2q_u8(r_low, r_high));
    advance(vreinterpretq_u16_u8(vzip1q_u8(f_low, f_high)), vaddw_u8(rank0, vget_low_u8(offset)), &low[0], &high[0]);
    advance(vreinterpretq_u16_u8(vzip2q_u8(f_low, f_high)), vaddw_high_u8(rank1, offset), &low[1], &high[1]);
}

// 32 states, 32 symbols out. Returns where the words go on.
inline const uint8_t* step_planes(const Buckets16& table, uint16_t* lows, uint16_t* highs, const uint8_t* at,
                                  uint8_t* out) noexcept {
    uint16x8_t low[4];
    uint16x8_t high[4];
    uint16x8_t renew[4];
    uint16x8_t words[4];
#pragma GCC unroll 4
    for (unsigned v = 0; v < 4; ++v) {
        low[v] = vld1q_u16(lows + 8 * v);
        high[v] = vld1q_u16(highs + 8 * v);
    }
    look_up(table, low, high, out);
    look_up(table, low + 2, high + 2, out + 16);
#pragma GCC unroll 4
    for (unsigned v = 0; v < 4; ++v) renew[v] = vceqzq_u16(high[v]);
    at = take_words(renew, at, words);
#pragma GCC unroll 4
    for (unsigned v = 0; v < 4; ++v) {
        vst1q_u16(highs + 8 * v, vbslq_u16(renew[v], low[v], high[v]));
        vst1q_u16(lows + 8 * v, vbslq_u16(renew[v], words[v], low[v]));
    }
    return at;
}

size_t decode_planes(const RansTable* table, uint32_t* states, unsigned state_count, const uint8_t* words,
                     size_t words_bytes, size_t* used_bytes, uint8_t* out, size_t rounds) noexcept {
    Planes planes;
    for (unsigned k = 0; k < state_count; ++k) {
        planes.low[k] = static_cast<uint16_t>(states[k]);
        planes.high[k] = static_cast<uint16_t>(states[k] >> 16);
    }
    const Buckets16 buckets = {vld1q_u8(table->threshold),      vld1q_u8(table->alias),
                               vld1q_u8(table->alias_rank_low), vld1q_u8(table->alias_rank_high),
                               vld1q_u8(table->frequency_low),  vld1q_u8(table->frequency_high),
                               vld1q_u8(table->value)};
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
    const uint8_t* at = words;
    size_t done = 0;
    for (; done < rounds && static_cast<size_t>(words + words_bytes - at) >= 2 * state_count; ++done) {
        for (unsigned k = 0; k < state_count; k += 32, out += 32) {
            at = step_loads(table->entry, states + k, at, out);
        }
    }
    *used_bytes = static_cast<size_t>(at - words);
    return done;
}

}  // namespace bitpress::neon
