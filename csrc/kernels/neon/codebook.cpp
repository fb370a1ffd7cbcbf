// Codes to the entries of a codebook of at most 16 floats: each of the four bytes of a float is a table of 16.
#include <arm_neon.h>
#include <string.h>

#include "kernels/neon/overrides.h"

namespace bitpress::neon {

void look_up(const uint8_t* codes, size_t n, unsigned bits, unsigned vector, const uint8_t* book, float* x) noexcept {
    size_t i = 0;
    if (vector == 1 && bits <= 4) {
        uint8_t entries[64] = {};  // a smaller book fills the beginning, and no code names the rest
        memcpy(entries, book, sizeof(float) << bits);
        const uint8x16x4_t table = vld4q_u8(entries);
        for (; n - i >= 16; i += 16) {
            const uint8x16_t c = vld1q_u8(codes + i);
            uint8x16x4_t bytes;
            for (int k = 0; k < 4; ++k) bytes.val[k] = vqtbl1q_u8(table.val[k], c);
            vst4q_u8(reinterpret_cast<uint8_t*>(x + i), bytes);
        }
    }
    scalar::look_up(codes + i, n - i, bits, vector, book, x + i * vector);
}

}  // namespace bitpress::neon
