// The model of rANS: whole frequencies of a fixed sum, and their compact form.
#pragma once

#include "bytes.h"
#include "kernels/kernels.h"
#include "status.h"

namespace bitpress {

inline constexpr unsigned rans_sum_log = 12;
inline constexpr unsigned rans_sum = 1u << rans_sum_log;
inline constexpr std::uint64_t rans_cannot = std::uint64_t{1} << 62;
inline constexpr std::uint64_t rans_byte_cost = 8 << 16;
inline constexpr std::size_t rans_max_table_bytes = 256 * 6;  // a symbol takes at most 24 + 11 + 9 bits

// Frequencies of the 256 byte values; 0: the value does not occur. Their sum is rans_sum; none of them is rans_sum.
struct RansFrequencies {
    std::uint16_t of[256];
};

// The frequencies nearest to the counts (each below 2^40, not all zero), chosen greedily by cost with whole numbers
// alone, so that every machine picks the same; docs/format.md says how ties fall.
void rans_frequencies(const std::uint64_t counts[256], RansFrequencies* frequencies) noexcept;

// Bits that the counted symbols take under the frequencies, times 65536; rans_cannot where one has none.
std::uint64_t rans_cost(const std::uint64_t counts[256], const RansFrequencies& frequencies) noexcept;

// Writes the compact form; out has rans_max_table_bytes. Returns its size.
std::size_t write_rans_table(const RansFrequencies& frequencies, std::uint8_t* out) noexcept;

// Reads it from the front of in; used: its size. Anything but frequencies of the right sum is refused.
Status read_rans_table(Bytes in, RansFrequencies* frequencies, std::size_t* used) noexcept;

// log2(value) * 65536, rounded down; 1 <= value < 2^16.
std::uint32_t rans_log2(unsigned value) noexcept;

// What is to be coded: how often each symbol occurs, frequencies made for that, and what both take.
struct RansModel {
    std::uint64_t counts[256];
    RansFrequencies frequencies;
    std::uint64_t cost;  // of the symbols, in 2^-16 bits
    std::size_t table_bytes;
    std::uint8_t table[rans_max_table_bytes];

    // With the table.
    std::uint64_t whole_cost() const noexcept { return cost + table_bytes * rans_byte_cost; }
};

// The rest of a model from its counts.
void make_rans_model(RansModel* model) noexcept;

// The slots of each symbol, by Vose's alias method (1991), so that a few small tables hold what 4096 slots do.
void make_rans_table(const RansFrequencies& frequencies, RansTable* table) noexcept;

}  // namespace bitpress
