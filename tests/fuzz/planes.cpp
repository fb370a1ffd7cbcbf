// Any bytes as a frame of planes.
#include "codings_fuzz.h"
#include "frame_mutator.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    bitpress::fuzz::decode_frame(bitpress::planes_coding, {data, size});
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    return bitpress::fuzz::mutate_frame(bitpress::planes_coding, 1, data, size, max_size, seed);
}
