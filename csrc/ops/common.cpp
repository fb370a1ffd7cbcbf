#include "ops/common.h"

namespace bitpress {

Status append(Shape* shape, std::uint64_t dim) noexcept {
    if (shape->rank >= max_rank) return Status::bad_shape;
    shape->dims[shape->rank++] = dim;
    return Status::ok;
}

Status normalize_axis(std::int64_t axis, unsigned rank, unsigned* out) noexcept {
    const std::int64_t limit = rank;
    if (axis < -limit || axis >= limit) return Status::bad_shape;
    *out = static_cast<unsigned>(axis < 0 ? axis + limit : axis);
    return Status::ok;
}

Status read_axis(const PlanContext& context, std::int64_t usual, unsigned* number, AlongAxis* along) noexcept {
    const Shape& in = context.inputs[0].shape;
    BP_TRY(normalize_axis(context.integer(Key::axis, usual), in.rank, number));
    *along = {elements(in, 0, *number), in.dims[*number], elements(in, *number + 1, in.rank)};
    return Status::ok;
}

Status axis_set(std::span<const std::int64_t> axes, unsigned rank, bool all_if_empty, unsigned* set) noexcept {
    *set = axes.empty() && all_if_empty ? (1U << rank) - 1U : 0U;
    if (axes.size() > max_rank) return Status::bad_shape;
    for (std::size_t i = 0; i < axes.size(); ++i) {
        unsigned axis = 0;
        BP_TRY(normalize_axis(axes[i], rank, &axis));
        if ((*set >> axis & 1U) != 0) return Status::bad_shape;
        *set |= 1U << axis;
    }
    return Status::ok;
}

Status broadcast(const Shape& a, const Shape& b, Shape* out) noexcept {
    const unsigned rank = a.rank > b.rank ? a.rank : b.rank;
    out->rank = rank;
    for (unsigned d = 0; d < rank; ++d) {
        const std::uint64_t left = d < rank - a.rank ? 1 : a.dims[d - (rank - a.rank)];
        const std::uint64_t right = d < rank - b.rank ? 1 : b.dims[d - (rank - b.rank)];
        if (left != right && left != 1 && right != 1) return Status::bad_shape;
        out->dims[d] = left == 1 ? right : left;
    }
    return Status::ok;
}

void broadcast_strides(const Shape& in, const Shape& out, std::uint64_t (&strides)[max_rank]) noexcept {
    std::uint64_t own[max_rank] = {};
    contiguous(in, own);
    const unsigned missing = out.rank - in.rank;
    for (unsigned d = 0; d < out.rank; ++d) {
        strides[d] = d < missing || in.dims[d - missing] == 1 ? 0 : own[d - missing];
    }
}

Status read_bounds(const PlanContext& context, Bounds* out) noexcept {
    out->low = context.real(Key::clip_low, -__builtin_inff());
    out->high = context.real(Key::clip_high, __builtin_inff());
    return __builtin_isnan(out->low) || __builtin_isnan(out->high) ? Status::bad_argument : Status::ok;
}

}  // namespace bitpress
