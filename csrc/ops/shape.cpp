// Operators that move elements and compute nothing.
#include <string.h>

#include "ops/common.h"
#include "ops/numbers.h"

namespace bitpress {
namespace {

// -- the same bytes under another shape -----------------------------------------------------------------------------

struct CopyParams {
    std::uint64_t bytes = 0;
};

Status finish_copy(PlanContext& context) noexcept {
    const std::uint64_t count = elements(context.inputs[0].shape);
    std::uint64_t out = 1;
    for (unsigned d = 0; d < context.outputs[0].rank; ++d) {
        if (!checked_mul(out, context.outputs[0].dims[d], &out)) return Status::too_large;
    }
    if (out != count) return Status::bad_shape;
    context.make<CopyParams>().bytes = count * element_bytes(context.inputs[0].dtype);
    context.output_dtypes[0] = context.inputs[0].dtype;
    context.work = count;
    return Status::ok;
}

Status run_copy(const RunContext& context) noexcept {
    const CopyParams& p = context.parameters<CopyParams>();
    if (context.outputs[0] != context.inputs[0]) memcpy(context.outputs[0], context.inputs[0], p.bytes);
    return Status::ok;
}

Status plan_identity(PlanContext& context) noexcept {
    context.outputs[0] = context.inputs[0].shape;
    return finish_copy(context);
}

Status plan_reshape(PlanContext& context) noexcept {
    const Shape& in = context.inputs[0].shape;
    Shape& out = context.outputs[0];
    const std::span<const std::int64_t> shape = context.integers(Key::shape);
    if (shape.size() > max_rank) return Status::bad_shape;
    const bool allow_zero = context.integer(Key::allowzero, 0) != 0;
    unsigned inferred = max_rank;
    std::uint64_t known = 1;
    for (std::uint32_t d = 0; d < shape.size(); ++d) {
        const std::int64_t dim = shape[d];
        std::uint64_t size = 1;
        if (dim == -1) {
            if (inferred != max_rank) return Status::bad_shape;
            inferred = d;
        } else if (dim == 0 && !allow_zero) {
            if (d >= in.rank) return Status::bad_shape;
            size = in.dims[d];
        } else if (dim < 0) {
            return Status::bad_shape;
        } else {
            size = static_cast<std::uint64_t>(dim);
        }
        if (!checked_mul(known, size, &known)) return Status::too_large;
        BP_TRY(append(&out, size));
    }
    if (inferred != max_rank) {
        if (known == 0 || elements(in) % known != 0) return Status::bad_shape;
        out.dims[inferred] = elements(in) / known;
    }
    return finish_copy(context);
}

Status plan_flatten(PlanContext& context) noexcept {
    const Shape& in = context.inputs[0].shape;
    std::int64_t axis = context.integer(Key::axis, 1);
    if (axis < 0) axis += in.rank;
    if (axis < 0 || axis > static_cast<std::int64_t>(in.rank)) return Status::bad_shape;
    const unsigned cut = static_cast<unsigned>(axis);
    BP_TRY(append(&context.outputs[0], elements(in, 0, cut)));
    BP_TRY(append(&context.outputs[0], elements(in, cut, in.rank)));
    return finish_copy(context);
}

Status plan_unsqueeze(PlanContext& context) noexcept {
    const Shape& in = context.inputs[0].shape;
    const std::span<const std::int64_t> axes = context.integers(Key::axes);
    if (axes.size() > max_rank || in.rank + axes.size() > max_rank) return Status::bad_shape;
    const unsigned rank = in.rank + static_cast<unsigned>(axes.size());
    unsigned set = 0;
    BP_TRY(axis_set(axes, rank, false, &set));
    unsigned next = 0;
    for (unsigned d = 0; d < rank; ++d) BP_TRY(append(&context.outputs[0], (set >> d & 1U) != 0 ? 1 : in.dims[next++]));
    return finish_copy(context);
}

Status plan_squeeze(PlanContext& context) noexcept {
    const Shape& in = context.inputs[0].shape;
    const std::span<const std::int64_t> axes = context.integers(Key::axes);
    unsigned set = 0;
    BP_TRY(axis_set(axes, in.rank, false, &set));
    for (unsigned d = 0; d < in.rank; ++d) {
        const bool named = (set >> d & 1U) != 0;
        if (named && in.dims[d] != 1) return Status::bad_shape;
        if (!named && (!axes.empty() || in.dims[d] != 1)) BP_TRY(append(&context.outputs[0], in.dims[d]));
    }
    return finish_copy(context);
}

constexpr Operator copy(Status (*plan)(PlanContext&) noexcept, std::uint64_t keys) noexcept {
    return {.keys = keys,
            .flags = op_alias | op_typed | op_empty,
            .param_bytes = sizeof(CopyParams),
            .plan = plan,
            .run = run_copy};
}

// -- transpose ------------------------------------------------------------------------------------------------------

struct MoveParams {
    Loops<2> loops;           // x, y
    std::uint64_t first = 0;  // of the input
    unsigned bytes = 0;       // an element
};

Status plan_transpose(PlanContext& context) noexcept {
    const Shape& in = context.inputs[0].shape;
    const std::span<const std::int64_t> perm = context.integers(Key::perm);
    if (!perm.empty() && perm.size() != in.rank) return Status::bad_shape;
    MoveParams& p = context.make<MoveParams>();
    p.bytes = element_bytes(context.inputs[0].dtype);
    context.output_dtypes[0] = context.inputs[0].dtype;
    Shape& out = context.outputs[0];
    unsigned seen = 0;
    unsigned from[max_rank] = {};
    for (unsigned d = 0; d < in.rank; ++d) {
        from[d] = in.rank - 1 - d;
        if (!perm.empty()) {
            if (perm[d] < 0) return Status::bad_shape;
            BP_TRY(normalize_axis(perm[d], in.rank, &from[d]));
        }
        if ((seen >> from[d] & 1U) != 0) return Status::bad_shape;
        seen |= 1U << from[d];
        BP_TRY(append(&out, in.dims[from[d]]));
    }
    std::uint64_t in_strides[max_rank] = {};
    std::uint64_t out_strides[max_rank] = {};
    contiguous(in, in_strides);
    contiguous(out, out_strides);
    for (unsigned d = 0; d < out.rank; ++d) p.loops.add(out.dims[d], {in_strides[from[d]], out_strides[d]});
    context.work = elements(in);
    context.share(tiles(p.loops.rows(), p.loops.inner()), context.work);
    return Status::ok;
}

Status run_move(const RunContext& context) noexcept {
    const MoveParams& p = context.parameters<MoveParams>();
    p.loops.each([&](const std::uint64_t (&at)[2]) noexcept {
        copy_elements(p.bytes, element(context.inputs[0], p.first + at[0], p.bytes), p.loops.inner_stride(0),
                      element(context.outputs[0], at[1], p.bytes), p.loops.inner_stride(1), p.loops.inner());
    });
    return Status::ok;
}

// -- slice, expand --------------------------------------------------------------------------------------------------

Status plan_move(PlanContext& context, const std::uint64_t (&in_strides)[max_rank]) noexcept {
    MoveParams& p = context.parameters<MoveParams>();
    const Shape& out = context.outputs[0];
    std::uint64_t out_strides[max_rank] = {};
    contiguous(out, out_strides);
    context.work = 1;
    for (unsigned d = 0; d < out.rank; ++d) {
        p.loops.add(out.dims[d], {in_strides[d], out_strides[d]});
        if (!checked_mul(context.work, out.dims[d], &context.work)) return Status::too_large;
    }
    p.bytes = element_bytes(context.inputs[0].dtype);
    context.output_dtypes[0] = context.inputs[0].dtype;
    return Status::ok;
}

std::int64_t held(std::int64_t value, std::int64_t low, std::int64_t high) noexcept {
    return value < low ? low : value > high ? high : value;
}

Status plan_slice(PlanContext& context) noexcept {
    MoveParams& p = context.make<MoveParams>();
    const std::span<const std::int64_t> starts = context.integers(Key::starts);
    const std::span<const std::int64_t> ends = context.integers(Key::ends);
    const std::span<const std::int64_t> axes = context.integers(Key::axes);
    const std::span<const std::int64_t> steps = context.integers(Key::steps);
    const Shape& in = context.inputs[0].shape;
    if (starts.size() != ends.size() || axes.size() != starts.size()) return Status::bad_shape;
    if (!steps.empty() && steps.size() != starts.size()) return Status::bad_shape;
    unsigned set = 0;
    BP_TRY(axis_set(axes, in.rank, false, &set));
    std::uint64_t strides[max_rank] = {};
    contiguous(in, strides);
    context.outputs[0] = in;
    for (std::size_t i = 0; i < axes.size(); ++i) {
        unsigned axis = 0;
        BP_TRY(normalize_axis(axes[i], in.rank, &axis));
        const auto size = static_cast<std::int64_t>(in.dims[axis]);
        const std::int64_t step = steps.empty() ? 1 : steps[i];
        if (step == 0 || step == INT64_MIN) return Status::bad_argument;
        const std::int64_t most = step > 0 ? size : size - 1;  // the last place at which a slice can begin or end
        const std::int64_t least = step > 0 ? 0 : -1;
        const std::int64_t start = held(starts[i] < 0 ? starts[i] + size : starts[i], step > 0 ? 0 : -1, most);
        const std::int64_t end = held(ends[i] < 0 ? ends[i] + size : ends[i], least, most);
        const std::int64_t reach = step > 0 ? end - start : start - end;
        const std::int64_t stride = step > 0 ? step : -step;
        context.outputs[0].dims[axis] = reach <= 0 ? 0 : static_cast<std::uint64_t>((reach - 1) / stride + 1);
        if (reach <= 0) continue;
        p.first += static_cast<std::uint64_t>(start) * strides[axis];
        strides[axis] *= static_cast<std::uint64_t>(step);  // backwards modulo 2^64
    }
    return plan_move(context, strides);
}

Status plan_expand(PlanContext& context) noexcept {
    context.make<MoveParams>();
    const std::span<const std::int64_t> shape = context.integers(Key::shape);
    if (shape.size() > max_rank) return Status::bad_shape;
    Shape wanted;
    for (const std::int64_t dim : shape) {
        if (dim < 0) return Status::bad_shape;
        BP_TRY(append(&wanted, static_cast<std::uint64_t>(dim)));
    }
    if (context.has(1)) BP_TRY(broadcast(Shape{wanted}, context.inputs[1].shape, &wanted));
    BP_TRY(broadcast(context.inputs[0].shape, wanted, &context.outputs[0]));
    std::uint64_t strides[max_rank] = {};
    broadcast_strides(context.inputs[0].shape, context.outputs[0], strides);
    return plan_move(context, strides);
}

// -- concat ---------------------------------------------------------------------------------------------------------

struct ConcatParams {
    std::uint64_t outer = 0;
    std::uint64_t out_row = 0;  // elements of the output an outer index
    std::uint64_t bytes = 0;    // an element
};

Status plan_concat(PlanContext& context) noexcept {
    ConcatParams& p = context.make<ConcatParams>();
    const Shape& first = context.inputs[0].shape;
    unsigned axis = 0;
    if ((context.node.keys() & key_bit(Key::axis)) == 0) return Status::bad_argument;
    BP_TRY(normalize_axis(context.integer(Key::axis, 0), first.rank, &axis));
    Shape& out = context.outputs[0];
    out = first;
    out.dims[axis] = 0;
    for (std::uint32_t i = 0; i < context.node.inputs.size(); ++i) {
        const Shape& in = context.inputs[i].shape;
        if (context.inputs[i].dtype != context.inputs[0].dtype) return Status::unsupported;
        if (in.rank != first.rank) return Status::bad_shape;
        for (unsigned d = 0; d < in.rank; ++d) {
            if (d != axis && in.dims[d] != first.dims[d]) return Status::bad_shape;
        }
        out.dims[axis] += in.dims[axis];  // at most 256 sums of at most 2^40
    }
    p.outer = elements(first, 0, axis);
    p.bytes = element_bytes(context.inputs[0].dtype);
    context.output_dtypes[0] = context.inputs[0].dtype;
    const std::uint64_t inner = elements(first, axis + 1, first.rank);
    if (!checked_mul(out.dims[axis], inner, &p.out_row) || !checked_mul(p.out_row, p.outer, &context.work)) {
        return Status::too_large;
    }
    return Status::ok;
}

Status run_concat(const RunContext& context) noexcept {
    const ConcatParams& p = context.parameters<ConcatParams>();
    std::uint8_t* column = element(context.outputs[0], 0, 1);
    for (unsigned i = 0; i < context.input_count; ++i) {
        const std::uint64_t width = context.input_counts[i] / p.outer * p.bytes;
        for (std::uint64_t row = 0; width != 0 && row < p.outer; ++row) {
            memcpy(column + row * p.out_row * p.bytes, element(context.inputs[i], row * width, 1), width);
        }
        column += width;
    }
    return Status::ok;
}

// -- pad ------------------------------------------------------------------------------------------------------------

struct PadParams {
    Loops<2> loops;           // x, y
    std::uint64_t first = 0;  // where the input's first element goes
    std::uint64_t count = 0;
    double value = 0.0;
    Dtype dtype = Dtype::f32;
};

Status plan_pad(PlanContext& context) noexcept {
    PadParams& p = context.make<PadParams>();
    const Shape& in = context.inputs[0].shape;
    const std::span<const std::int64_t> pads = context.integers(Key::pads);
    if (pads.size() != 2 * in.rank) return Status::bad_shape;
    Shape& out = context.outputs[0];
    p.count = 1;
    for (unsigned d = 0; d < in.rank; ++d) {
        const std::int64_t begin = pads[d];
        const std::int64_t end = pads[d + in.rank];
        constexpr std::int64_t most = max_elements;
        if (begin < 0 || end < 0) return Status::unsupported;
        if (begin > most || end > most) return Status::too_large;
        BP_TRY(append(&out, in.dims[d] + static_cast<std::uint64_t>(begin) + static_cast<std::uint64_t>(end)));
        if (!checked_mul(p.count, out.dims[d], &p.count)) return Status::too_large;
    }
    std::uint64_t in_strides[max_rank] = {};
    std::uint64_t out_strides[max_rank] = {};
    contiguous(in, in_strides);
    contiguous(out, out_strides);
    for (unsigned d = 0; d < in.rank; ++d) {
        p.first += static_cast<std::uint64_t>(pads[d]) * out_strides[d];
        p.loops.add(in.dims[d], {in_strides[d], out_strides[d]});
    }
    p.value = static_cast<double>(context.real(Key::value, 0.0F));
    p.dtype = context.inputs[0].dtype;
    context.output_dtypes[0] = p.dtype;
    context.work = p.count;
    return Status::ok;
}

Status run_pad(const RunContext& context) noexcept {
    const PadParams& p = context.parameters<PadParams>();
    const unsigned bytes = element_bytes(p.dtype);
    std::uint64_t value = 0;
    store(p.dtype, &p.value, 1, &value, 0);
    copy_elements(bytes, &value, 0, context.outputs[0], 1, p.count);
    p.loops.each([&](const std::uint64_t (&at)[2]) noexcept {
        copy_elements(bytes, element(context.inputs[0], at[0], bytes), p.loops.inner_stride(0),
                      element(context.outputs[0], p.first + at[1], bytes), p.loops.inner_stride(1), p.loops.inner());
    });
    return Status::ok;
}

constexpr Operator move(Status (*plan)(PlanContext&) noexcept, std::uint64_t keys, unsigned inputs = 1) noexcept {
    return {.max_inputs = inputs,
            .keys = keys,
            .flags = op_typed | op_empty,
            .param_bytes = sizeof(MoveParams),
            .plan = plan,
            .run = run_move};
}

}  // namespace

const Operator op_Identity = copy(plan_identity, 0);
const Operator op_Reshape = copy(plan_reshape, key_bit(Key::shape) | key_bit(Key::allowzero));
const Operator op_Flatten = copy(plan_flatten, key_bit(Key::axis));
const Operator op_Unsqueeze = copy(plan_unsqueeze, key_bit(Key::axes));
const Operator op_Squeeze = copy(plan_squeeze, key_bit(Key::axes));

const Operator op_Transpose = move(plan_transpose, key_bit(Key::perm));
const Operator op_Slice =
    move(plan_slice, key_bit(Key::starts) | key_bit(Key::ends) | key_bit(Key::axes) | key_bit(Key::steps));
const Operator op_Expand = move(plan_expand, key_bit(Key::shape), 2);

const Operator op_Concat = {
    .max_inputs = max_node_links,
    .keys = key_bit(Key::axis),
    .flags = op_typed | op_empty,
    .param_bytes = sizeof(ConcatParams),
    .plan = plan_concat,
    .run = run_concat,
};

const Operator op_Pad = {
    .keys = key_bit(Key::pads) | key_bit(Key::value),
    .flags = op_typed | op_empty,
    .param_bytes = sizeof(PadParams),
    .plan = plan_pad,
    .run = run_pad,
};

}  // namespace bitpress
