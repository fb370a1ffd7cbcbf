// Which elements of a sparse tensor are stored: read from the stream `mask` of any structure, and written to it.
#pragma once

#include "tensor.h"

namespace bitpress {

// How the blocks of Structure::block lie: the tensor is rows x columns (dims[0] x the rest; a vector is one row), cut
// from its first element on into blocks of height x width; those at the ends of rows and columns may be smaller.
struct Blocks {
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
    std::uint64_t height = 1;
    std::uint64_t width = 1;
    Blocks(const Shape& shape, const Scheme& scheme, std::uint64_t count) noexcept;
    std::uint64_t down() const noexcept { return rows == 0 ? 0 : (rows - 1) / height + 1; }
    std::uint64_t across() const noexcept { return columns == 0 ? 0 : (columns - 1) / width + 1; }
};

// Of N:M: bits that name one of the sets of N among M places, and how many sets there are. 1 <= N < M <= 16.
unsigned pattern_bits(const Scheme& scheme) noexcept;
unsigned pattern_count(const Scheme& scheme) noexcept;
// The set with this index as a mask of M bits, and back: sets in the order of those masks as numbers.
unsigned pattern_of(unsigned index, const Scheme& scheme) noexcept;
unsigned index_of(unsigned pattern) noexcept;

// The length of the stream `mask` of a tensor of `count` elements; 0 where it is dense.
std::uint64_t mask_bytes(const Shape& shape, const Scheme& scheme, std::uint64_t count) noexcept;

// Whether the elements first..first+n-1 are stored, a bit each from bit 0 on; the bits after n are zero. out has
// ceil(n / 8) bytes. The view is valid and sparse.
void mask_block(const TensorView& view, std::uint64_t first, std::size_t n, std::uint8_t* out) noexcept;

// Holds the stream `mask` of a sparse view against its scheme, and counts the elements that it stores.
Status check_mask(const TensorView& view, std::uint64_t count, std::uint64_t* stored) noexcept;

// What asks to be stored: elements that are not +-0, or those with a flag.
struct Wanted {
    const float* values = nullptr;
    const std::uint8_t* flags = nullptr;  // null where there are values
    bool operator()(std::uint64_t i) const noexcept { return values != nullptr ? values[i] != 0.0F : flags[i] != 0; }
};
// How many elements are stored for that: of nm N of each group, of block whole blocks.
std::uint64_t count_stored(Wanted wanted, const Shape& shape, const Scheme& scheme, std::uint64_t count) noexcept;
// Writes the stream `mask`, of mask_bytes. Of nm, the first places of a group fill it up to N. bad_argument where more
// than N of M ask.
Status write_mask(Wanted wanted, const Shape& shape, const Scheme& scheme, std::uint64_t count,
                  MutableBytes mask) noexcept;

}  // namespace bitpress
