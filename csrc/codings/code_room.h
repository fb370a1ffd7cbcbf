// Where the decoded symbols of a chunk go: a byte each, or, codes of fewer bits, packed (docs/format.md, "Packed
// codes").
#pragma once

#include "bytes.h"

namespace bitpress {

class CodeRoom {
  public:
    // bits: 8 where each symbol takes a byte; packed ones begin with a byte and may end inside one.
    CodeRoom(std::uint8_t* data, std::size_t count, unsigned bits) noexcept : data_(data), count_(count), bits_(bits) {}

    std::size_t count() const noexcept { return count_; }
    bool packed() const noexcept { return bits_ < 8; }
    // Of symbols that are not packed.
    MutableBytes bytes() const noexcept { return {data_, count_}; }

    // Symbols `at` and those after it become these, and the bits after the last symbol zero. False where one has more
    // bits than a code.
    bool put(std::size_t at, Bytes symbols) const noexcept;
    // The symbols from `at` on.
    void get(std::size_t at, MutableBytes symbols) const noexcept;
    // All symbols are this one. False as for put.
    bool fill(std::uint8_t symbol) const noexcept;

  private:
    void replace(std::size_t at, std::uint8_t symbol) const noexcept;

    std::uint8_t* data_;
    std::size_t count_;
    unsigned bits_;
};

}  // namespace bitpress
