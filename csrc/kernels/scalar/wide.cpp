// Codes of 9 to 16 bits from byte symbols and raw bits.
#include "kernels/kernels.h"

namespace bitpress::scalar {

size_t join_wide(const WideTable* table, const uint8_t* symbols, size_t n, const uint8_t* raw, size_t raw_bytes,
                 size_t position, uint16_t* codes) noexcept {
    for (size_t i = 0; i < n; ++i) {
        unsigned u = table->base[symbols[i]];
        for (unsigned left = table->raw[symbols[i]], k = 0; left != 0; left >>= 1, ++k, ++position) {
            const size_t byte = position / 8;
            if (byte < raw_bytes) u += (raw[byte] >> position % 8 & 1U) << k;
        }
        const unsigned half = u / 2;
        codes[i] = static_cast<uint16_t>((table->middle + ((u & 1) != 0 ? ~half : half)) & table->most);
    }
    return position;
}

}  // namespace bitpress::scalar
