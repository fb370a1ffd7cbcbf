// What a bitmap stores, without the elements between.
#pragma once

#include "kernels/kernels.h"
#include "tensor.h"

namespace bitpress {

class Survivors {
  public:
    // Whether a view is a bitmap whose values are read as float.
    static bool readable(const TensorView& view) noexcept;
    // About how many elements it stores: at most 7 more than there are.
    static std::uint64_t count(const TensorView& view) noexcept;

    // A view that is readable and validated, as a matrix of so many columns. may_leave: read() leaves out scales that
    // are one a column, where that is simple; column_scales() says whether it does.
    Survivors(const Kernels& kernels, const TensorView& view, std::uint64_t columns, bool may_leave) noexcept;

    // The scales that are left out, float32 and little-endian, one a column; else null.
    const std::uint8_t* column_scales() const noexcept { return column_scales_; }

    // How many are stored of the elements [column, column + n) of a row.
    std::uint64_t count(std::uint64_t row, std::uint64_t column, std::uint64_t n) const noexcept;

    // These, n <= 65536: their columns less `column`, and their values as unpack_range gives them, but for scales left
    // out. *before: mask bits set before the first, moved on to the end. Returns how many; both arrays have room for 64
    // more.
    std::size_t read(std::uint64_t row, std::uint64_t column, std::size_t n, std::uint64_t* before,
                     std::uint16_t* positions, float* values) const noexcept;

  private:
    struct Place {
        std::uint64_t row, column;
    };
    std::size_t read_block(const Place& place, std::size_t n, unsigned start, std::uint64_t* before,
                           std::uint16_t* positions, float* values) const noexcept;
    // The number of the scale that n elements share; all ones where they do not, or it takes long to say.
    std::uint64_t common_scale(const Place& place, std::size_t n) const noexcept;
    void pick_steps(const Place& place, std::size_t n, unsigned start, const std::uint16_t* positions,
                    std::size_t count, float* scale, float* zero) const noexcept;

    const Kernels& kernels_;
    const TensorView& view_;
    std::uint64_t columns_;
    Grid grid_;
    const std::uint8_t* column_scales_ = nullptr;
};

}  // namespace bitpress
