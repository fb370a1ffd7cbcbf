// How the stored bytes of a coded stream become its decoded ones: by the coding alone, as codes that are packed when
// the coding is undone, or as floats within a bound (docs/format.md, stream record, layouts 1 to 3).
#pragma once

#include "codings/codings.h"

namespace bitpress {

// Numbers are the file format's. codes: a frame of codes of 1..7 bits, one a byte. wide: codes of 9..16 bits, wide.h's.
// bounded: a frame of bounded.h, whose own frames are of rANS. row_panels, column_panels: what the coding alone gives,
// codes in the order of the same name (tensor.h).
enum class Layout : std::uint8_t { plain = 0, codes = 1, wide = 2, bounded = 3, row_panels = 4, column_panels = 5 };

// What stored bytes claim to hold: decoded bytes, or codes where the layout is of codes.
Status stored_claim(const Coding& with, Layout layout, Bytes in, std::uint64_t* claim) noexcept;
// What decode_stored needs (alignment 8).
std::uint64_t stored_workspace(const Coding& with, Layout layout) noexcept;
// Undoes coding and layout; out has the stream's decoded bytes. bits: of a code, where the layout is of codes; claim:
// how much the stored bytes must hold.
Status decode_stored(const Coding& with, Layout layout, Bytes in, unsigned bits, std::uint64_t claim, MutableBytes out,
                     MutableBytes workspace) noexcept;

}  // namespace bitpress
