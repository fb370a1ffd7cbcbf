// Huffman's code with shifts by any register and a count of leading zeros (BMI2, LZCNT), docs/format.md, section 5.
#include "kernels/avx2/overrides.h"
#include "kernels/huffman_loops.h"
namespace bitpress::avx2 {

void huffman_decode(const HuffmanTable* table, HuffmanStream* streams, unsigned stream_count) noexcept {
    huffman_decode_any(table, streams, stream_count);
}

uint8_t* huffman_encode(const uint64_t* words, const uint64_t* pairs, const uint8_t* in, size_t n, uint8_t* out,
                        uint8_t* out_end) noexcept {
    return huffman_encode_any(words, pairs, in, n, out, out_end);
}

}  // namespace bitpress::avx2
