// A set of byte values as vectors look it up: by the low four bits of a byte, eight of its sixteen high ones as bits.
#pragma once

#include <stdint.h>

namespace bitpress {
namespace {

struct ByteSet {
    // Value v is bit v / 16 % 8 of rows[v / 128][v % 16].
    alignas(16) uint8_t rows[2][16] = {};

    // values: bit v % 8 of byte v / 8 of 32 is v's.
    explicit ByteSet(const uint8_t* values) noexcept {
        for (unsigned v = 0; v < 256; ++v) {
            const unsigned set = values[v / 8] >> (v % 8) & 1U;
            uint8_t& row = rows[v / 128][v % 16];
            row = static_cast<uint8_t>(row | set << (v / 16 % 8));
        }
    }
};

}  // namespace
}  // namespace bitpress
