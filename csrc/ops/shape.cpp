// Operators that move elements and compute nothing.
#include <string.h>

#include "ops/common.h"

namespace bitpress {
namespace {

// -- the same bytes under another shape -----------------------------------------------------------------------------

struct CopyParams {
    std::uint64_t count = 0;
};

Status finish_copy(PlanContext& context) noexcept {
    const std::uint64_t count = elements(context.inputs[0].shape);
    std::uint64_t out = 1;
    for (unsigned d = 0; d < context.outputs[0].rank; ++d) {
        if (!checked_mul(out, context.outputs[0].dims[d], &out)) return Status::too_large;
    }
    if (out != count) return Status::bad_shape;
    context.make<CopyParams>().count = count;
    context.work = count;
    return Status::ok;
}

Status run_copy(const RunContext& context) noexcept {
    const CopyParams& p = context.parameters<CopyParams>();
    if (context.output() != context.input(0)) memcpy(context.output(), context.input(0), p.count * sizeof(float));
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
        } else if (dim <= 0) {
            return Status::bad_shape;
        } else {
            size = static_cast<std::uint64_t>(dim);
        }
        if (!checked_mul(known, size, &known)) return Status::too_large;
        BP_TRY(append(&out, size));
    }
    if (inferred != max_rank) {
        if (elements(in) % known != 0) return Status::bad_shape;
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
    return {.keys = keys, .flags = op_alias, .param_bytes = sizeof(CopyParams), .plan = plan, .run = run_copy};
}

// -- transpose ------------------------------------------------------------------------------------------------------

Status plan_transpose(PlanContext& context) noexcept {
    const Shape& in = context.inputs[0].shape;
    const std::span<const std::int64_t> perm = context.integers(Key::perm);
    if (!perm.empty() && perm.size() != in.rank) return Status::bad_shape;
    Loops<2>& loops = context.make<Loops<2>>();
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
    for (unsigned d = 0; d < out.rank; ++d) loops.add(out.dims[d], {in_strides[from[d]], out_strides[d]});
    context.work = elements(in);
    return Status::ok;
}

Status run_transpose(const RunContext& context) noexcept {
    const Loops<2>& loops = context.parameters<Loops<2>>();
    const float* x = context.input(0);
    float* y = context.output();
    const std::uint64_t n = loops.inner();
    const std::uint64_t step = loops.inner_stride(0);
    loops.each([&](const std::uint64_t (&at)[2]) noexcept {
        const float* in = x + at[0];
        float* out = y + at[1];
        if (step == 1) {
            memcpy(out, in, n * sizeof(float));
        } else {
            for (std::uint64_t i = 0; i < n; ++i) out[i] = in[i * step];
        }
    });
    return Status::ok;
}

// -- concat ---------------------------------------------------------------------------------------------------------

struct ConcatParams {
    std::uint64_t outer = 0;
    std::uint64_t out_row = 0;  // elements of the output an outer index
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
        if (in.rank != first.rank) return Status::bad_shape;
        for (unsigned d = 0; d < in.rank; ++d) {
            if (d != axis && in.dims[d] != first.dims[d]) return Status::bad_shape;
        }
        out.dims[axis] += in.dims[axis];  // at most 256 sums of at most 2^40
    }
    p.outer = elements(first, 0, axis);
    const std::uint64_t inner = elements(first, axis + 1, first.rank);
    if (!checked_mul(out.dims[axis], inner, &p.out_row) || !checked_mul(p.out_row, p.outer, &context.work)) {
        return Status::too_large;
    }
    return Status::ok;
}

Status run_concat(const RunContext& context) noexcept {
    const ConcatParams& p = context.parameters<ConcatParams>();
    float* column = context.output();
    for (unsigned i = 0; i < context.input_count; ++i) {
        const std::uint64_t width = context.input_counts[i] / p.outer;
        for (std::uint64_t row = 0; row < p.outer; ++row) {
            memcpy(column + row * p.out_row, context.input(i) + row * width, width * sizeof(float));
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
    p.value = context.real(Key::value, 0.0F);
    context.work = p.count;
    return Status::ok;
}

Status run_pad(const RunContext& context) noexcept {
    const PadParams& p = context.parameters<PadParams>();
    float* y = context.output();
    const float value = static_cast<float>(p.value);
    for (std::uint64_t i = 0; i < p.count; ++i) y[i] = value;
    const std::uint64_t x_step = p.loops.inner_stride(0);
    const std::uint64_t y_step = p.loops.inner_stride(1);
    p.loops.each([&](const std::uint64_t (&at)[2]) noexcept {
        const float* in = context.input(0) + at[0];
        float* out = y + p.first + at[1];
        for (std::uint64_t i = 0; i < p.loops.inner(); ++i) out[i * y_step] = in[i * x_step];
    });
    return Status::ok;
}

}  // namespace

const Operator op_Identity = copy(plan_identity, 0);
const Operator op_Reshape = copy(plan_reshape, key_bit(Key::shape) | key_bit(Key::allowzero));
const Operator op_Flatten = copy(plan_flatten, key_bit(Key::axis));
const Operator op_Unsqueeze = copy(plan_unsqueeze, key_bit(Key::axes));
const Operator op_Squeeze = copy(plan_squeeze, key_bit(Key::axes));

const Operator op_Transpose = {
    .keys = key_bit(Key::perm), .param_bytes = sizeof(Loops<2>), .plan = plan_transpose, .run = run_transpose};

const Operator op_Concat = {
    .max_inputs = max_node_links,
    .keys = key_bit(Key::axis),
    .param_bytes = sizeof(ConcatParams),
    .plan = plan_concat,
    .run = run_concat,
};

const Operator op_Pad = {
    .keys = key_bit(Key::pads) | key_bit(Key::value),
    .param_bytes = sizeof(PadParams),
    .plan = plan_pad,
    .run = run_pad,
};

}  // namespace bitpress
