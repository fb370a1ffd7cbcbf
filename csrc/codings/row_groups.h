// Which rows of a chunk share a table, by the bits that they take under ideal codes: for rANS, and near enough for
// Huffman.
#pragma once

#include "codings/chunk_rows.h"
#include "codings/rans_model.h"

namespace bitpress {

// Groups of rows, which decode up to a fifth slower, are taken where they save at least one part in so many.
inline constexpr std::uint64_t rows_worth = 80;

// How the rows of a chunk are grouped, and what that costs under rANS. Behind it stand `map` and `mean`, for each row.
struct RowGroups {
    ChunkRows rows;
    unsigned tables;
    RansModel model[rows_max_tables];
    RansModel joint;  // scratch
    RansModel map_model;
    std::uint64_t cost;   // of the symbols and the map, in 2^-16 bits
    std::uint64_t whole;  // with all that stands before the states
    std::size_t most;     // rows that there is room for

    std::uint16_t* mean() noexcept { return reinterpret_cast<std::uint16_t*>(this + 1); }
    std::uint8_t* map() noexcept { return reinterpret_cast<std::uint8_t*>(mean() + most); }
    const std::uint8_t* map() const noexcept { return const_cast<RowGroups*>(this)->map(); }
};

// Bytes of the groups of a chunk of at most so many.
constexpr std::size_t row_groups_bytes(std::size_t chunk) noexcept {
    return (sizeof(RowGroups) + 3 * most_rows(chunk) + 7) / 8 * 8;
}

// Groups the rows (rows and most are set) of a chunk; `plain` is the chunk's model. False where one table does as well.
bool group_rows(Bytes chunk, const RansModel& plain, RowGroups* groups) noexcept;

// The rows of one table, one after the other; returns how many bytes they are.
std::size_t gather_rows(Bytes chunk, const RowGroups& groups, unsigned table, std::uint8_t* out) noexcept;

}  // namespace bitpress
