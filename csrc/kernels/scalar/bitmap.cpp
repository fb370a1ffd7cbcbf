// Bitmaps: one bit an element says whether it is stored.
#include "bytes.h"
#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

bool bit(const uint8_t* mask, size_t i) noexcept { return ((mask[i / 8] >> (i % 8)) & 1U) != 0; }

}  // namespace

void mask_nonzero(const float* x, size_t n, uint8_t* mask) noexcept {
    for (size_t i = 0; i < n; i += 8) {
        unsigned byte = 0;
        for (size_t j = 0; j < 8 && i + j < n; ++j) byte |= static_cast<unsigned>(x[i + j] != 0.0F) << j;
        mask[i / 8] = static_cast<uint8_t>(byte);
    }
}

uint64_t count_bits(const uint8_t* mask, size_t n_bytes) noexcept {
    uint64_t count = 0;
    for (size_t i = 0; i < n_bytes; ++i) {
        for (unsigned byte = mask[i]; byte != 0; byte &= byte - 1U) ++count;
    }
    return count;
}

size_t compress_bytes(const uint8_t* in, size_t n, const uint8_t* mask, uint8_t* out) noexcept {
    size_t kept = 0;
    for (size_t i = 0; i < n; ++i) {
        if (bit(mask, i)) out[kept++] = in[i];
    }
    return kept;
}

void expand_bytes(const uint8_t* in, size_t, const uint8_t* mask, size_t n, uint8_t fill, uint8_t* out) noexcept {
    for (size_t i = 0; i < n; ++i) out[i] = bit(mask, i) ? *in++ : fill;
}

void mask_other(const uint8_t* in, size_t n, uint8_t value, uint8_t* mask) noexcept {
    for (size_t i = 0; i < n; i += 8) {
        unsigned byte = 0;
        for (size_t j = 0; j < 8 && i + j < n; ++j) byte |= static_cast<unsigned>(in[i + j] != value) << j;
        mask[i / 8] = static_cast<uint8_t>(byte);
    }
}

size_t write_gaps(const uint8_t* mask, size_t n, uint8_t* gaps) noexcept {
    uint8_t* at = gaps;
    size_t next = 0;  // the element after the last bit set
    const size_t bytes = (n + 7) / 8;
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t bits = 0;
        if (bytes - i >= 8) {
            bits = load_le<uint64_t>(mask + i);
        } else {
            for (size_t k = i; k < bytes; ++k) bits |= static_cast<uint64_t>(mask[k]) << (8 * (k - i));
        }
        for (; bits != 0; bits &= bits - 1) {
            const size_t position = 8 * i + static_cast<unsigned>(__builtin_ctzll(bits));
            size_t gap = position - next;
            for (; gap >= 255; gap -= 255) *at++ = 255;
            *at++ = static_cast<uint8_t>(gap);
            next = position + 1;
        }
    }
    return static_cast<size_t>(at - gaps);
}

size_t mask_positions(const uint8_t* mask, size_t n, unsigned start, uint16_t* positions) noexcept {
    uint16_t* at = positions;
    for (size_t i = 0; i < n; i += 8) {
        for (unsigned byte = mask[i / 8]; byte != 0; byte &= byte - 1U) {
            *at++ = static_cast<uint16_t>(start + i + static_cast<unsigned>(__builtin_ctz(byte)));
        }
    }
    return static_cast<size_t>(at - positions);
}

void clear_unmasked(const uint8_t* mask, size_t n, float* x) noexcept {
    for (size_t i = 0; i < n; ++i) {
        if (!bit(mask, i)) x[i] = 0.0F;
    }
}

}  // namespace bitpress::scalar
