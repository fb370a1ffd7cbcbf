// rANS, encoding: 128 states as planes of 16 bits, frequencies and starts by permutes, quotients by dividing floats.
// The slots alone are read one by one: gathers are slower on several CPUs.
#include "kernels/avx2/overrides.h"
#include "kernels/avx512/bytes256.h"
#include "kernels/avx512/overrides.h"

namespace bitpress::avx512 {
namespace {

// Of 32 symbols, as words.
struct Symbols {
    __m512i frequency, start;
};

struct Pair {
    Symbols of[2];
};

// Any symbols: bytes of the table in planes.
class Table256 {
  public:
    explicit Table256(const RansEncodeTable& table) : Table256(Planes(table)) {}

    // Of 64 symbols: those of the lower and of the upper half of each 16 bytes.
    Pair look_up(__m512i symbols) const {
        const __m512i f_low = f_low_.at(symbols), f_high = f_high_.at(symbols);
        const __m512i s_low = start_low_.at(symbols), s_high = start_high_.at(symbols);
        return {{{_mm512_unpacklo_epi8(f_low, f_high), _mm512_unpacklo_epi8(s_low, s_high)},
                 {_mm512_unpackhi_epi8(f_low, f_high), _mm512_unpackhi_epi8(s_low, s_high)}}};
    }

  private:
    struct Planes {
        uint8_t of[4][256];
        explicit Planes(const RansEncodeTable& table) {
            for (unsigned s = 0; s < 256; ++s) {
                for (unsigned p = 0; p < 4; ++p) of[p][s] = static_cast<uint8_t>(table.symbol[s] >> (32 + 8 * p));
            }
        }
    };
    explicit Table256(const Planes& planes)
        : f_low_(planes.of[0]), f_high_(planes.of[1]), start_low_(planes.of[2]), start_high_(planes.of[3]) {}

    Bytes256 f_low_, f_high_, start_low_, start_high_;
};

// Symbols below 32: words of the table in two vectors.
class Table32 {
  public:
    explicit Table32(const RansEncodeTable& table) {
        alignas(64) uint16_t f[32];
        alignas(64) uint16_t start[32];
        for (unsigned s = 0; s < 32; ++s) {
            f[s] = static_cast<uint16_t>(table.symbol[s] >> 32);
            start[s] = static_cast<uint16_t>(table.symbol[s] >> 48);
        }
        f_ = _mm512_load_si512(f);
        start_ = _mm512_load_si512(start);
    }
    static bool holds(const RansEncodeTable& table) {
        uint64_t others = 0;
        for (unsigned s = 32; s < 256; ++s) others |= table.symbol[s];
        return others >> 32 == 0;
    }

    Pair look_up(__m512i symbols) const {
        return {{words(_mm512_unpacklo_epi8(symbols, _mm512_setzero_si512())),
                 words(_mm512_unpackhi_epi8(symbols, _mm512_setzero_si512()))}};
    }

  private:
    Symbols words(__m512i symbols) const {
        return {_mm512_permutexvar_epi16(symbols, f_), _mm512_permutexvar_epi16(symbols, start_)};
    }

    __m512i f_, start_;
};

// 32 states, the last in the first lane, without what the slot table adds to them.
struct States {
    __m512i low, high;
};

// The same of all, in memory, and where in the slot table what it adds stands: looked up a round later, when nothing
// waits for it.
struct Planes {
    alignas(64) uint16_t low[4][32], high[4][32], index[4][32];

    explicit Planes(const uint32_t* states) {
        for (unsigned k = 0; k < 128; ++k) {
            low[k / 32][31 - k % 32] = static_cast<uint16_t>(states[k]);
            high[k / 32][31 - k % 32] = static_cast<uint16_t>(states[k] >> 16);
            index[k / 32][31 - k % 32] = 8192;  // adds nothing
        }
    }
    States load(unsigned v) const { return {_mm512_load_si512(low[v]), _mm512_load_si512(high[v])}; }
    void store(unsigned v, const States& x) {
        _mm512_store_si512(low[v], x.low);
        _mm512_store_si512(high[v], x.high);
    }
    void join(uint32_t* states) const {
        for (unsigned k = 0; k < 128; ++k) {
            states[k] = low[k / 32][31 - k % 32] | static_cast<uint32_t>(high[k / 32][31 - k % 32]) << 16;
        }
    }
};

inline __m128i eight_slots(const uint16_t* slot, const uint16_t* index) {
    __m128i eight = _mm_cvtsi32_si128(slot[index[0]]);
    eight = _mm_insert_epi16(eight, slot[index[1]], 1);
    eight = _mm_insert_epi16(eight, slot[index[2]], 2);
    eight = _mm_insert_epi16(eight, slot[index[3]], 3);
    eight = _mm_insert_epi16(eight, slot[index[4]], 4);
    eight = _mm_insert_epi16(eight, slot[index[5]], 5);
    eight = _mm_insert_epi16(eight, slot[index[6]], 6);
    return _mm_insert_epi16(eight, slot[index[7]], 7);
}

inline __m256i sixteen_slots(const uint16_t* slot, const uint16_t* index) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(eight_slots(slot, index)), eight_slots(slot, index + 8), 1);
}

