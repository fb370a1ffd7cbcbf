// How rANS encodes a chunk: plain or split, with tables of its own or the frame's, whatever takes least.
#pragma once

#include "codings/frame.h"
#include "codings/rans_split.h"

namespace bitpress {

inline constexpr unsigned rans_chunk_log = 20;  // 1 MiB
inline constexpr std::size_t rans_chunk_bytes = std::size_t{1} << rans_chunk_log;

// What is to be coded: how often each symbol occurs, frequencies made for that, and what both take.
struct RansModel {
    std::uint64_t counts[256];
    RansFrequencies frequencies;
    std::uint64_t cost;  // of the symbols, in 2^-16 bits
    std::size_t table_bytes;
    std::uint8_t table[rans_max_table_bytes];
};

struct RansEncoder {
    const std::uint8_t* analysed;  // the chunk whose models these are
    RansModel plain, survivors, map, other_map;
    RansMap map_kind;
    std::uint8_t fill;
    bool may_split;
    std::size_t survivor_bytes, gap_bytes;
    // The frame's tables.
    bool shared_split;
    RansMap shared_map;
    RansFrequencies shared[2];
    std::uint8_t shared_table[2 * rans_max_table_bytes];
    // Scratch.
    RansTable slots;
    RansEncodeTable symbols;
    std::uint8_t bitmap[rans_chunk_bytes / 8];
    std::uint8_t survivor[rans_chunk_bytes];
    std::uint8_t gap[rans_chunk_bytes / 4 + rans_chunk_bytes / rans_gap_escape + 1];
};

void begin_rans(RansEncoder* encoder) noexcept;

// Makes the tables of the first chunk the frame's and returns them written; nothing where all its bytes are equal.
Bytes share_rans_tables(RansEncoder* encoder, Bytes chunk) noexcept;

// An EncodeChunk of frame.h.
bool encode_rans_chunk(void* encoder, bool may_share, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept;

}  // namespace bitpress
