// The `.Z` file of compress (as ncompress 4.2 writes and reads it): LZW in one piece, without a stated length.
#pragma once

#include "bytes.h"
#include "codings/lzw_core.h"
#include "codings/lzw_dictionary.h"
#include "codings/lzw_full.h"
#include "status.h"

namespace bitpress::lzw {

struct ZDictionaries {
    EncodeDictionary growing;
    FullDictionary full;
};

inline constexpr std::size_t z_encode_workspace = sizeof(ZDictionaries);
inline constexpr std::size_t z_decode_workspace = sizeof(DecodeDictionary);

inline constexpr std::size_t z_head_bytes = 3;

// What the codes of a file are decoded by, from its first bytes. truncated, corrupt or unsupported where they are none.
Status z_rules(Bytes in, Rules* rules) noexcept;

// Most bytes that encoding n bytes can take; z_encode needs an output of that size.
std::size_t z_bound(std::size_t n) noexcept;

// Block mode, as `compress -b bits` writes it, but for when it clears the dictionary; where bits is 9, compress writes
// what it cannot read itself and this writes what it can. bits: min_bits..max_bits.
Status z_encode(Bytes in, unsigned bits, MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept;

// The decoded size, by a pass over the codes that writes nothing; too_large as soon as it is over the limit.
Status z_decoded_size(Bytes in, std::uint64_t limit, MutableBytes workspace, std::uint64_t* size) noexcept;

// out must have exactly the decoded size. On any Status but ok, out's content is unspecified. A file that is cut
// between two codes cannot be told from a whole one: it decodes to less.
Status z_decode(Bytes in, MutableBytes out, MutableBytes workspace) noexcept;

}  // namespace bitpress::lzw
