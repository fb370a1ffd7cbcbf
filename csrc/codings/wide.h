// Codes of 9 to 16 bits under a coding of bytes: a byte symbol each, and raw bits beside those of large ones
// (docs/format.md, "Wide codes", layout 2 of a stream).
#pragma once

#include "codings/codings.h"
#include "kernels/kernels.h"

namespace bitpress {

inline constexpr unsigned wide_min_bits = 9;
inline constexpr unsigned wide_max_bits = 16;
inline constexpr unsigned wide_block_log = 16;  // codes whose raw bits stand together
inline constexpr unsigned wide_direct = 128;    // values below it are symbols without raw bits
inline constexpr unsigned wide_max_split = 3;

// How many symbols there are: each power of two from 128 to 2^bits is cut into 2^split of them.
inline constexpr unsigned wide_symbols(unsigned bits, unsigned split) noexcept {
    return wide_direct + ((bits - 7) << split);
}
// What each of them means. middle is below 2^bits, split 1..3.
void make_wide_table(unsigned bits, unsigned middle, unsigned split, WideTable* table) noexcept;

// How many codes a stream claims to hold; constant time, bounded by its length as any frame.
Status wide_count(const Coding& with, Bytes in, std::uint64_t* count) noexcept;

// Decodes `count` codes and packs them into out, whose size is ceil(count * bits / 8). workspace: what the coding
// needs.
Status decode_wide(const Coding& with, Bytes in, unsigned bits, std::uint64_t count, MutableBytes out,
                   MutableBytes workspace) noexcept;

// Most bytes of the stream of `count` codes.
std::size_t wide_bound(const Coding& with, std::size_t count) noexcept;
// What encode_wide needs (alignment 8): what the coding does, at least 24 bytes for each of 2^16 codes.
std::size_t wide_encode_workspace(const Coding& with) noexcept;
// The stream of `count` packed codes, in rows of `row` of them (0: not known). out has wide_bound bytes.
Status encode_wide(const Coding& with, Bytes packed, unsigned bits, std::size_t count, std::size_t row,
                   MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept;

}  // namespace bitpress
