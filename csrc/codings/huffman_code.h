// Huffman codes over bytes: optimal code lengths under a limit, canonical codes, the compact form of the lengths, and
// the tables that decode them.
#pragma once

#include "bytes.h"
#include "kernels/kernels.h"
#include "status.h"

namespace bitpress {

inline constexpr unsigned huffman_max_bits = 12;
inline constexpr std::size_t huffman_max_table_bytes = 224;  // 256 tokens of at most 7 bits

// 0: the symbol does not occur. A valid code has at least two symbols and is complete (Kraft's sum is 1).
struct HuffmanLengths {
    std::uint8_t of[256];
};

struct PackageMergeScratch {
    std::uint64_t order[256];     // count << 8 | symbol, ascending
    std::uint64_t leaves[257];    // the same counts, then more than any weight
    std::uint64_t packages[257];  // weights of the pairs of the level below, then more than any weight
    std::uint64_t weights[512];   // of the items of a level
    std::uint8_t is_leaf[huffman_max_bits][512];
};

// Lengths of at most `limit` (<= huffman_max_bits) with the least sum of count * length (Larmore & Hirschberg 1990),
// and that sum. At least two counts are not zero; every count is below 2^48. Ties are broken as docs/format.md says.
std::uint64_t huffman_lengths(const std::uint64_t counts[256], unsigned limit, HuffmanLengths* lengths,
                              PackageMergeScratch* scratch) noexcept;

// Canonical codes, bits reversed so that the first bit of a code is its least significant.
void huffman_codes(const HuffmanLengths& lengths, std::uint16_t codes[256]) noexcept;

// Writes the lengths' compact form; out has huffman_max_table_bytes. Returns its size.
std::size_t write_huffman_table(const HuffmanLengths& lengths, std::uint8_t* out) noexcept;

// Reads it from the front of in; used: its size. Anything but a valid code is refused.
Status read_huffman_table(Bytes in, HuffmanLengths* lengths, std::size_t* used) noexcept;

struct HuffmanTableScratch {
    std::uint64_t below[2048];
    std::uint16_t one[4096];
};

// The table that decodes `decoded` bytes soonest, its making included.
void make_huffman_table(const HuffmanLengths& lengths, std::uint64_t decoded, HuffmanTable* table,
                        HuffmanTableScratch* scratch) noexcept;

// Decodes a stream to the end of its output and checks that it ends where it must.
Status finish_huffman_stream(const HuffmanTable& table, HuffmanStream stream) noexcept;

}  // namespace bitpress
