#include "ops/weights.h"

namespace bitpress {

const float* stored_floats(const TensorView& view) noexcept {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    (void)view;
    return nullptr;
#else
    if (view.scheme.structure != Structure::dense || view.scheme.values != Values::keep || view.dtype != Dtype::f32) {
        return nullptr;
    }
    const std::uint8_t* data = view.stream(Role::data).data();
    return reinterpret_cast<std::uintptr_t>(data) % alignof(float) == 0 ? reinterpret_cast<const float*>(data)
                                                                        : nullptr;
#endif
}

std::uint64_t WeightRows::cursor_floats(const TensorView* view, std::uint64_t rows) noexcept {
    return view != nullptr && is_sparse(view->scheme) ? rows * (sizeof(std::uint64_t) / sizeof(float)) : 0;
}

WeightRows::WeightRows(const TensorView& view, std::uint64_t rows, std::uint64_t columns, float* cursors,
                       std::uint64_t column) noexcept
    : direct_(stored_floats(view)), view_(&view), rows_(rows), columns_(columns) {
    if (!is_sparse(view.scheme)) return;
    cursors_ = reinterpret_cast<std::uint64_t*>(cursors);
    rewind(column);
}

void WeightRows::rewind(std::uint64_t column) noexcept {
    if (cursors_ == nullptr) return;
    std::uint64_t before = 0;
    for (std::uint64_t row = 0; row < rows_; ++row) {
        if (column > 0) before += survivors_between(*view_, row * columns_, column);
        cursors_[row] = before;
        before += survivors_between(*view_, row * columns_ + column, columns_ - column);
    }
}

Status WeightRows::read(std::uint64_t row, std::uint64_t count, std::uint64_t column, std::uint64_t width, float* tile,
                        const float** out, std::size_t* stride) noexcept {
    if (direct_ != nullptr) {
        *out = direct_ + row * columns_ + column;
        *stride = columns_;
        return Status::ok;
    }
    *out = tile;
    *stride = width;
    if (cursors_ == nullptr && width == columns_) {  // whole rows: one range
        std::uint64_t unused = 0;
        return unpack_range(*view_, row * columns_, {tile, count * width}, &unused);
    }
    for (std::uint64_t i = 0; i < count; ++i) {
        std::uint64_t unused = 0;
        std::uint64_t* survivors = cursors_ == nullptr ? &unused : &cursors_[row + i];
        BP_TRY(unpack_range(*view_, (row + i) * columns_ + column, {tile + i * width, width}, survivors));
    }
    return Status::ok;
}

}  // namespace bitpress
