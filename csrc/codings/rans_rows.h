// Chunks whose rows are shared out among several tables: rows of alike contents to the same one.
#pragma once

#include "codings/code_room.h"
#include "codings/rans_stream.h"

namespace bitpress {

inline constexpr unsigned rans_max_tables = 8;
inline constexpr std::size_t rans_least_row = 64;  // bytes
inline constexpr std::size_t rans_max_row_count = (std::size_t{1} << 20) / rans_least_row + 1;
inline constexpr std::uint8_t rans_rows_how = 4;  // the second byte of such a chunk

// Where a chunk of `bytes` is cut: rows of `row` bytes but the first, of `first`, and the last, which has the rest.
struct RansRows {
    std::size_t bytes;
    std::size_t row;
    std::size_t first;  // 1..row, at most bytes

    std::size_t count() const noexcept { return 1 + (bytes - first + row - 1) / row; }
    std::size_t begin(std::size_t i) const noexcept { return i == 0 ? 0 : first + (i - 1) * row; }
    std::size_t end(std::size_t i) const noexcept {
        const std::size_t to = first + i * row;
        return to < bytes ? to : bytes;
    }
};

// What decoding such a chunk takes beside its output.
struct RansRowsState {
    std::uint8_t map[rans_max_row_count];  // of each row, its table
};

// Decodes a whole chunk, at least two bytes. piece: rans_piece bytes of scratch.
Status read_rows(Bytes payload, unsigned streams_log, RansTable* table, std::uint8_t* piece, RansRowsState* state,
                 const CodeRoom& out) noexcept;

// Groups of rows, which decode up to a fifth slower, are taken where they save at least one part in so many.
inline constexpr std::uint64_t rans_rows_worth = 80;

// How the rows of a chunk are grouped, and what that costs; the encoder's.
struct RansGroups {
    RansRows rows;
    unsigned tables;
    RansModel model[rans_max_tables];
    RansModel joint;  // scratch
    RansModel map_model;
    std::uint64_t cost;   // of the symbols and the map, in 2^-16 bits
    std::uint64_t whole;  // with all that stands before the states
    std::uint8_t map[rans_max_row_count];
    std::uint16_t mean[rans_max_row_count];
};

// Groups the rows (row and first are set) of a chunk; `plain` is the chunk's model. False where one table does as well.
bool group_rows(Bytes chunk, const RansModel& plain, RansGroups* groups) noexcept;

inline constexpr std::size_t rans_max_rows_head = 2 + 2 * 4;
// All that stands before the tables: numbers of tables and kind, lengths of rows. Returns its size.
std::size_t write_rows_head(const RansGroups& groups, std::uint8_t* out) noexcept;

}  // namespace bitpress
