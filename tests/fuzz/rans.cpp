// Any bytes as a frame of rans.
#include "codings_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    bitpress::fuzz::decode_frame(bitpress::rans_coding, {data, size});
    return 0;
}
