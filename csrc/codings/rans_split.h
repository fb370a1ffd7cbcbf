// Chunks that are mostly one byte: where the others stand, told by a bitmap or by gaps, and the others themselves.
#pragma once

#include "codings/code_room.h"
#include "codings/rans_stream.h"

namespace bitpress {

// Where the survivors stand: a bitmap, least significant bit first, or a byte for each: how many fill bytes stand
// before it; 255 of them are a byte of their own.
enum class RansMap : std::uint8_t { bitmap = 0, gaps = 1 };

inline constexpr unsigned rans_gap_escape = 255;
inline constexpr std::size_t rans_piece = 8192;  // bytes of a map that are decoded at a time

// Decodes survivors and map and puts them together in out, all of a chunk. piece: rans_piece bytes of scratch.
// map_bytes: those of the bitmap, or the number of gap bytes.
Status read_split(RansReader* reader, const RansTable& survivor_table, const RansTable& map_table, RansMap map,
                  std::uint8_t fill, std::size_t survivors, std::size_t map_bytes, std::uint8_t* piece,
                  const CodeRoom& out) noexcept;

}  // namespace bitpress
