// LZW as images hold it: a strip or tile of a TIFF file, and the image data of a GIF file. Codes of at most 12 bits,
// a clear and an end code.
#pragma once

#include "bytes.h"
#include "codings/lzw_core.h"
#include "codings/lzw_dictionary.h"
#include "codings/lzw_lanes.h"
#include "status.h"
#include "workers.h"

namespace bitpress::lzw {

inline constexpr std::size_t image_encode_workspace = sizeof(EncodeDictionary);
inline constexpr std::size_t image_decode_workspace = sizeof(DecodeDictionary);
inline constexpr std::size_t image_lanes_workspace = lane_count * sizeof(Lane);  // a worker

// What in is decoded by: TIFF as it is since 1988 (high bits first, codes widen early), or as it was before (low bits
// first), which libtiff still reads; the first code, a clear, tells.
Rules tiff_rules(Bytes in) noexcept;
// min_code_size: bits of a pixel, 2..8.
Rules gif_rules(unsigned min_code_size) noexcept;

// A GIF's image data: the byte that says min_code_size, sub-blocks, and the empty one that ends them.
struct Gif {
    unsigned min_code_size = 0;
    Bytes codes;
};
// Joins the sub-blocks in `joined`, which has in.size() bytes.
Status gif_open(Bytes in, MutableBytes joined, Gif* gif) noexcept;

// How many bytes there are up to the end code; truncated where there is none, too_large above the limit.
Status image_decoded_size(const Rules& rules, Bytes codes, std::uint64_t limit, MutableBytes workspace,
                          std::uint64_t* size) noexcept;
// Fills out: more than that is ignored, as is what follows; truncated where there is less.
Status image_decode(const Rules& rules, Bytes codes, MutableBytes out, MutableBytes workspace) noexcept;

// Most bytes that encoding n bytes can take.
std::size_t tiff_bound(std::size_t n) noexcept;
std::size_t gif_bound(std::size_t n) noexcept;
// A clear first, a clear when word 4093 is defined (so as libtiff's encoder does), an end code.
Status tiff_encode(Bytes in, MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept;
// The same with a clear when word 4095 is defined. bad_argument: a byte that has more than min_code_size bits.
Status gif_encode(Bytes in, unsigned min_code_size, MutableBytes out, MutableBytes workspace,
                  std::size_t* written) noexcept;

// Several strips or frames, each piece's bytes those that it gets alone; the workspace holds image_lanes_workspace a
// worker. bad_argument as gif_encode, before anything is written.
Status tiff_encode_many(const Workers& workers, std::span<Piece> pieces, MutableBytes workspace) noexcept;
Status gif_encode_many(const Workers& workers, unsigned min_code_size, std::span<Piece> pieces,
                       MutableBytes workspace) noexcept;

}  // namespace bitpress::lzw
