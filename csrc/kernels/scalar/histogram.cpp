// Counts of byte values. Eight tables take turns, so that equal neighbours do not wait for each
// other's store.
#include <string.h>

#include "bytes.h"
#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

constexpr size_t at_once = size_t{1} << 30;  // below what 32-bit counters hold

void count_part(const uint8_t* in, size_t n, uint64_t* counts) noexcept {
    uint32_t table[8][256];
    memset(table, 0, sizeof table);
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        const auto eight = load_le<uint64_t>(in + i);
        ++table[0][eight & 255];
        ++table[1][eight >> 8 & 255];
        ++table[2][eight >> 16 & 255];
        ++table[3][eight >> 24 & 255];
        ++table[4][eight >> 32 & 255];
        ++table[5][eight >> 40 & 255];
        ++table[6][eight >> 48 & 255];
        ++table[7][eight >> 56];
    }
    for (; i < n; ++i) ++table[0][in[i]];
    for (unsigned v = 0; v < 256; ++v) {
        for (unsigned k = 0; k < 8; ++k) counts[v] += table[k][v];
    }
}

}  // namespace

void histogram(const uint8_t* in, size_t n, uint64_t* counts) noexcept {
    for (; n > at_once; in += at_once, n -= at_once) count_part(in, at_once, counts);
    count_part(in, n, counts);
}

size_t select_bytes(const uint8_t* in, size_t n, const uint8_t* values, uint8_t* out) noexcept {
    size_t taken = 0;
    for (size_t i = 0; i < n; ++i) {
        if ((values[in[i] / 8] >> (in[i] % 8) & 1) != 0) out[taken++] = in[i];
    }
    return taken;
}

}  // namespace bitpress::scalar
