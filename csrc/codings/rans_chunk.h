// How rANS encodes a chunk: plain, split or by groups of rows, with tables of its own or the frame's, whatever takes
// least.
#pragma once

#include "codings/frame.h"
#include "codings/rans_split.h"
#include "codings/row_groups.h"

namespace bitpress {

inline constexpr unsigned rans_chunk_log = 20;  // 1 MiB
inline constexpr std::size_t rans_chunk_bytes = std::size_t{1} << rans_chunk_log;

inline constexpr std::size_t rans_max_front = rows_max_head + (1 + rows_max_tables) * rans_max_table_bytes;

// Behind it stand groups, where rows are known, then a bitmap, survivors and gaps of a chunk of `most` bytes.
struct RansEncoder {
    std::size_t most;              // bytes of the largest chunk
    const std::uint8_t* analysed;  // the chunk whose models these are
    const RansEncoder* analyst;    // whose scratch holds the rest of it: not a copy's
    RansModel plain, survivors, map, other_map;
    RansMap map_kind;
    std::uint8_t fill;
    bool estimated;  // the counts of `plain`: then no split is considered
    bool may_split;
    std::size_t survivor_bytes, gap_bytes;
    // Rows, where the caller names them.
    const std::uint8_t* begin;  // of the whole input
    std::size_t row;            // bytes; 0: not known
    bool may_group;
    // The frame's tables.
    bool shared_split;
    RansMap shared_map;
    RansFrequencies shared[2];
    std::uint8_t shared_table[2 * rans_max_table_bytes];
    // Scratch.
    std::uint8_t front[rans_max_front];
    RansTable slots;
    RansEncodeTable symbols;

    RowGroups& groups() noexcept { return *reinterpret_cast<RowGroups*>(this + 1); }
    const RowGroups& groups() const noexcept { return *reinterpret_cast<const RowGroups*>(this + 1); }
    std::uint8_t* bitmap() noexcept {
        return reinterpret_cast<std::uint8_t*>(this + 1) + (row != 0 ? row_groups_bytes(most) : 0);
    }
    std::uint8_t* survivor() noexcept { return bitmap() + most / 8 + 8; }
    std::uint8_t* gap() noexcept { return survivor() + most; }
};

// Bytes of an encoder whose chunks have at most so many, in rows or not.
constexpr std::size_t rans_encoder_bytes(std::size_t most, bool rows) noexcept {
    const std::size_t buffers = most / 8 + 8 + most + most / 4 + most / rans_gap_escape + 64;
    return (sizeof(RansEncoder) + (rows ? row_groups_bytes(most) : 0) + buffers + 7) / 8 * 8;
}

// row: bytes of a row of the input, or 0; most: of the largest chunk.
void begin_rans(const std::uint8_t* input, std::size_t row, std::size_t most, RansEncoder* encoder) noexcept;

// Makes the tables of the first chunk the frame's and returns them written; nothing where all its bytes are equal.
Bytes share_rans_tables(RansEncoder* encoder, Bytes chunk) noexcept;

// An EncodeChunk of frame.h.
bool encode_rans_chunk(void* encoder, bool may_share, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept;

}  // namespace bitpress
