// A `.Z` file read piece by piece. What was written is not kept, so strings are chains of words here, not places in the
// output.
#pragma once

#include "codings/lzw_z.h"

namespace bitpress::lzw {

class ZReader {
  public:
    ZReader() noexcept = default;

    // Takes bytes of in and writes bytes to out, as many as there are and fit. last: no more input follows. used and
    // written: how many. ok with less than the whole of both: more input is needed, or done(). truncated, corrupt,
    // unsupported: as z_decode, and ever after.
    Status read(Bytes in, bool last, MutableBytes out, std::size_t* used, std::size_t* written) noexcept;
    // The file has ended, and all of it has gone out.
    bool done() const noexcept { return ended_ && waiting_ == 0; }

  private:
    static constexpr std::size_t group_bytes = 16;  // eight codes of 16 bits

    bool fill(Bytes in, bool last, std::size_t wanted, std::size_t* used) noexcept;
    void next_group() noexcept;
    Status open() noexcept;
    Status next_code() noexcept;
    Status finish(std::size_t left) noexcept;
    Status add(std::uint32_t word) noexcept;

    Rules rules_;
    Status status_ = Status::ok;
    bool opened_ = false, ended_ = false;
    bool fresh_ = true;  // no code since the beginning or the last clear
    bool started_ = false;
    bool wanted_ = false;  // a code must follow
    bool loaded_ = false;  // the group is as long as it will be
    std::uint8_t group_[group_bytes] = {};
    std::size_t have_ = 0, position_ = 0;  // of the group: bytes that were read; bits that are used
    std::uint32_t newest_ = 0, previous_ = 0;
    unsigned width_ = min_bits;
    std::size_t waiting_ = 0;  // the last bytes of string_, which still have to go out
    // By word, up to newest_; what lies beyond is never read, and nobody clears it.
    std::uint16_t prefix_[most_words];  // the string without its last byte
    std::uint16_t length_[most_words];
    std::uint8_t last_[most_words], first_[most_words];
    std::uint8_t string_[most_words];
};

}  // namespace bitpress::lzw
