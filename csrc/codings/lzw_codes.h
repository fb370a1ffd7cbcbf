// Codes of LZW as bits of a stream, low or high bits first.
#pragma once

#include "bytes.h"

namespace bitpress::lzw {

// Bytes beyond what is written that the caller has made room for besides the codes' own.
inline constexpr std::size_t code_slack = 8;

template <bool high_first>
class CodeWriter {
  public:
    explicit CodeWriter(std::uint8_t* at) noexcept : at_(at) {}

    // At most 56 bits until the next flush.
    void put(std::uint32_t code, unsigned width) noexcept {
        bits_ = high_first ? bits_ << width | code : bits_ | std::uint64_t{code} << count_;
        count_ += width;
    }
    void flush() noexcept {
        store_le(at_, high_first ? __builtin_bswap64(bits_ << (63 - count_) << 1) : bits_);
        at_ += count_ >> 3;
        if (!high_first) bits_ >>= count_ & ~7u;
        count_ &= 7;
    }
    std::uint8_t* finish() noexcept {
        if (count_ % 8 != 0) put(0, 8 - count_ % 8);
        flush();
        return at_;
    }

  private:
    std::uint64_t bits_ = 0;
    unsigned count_ = 0;  // below 8 after a flush
    std::uint8_t* at_;
};

}  // namespace bitpress::lzw
