// rANS chunks with a table for each group of rows.
#pragma once

#include "codings/chunk_rows.h"
#include "codings/rans_stream.h"

namespace bitpress {

// What decoding such a chunk takes beside its output.
struct RansRowsState {
    std::uint8_t map[most_rows(std::size_t{1} << 20)];  // of each row, its table
};

// Decodes a whole chunk, at least two bytes. piece: rans_piece bytes of scratch.
Status read_rows(Bytes payload, unsigned streams_log, RansTable* table, std::uint8_t* piece, RansRowsState* state,
                 const CodeRoom& out) noexcept;

}  // namespace bitpress
