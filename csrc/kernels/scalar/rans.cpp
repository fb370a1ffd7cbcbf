// rANS, a round of state_count symbols at a time (docs/format.md, section 5).
#include "bytes.h"
#include "kernels/kernels.h"

namespace bitpress::scalar {

size_t rans_decode(const RansTable* table, uint32_t* states, unsigned state_count, const uint8_t* words,
                   size_t words_bytes, size_t* used_bytes, uint8_t* out, size_t rounds) noexcept {
    size_t at = 0;
    size_t done = 0;
    for (; done < rounds && words_bytes - at >= 2 * state_count; ++done) {
        for (unsigned k = 0; k < state_count; ++k) {
            const uint32_t entry = table->entry[states[k] & 4095];
            const uint32_t state = (entry >> 20) * (states[k] >> 12) + ((entry >> 8) & 4095);
            const unsigned renew =
                state < 65536 ? 1 : 0;  // as shifts: a branch would be guessed wrong half of the time
            const uint32_t word = load_le<uint16_t>(words + at) & (0u - renew);
            *out++ = static_cast<uint8_t>(entry);
            at += 2 * renew;
            states[k] = state << (16 * renew) | word;
        }
    }
    *used_bytes = at;
    return done;
}

uint8_t* rans_encode(const RansEncodeTable* table, uint32_t* states, unsigned state_count, const uint8_t* in,
                     size_t rounds, const uint8_t* begin, uint8_t* end) noexcept {
    uint8_t* at = end;
    while (rounds-- > 0) {
        if (static_cast<size_t>(at - begin) < 2 * state_count) return nullptr;
        const uint8_t* const round = in + rounds * state_count;
        for (unsigned k = state_count; k-- > 0;) {
            const uint64_t symbol = table->symbol[round[k]];
            const uint32_t f = (symbol >> 32) & 65535;
            uint32_t x = states[k];
            store_le(at - 2, static_cast<uint16_t>(x));  // kept where the state has to be renewed
            const unsigned renew = x >> 20 >= f ? 1 : 0;
            at -= 2 * renew;
            x >>= 16 * renew;  // below f * 2^20: the quotient is right or one too small
            const auto quotient = static_cast<uint32_t>((x * (symbol & 0xFFFFFFFFU)) >> 32);
            states[k] = (quotient << 12) + table->slot[(symbol >> 48) + (x - quotient * f)];
        }
    }
    return at;
}

}  // namespace bitpress::scalar