// Whole states.
[[gnu::always_inline]] inline States complete(const uint16_t* slot, const uint16_t* index, States x) {
    const __m512i slots =
        _mm512_inserti64x4(_mm512_castsi256_si512(sixteen_slots(slot, index)), sixteen_slots(slot, index + 16), 1);
    const __m512i low = _mm512_add_epi16(x.low, slots);
    const __mmask32 carry = _mm512_cmplt_epu16_mask(low, slots);
    return {low, _mm512_mask_add_epi16(x.high, carry, x.high, _mm512_set1_epi16(1))};
}

// x / f or one less, which the slot table makes up for: below 2^20, and each of two steps loses less than 2^-23 of it.
inline __m512i quotient(__m512i x, __m512i f) {
    constexpr int down = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
    return _mm512_cvttps_epu32(_mm512_div_round_ps(_mm512_cvt_roundepu32_ps(x, down), _mm512_cvtepi32_ps(f), down));
}

inline __m512i reversed_words() {
    return _mm512_set_epi64(0x0000000100020003, 0x0004000500060007, 0x00080009000A000B, 0x000C000D000E000F,
                            0x0010001100120013, 0x0014001500160017, 0x00180019001A001B, 0x001C001D001E001F);
}

// The low words of what unpacking words makes two vectors of.
inline __m512i low_words() {
    return _mm512_set_epi64(0x003E003C003A0038, 0x001E001C001A0018, 0x0036003400320030, 0x0016001400120010,
                            0x002E002C002A0028, 0x000E000C000A0008, 0x0026002400220020, 0x0006000400020000);
}

// Codes 32 symbols, none of which has the frequency 0. Returns where the words now begin.
[[gnu::always_inline]] inline uint8_t* step(const uint16_t* slot, const Symbols& symbols, uint16_t* index,
                                            States* states, uint8_t* at) {
    const States x = complete(slot, index, *states);
    const __m512i f = symbols.frequency;
    const __mmask32 full = _mm512_cmpge_epu16_mask(_mm512_srli_epi16(x.high, 4), f);
    const __m512i words = _mm512_permutexvar_epi16(reversed_words(), _mm512_maskz_compress_epi16(full, x.low));
    _mm512_storeu_si512(at - 64, words);
    const __m512i zero = _mm512_setzero_si512();
    const __m512i low = _mm512_mask_mov_epi16(x.low, full, x.high);
    const __m512i high = _mm512_mask_mov_epi16(x.high, full, zero);
    const __m512i a = quotient(_mm512_unpacklo_epi16(low, high), _mm512_unpacklo_epi16(f, zero));
    const __m512i b = quotient(_mm512_unpackhi_epi16(low, high), _mm512_unpackhi_epi16(f, zero));
    const __m512i q = _mm512_permutex2var_epi16(a, low_words(), b);
    const __m512i rank = _mm512_sub_epi16(low, _mm512_mullo_epi16(q, f));
    _mm512_store_si512(index, _mm512_add_epi16(symbols.start, rank));
    *states = {_mm512_slli_epi16(q, 12), _mm512_packus_epi32(_mm512_srli_epi32(a, 4), _mm512_srli_epi32(b, 4))};
    return at - 2 * _mm_popcnt_u32(full);
}

// 64 symbols in the order in which unpacking bytes gives those of the upper and of the lower 32 states.
inline __m512i load_symbols(const uint8_t* in) {
    const __m512i order =
        _mm512_set_epi64(0x0001020304050607, 0x2021222324252627, 0x08090A0B0C0D0E0F, 0x28292A2B2C2D2E2F,
                         0x1011121314151617, 0x3031323334353637, 0x18191A1B1C1D1E1F, 0x38393A3B3C3D3E3F);
    return _mm512_permutexvar_epi8(order, _mm512_loadu_si512(in));
}

template <class Table>
uint8_t* encode128(const RansEncodeTable& of, uint32_t* states, const uint8_t* in, size_t rounds, const uint8_t* begin,
                   uint8_t* at) {
    const Table table(of);
    Planes planes(states);
    States x[4] = {planes.load(0), planes.load(1), planes.load(2), planes.load(3)};
    for (const uint8_t* symbols = in + 128 * rounds; symbols != in;) {
        if (at - begin < 256) return nullptr;
        symbols -= 128;
        // In each step 64 bytes are written: as much is left, for no step before has taken more.
        const Pair upper = table.look_up(load_symbols(symbols + 64));
        at = step(of.slot, upper.of[0], planes.index[3], &x[3], at);
        at = step(of.slot, upper.of[1], planes.index[2], &x[2], at);
        const Pair lower = table.look_up(load_symbols(symbols));
        at = step(of.slot, lower.of[0], planes.index[1], &x[1], at);
        at = step(of.slot, lower.of[1], planes.index[0], &x[0], at);
    }
    for (unsigned v = 0; v < 4; ++v) planes.store(v, complete(of.slot, planes.index[v], x[v]));
    planes.join(states);
    return at;
}

}  // namespace

uint8_t* rans_encode(const RansEncodeTable* table, uint32_t* states, unsigned state_count, const uint8_t* in,
                     size_t rounds, const uint8_t* begin, uint8_t* end) noexcept {
    if (state_count != 128) {  // short chunks, where a vector would wait for itself
        return avx2::rans_encode(table, states, state_count, in, rounds, begin, end);
    }
    return Table32::holds(*table) ? encode128<Table32>(*table, states, in, rounds, begin, end)
                                  : encode128<Table256>(*table, states, in, rounds, begin, end);
}

}  // namespace bitpress::avx512
