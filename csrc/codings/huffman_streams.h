// Streams of a Huffman code on their way into a chunk, side by side.
#pragma once

#include "codings/huffman_chunk.h"

namespace bitpress {

// Cuts `streams` streams off the front of in, whose lengths stand first; where the last one's does not, it has the
// rest.
Status take_huffman_streams(Bytes* in, unsigned streams, bool last_told, HuffmanStream* stream) noexcept;

// Decodes all of them into out, which they fill.
Status decode_huffman(const HuffmanTable& table, HuffmanStream* stream, unsigned streams, MutableBytes out) noexcept;

// The same where their bytes go to places in a chunk: tile after tile, which are in the scratch of a table that is
// made.
Status decode_huffman(const HuffmanTable& table, HuffmanStream* stream, unsigned streams, RowBytes places,
                      HuffmanTableScratch* tiles, const CodeRoom& room) noexcept;

}  // namespace bitpress
