// Any bytes as a frame of huffman.
#include "codings_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    bitpress::fuzz::decode_frame(bitpress::huffman_coding, {data, size});
    return 0;
}
