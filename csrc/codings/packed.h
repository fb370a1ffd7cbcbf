// Codes of fewer than 8 bits that were coded one a byte and are packed when the coding is undone (docs/format.md,
// stream record, layout 1).
#pragma once

#include "codings/codings.h"

namespace bitpress {

// What decode_packed needs (alignment 8).
std::uint64_t packed_workspace(const Coding& with, std::uint64_t count) noexcept;

// Decodes `count` codes of `bits` (1..7) bits and packs them into out, whose size is ceil(count * bits / 8). A frame of
// another length, or that holds a byte of 2^bits or more, is corrupt.
Status decode_packed(const Coding& with, Bytes in, unsigned bits, std::uint64_t count, MutableBytes out,
                     MutableBytes workspace) noexcept;

}  // namespace bitpress
