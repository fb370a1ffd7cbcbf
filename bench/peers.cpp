// FastLanes' generated unpacking as a function of C: tools/peers.sh compiles this once an instruction set, which names
// UNPACK and the namespace.
#include <cstddef>
#include <cstdint>

#include "fls_gen/unpack/unpack.hpp"

// blocks of 1024 codes, 128 * bits bytes each, to a byte a code.
extern "C" void UNPACK(const uint8_t* packed, size_t blocks, unsigned bits, uint8_t* codes) {
    for (; blocks > 0; --blocks, packed += 128 * bits, codes += 1024)
        generated::unpack::fallback::scalar::unpack(packed, codes, static_cast<uint8_t>(bits));
}
