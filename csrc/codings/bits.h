// Bits in the order of the format: the first bit of a sequence is the least significant bit of its first byte.
#pragma once

#include "bytes.h"

namespace bitpress {

// Writes into [begin, end). The caller has made sure that everything fits; nothing is ever written at or after end.
class BitWriter {
  public:
    BitWriter(std::uint8_t* begin, std::uint8_t* end) noexcept : at_(begin), end_(end) {}

    // At most 56 bits until the next flush; value has no bit set at or above count.
    void put(std::uint64_t value, unsigned count) noexcept {
        bits_ |= value << count_;
        count_ += count;
    }

    // Leaves at most 7 bits waiting.
    void flush() noexcept {
        if (end_ - at_ >= 8) {
            store_le(at_, bits_);
            at_ += count_ >> 3;
            bits_ >>= count_ & ~7u;  // count_ < 64
            count_ &= 7;
        } else {
            for (; count_ >= 8; bits_ >>= 8, count_ -= 8) {
                if (at_ != end_) *at_++ = static_cast<std::uint8_t>(bits_);
            }
        }
    }

    // Writes the last bits, filled up with zeros to a byte; returns the end of what was written.
    std::uint8_t* finish() noexcept {
        flush();
        if (count_ > 0 && at_ != end_) *at_++ = static_cast<std::uint8_t>(bits_);
        count_ = 0;
        return at_;
    }

  private:
    std::uint64_t bits_ = 0;
    unsigned count_ = 0;
    std::uint8_t* at_;
    std::uint8_t* end_;
};

// 57 bits or more from bit position `position` of in, zeros after the end. Any position is safe.
inline std::uint64_t peek_bits(Bytes in, std::size_t position) noexcept {
    const std::size_t byte = position >> 3;
    if (in.size() >= 8 && byte <= in.size() - 8) return load_le<std::uint64_t>(in.data() + byte) >> (position & 7);
    std::uint64_t bits = 0;
    for (std::size_t i = byte; i < in.size() && i - byte < 8; ++i) {
        bits |= static_cast<std::uint64_t>(in[i]) << (8 * (i - byte));
    }
    return bits >> (position & 7);
}

// True where a sequence of `position` bits ends in the last byte of in and the bits after it are zero.
inline bool ends_in_last_byte(Bytes in, std::size_t position) noexcept {
    return (position + 7) / 8 == in.size() && (position % 8 == 0 || in[in.size() - 1] >> (position % 8) == 0);
}

}  // namespace bitpress
