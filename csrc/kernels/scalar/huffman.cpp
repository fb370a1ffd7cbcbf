// Huffman's code, docs/format.md, section 5.
#include "kernels/huffman_loops.h"

namespace bitpress::scalar {

void huffman_decode(const HuffmanTable* table, HuffmanStream* streams, unsigned stream_count) noexcept {
    huffman_decode_any(table, streams, stream_count);
}

uint8_t* huffman_encode(const uint64_t* words, const uint64_t* pairs, const uint8_t* in, size_t n, uint8_t* out,
                        uint8_t* out_end) noexcept {
    return huffman_encode_any(words, pairs, in, n, out, out_end);
}

}  // namespace bitpress::scalar
