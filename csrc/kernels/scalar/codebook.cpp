// Codes to the entries of a codebook.
#include "bytes.h"
#include "kernels/kernels.h"

namespace bitpress::scalar {

void look_up(const uint8_t* codes, size_t n, unsigned, unsigned vector, const uint8_t* book, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) {
        const uint8_t* const entry = book + size_t{codes[i]} * vector * 4;
        for (unsigned j = 0; j < vector; ++j) *x++ = load_le<float>(entry + 4 * j);
    }
}

}  // namespace bitpress::scalar
