// Codes to the entries of a codebook.
#include <string.h>

#include "bytes.h"
#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

// A count that the compiler knows makes an entry one or two moves.
template <unsigned vector>
void look_up_vectors(const uint8_t* codes, size_t n, const uint8_t* book, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) {
        float entry[vector];  // its own, so that storing it cannot change the book
        for (unsigned j = 0; j < vector; ++j) entry[j] = load_le<float>(book + (size_t{codes[i]} * vector + j) * 4);
        memcpy(x + i * vector, entry, sizeof entry);
    }
}

}  // namespace

void look_up(const uint8_t* codes, size_t n, unsigned, unsigned vector, const uint8_t* book, float* x) noexcept {
    switch (vector) {
        case 1: return look_up_vectors<1>(codes, n, book, x);
        case 2: return look_up_vectors<2>(codes, n, book, x);
        case 3: return look_up_vectors<3>(codes, n, book, x);
        case 4: return look_up_vectors<4>(codes, n, book, x);
        case 5: return look_up_vectors<5>(codes, n, book, x);
        case 6: return look_up_vectors<6>(codes, n, book, x);
        case 7: return look_up_vectors<7>(codes, n, book, x);
        default: return look_up_vectors<8>(codes, n, book, x);
    }
}

}  // namespace bitpress::scalar
