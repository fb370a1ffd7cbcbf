// A matrix whose rows an operator reads a tile at a time: from a computed value in place, from a stored tensor
// dequantized into the caller's tile.
#pragma once

#include "ops/op.h"

namespace bitpress {

// The elements of a stored float32 tensor where they can be used in place (dense, kept, aligned, this CPU's byte
// order); null where they must be unpacked.
const float* stored_floats(const TensorView& view) noexcept;

// A tile holds this many floats, or one row's part where that is more: 64 KiB.
inline constexpr std::uint64_t tile_target = 16384;

class WeightRows {
  public:
    // Floats of memory that the rows of `view` need besides the tile (a sparse one: how many survivors come before
    // each row).
    static std::uint64_t cursor_floats(const TensorView* view, std::uint64_t rows) noexcept;

    // Rows of a computed value, `columns` apart.
    WeightRows(const float* values, std::uint64_t columns) noexcept : direct_(values), columns_(columns) {}
    // Rows of a stored tensor of rows x columns elements; `cursors` has cursor_floats, aligned to 8 bytes.
    // The rows of a sparse tensor are read from `column` on.
    WeightRows(const TensorView& view, std::uint64_t rows, std::uint64_t columns, float* cursors,
               std::uint64_t column = 0) noexcept;

    // Where a sparse tensor's rows are read a second time, from that column on.
    void rewind(std::uint64_t column = 0) noexcept;
    // Elements [column, column + width) of rows [row, row + count): *out points at them, *stride apart: in place, or in
    // `tile` (count * width floats). Each row of a sparse tensor must be read from left to right
    // without gaps.
    Status read(std::uint64_t row, std::uint64_t count, std::uint64_t column, std::uint64_t width, float* tile,
                const float** out, std::size_t* stride) noexcept;

  private:
    const float* direct_ = nullptr;
    const TensorView* view_ = nullptr;
    std::uint64_t rows_ = 0;
    std::uint64_t columns_ = 0;
    std::uint64_t* cursors_ = nullptr;
};

}  // namespace bitpress
