// Operators that read or write single elements, or the slices at places, where indices say. An index outside its axis
// is reported when it is met.
#include <string.h>

#include "ops/common.h"
#include "ops/indices.h"

namespace bitpress {
namespace {

// -- GatherElements, ScatterElements: one element an index -----------------------------------------------------------

// What is done to an element that is written to.
enum class Reduce : std::uint8_t { none = 0, add = 1, mul = 2, max = 3, min = 4 };

struct ElementsParams {
    Loops<2> loops;  // indices (and updates, or the output), data without the axis
    std::uint64_t axis = 0;
    std::uint64_t axis_step = 0;
    std::uint64_t count = 0;  // of the data
    Dtype dtype = Dtype::f32;
    Dtype index_dtype = Dtype::i64;
    Reduce reduce = Reduce::none;
};

Status plan_elements(PlanContext& context) noexcept {
    ElementsParams& p = context.make<ElementsParams>();
    const Operand& data = context.inputs[0];
    const Operand& indices = context.inputs[1];
    const unsigned rank = data.shape.rank;
    if (!among(indices.dtype, index_types)) return Status::unsupported;
    if (indices.shape.rank != rank || rank == 0) return Status::bad_shape;
    unsigned axis = 0;
    BP_TRY(normalize_axis(context.integer(Key::axis, 0), rank, &axis));
    std::uint64_t strides[max_rank] = {};
    std::uint64_t index_strides[max_rank] = {};
    contiguous(data.shape, strides);
    contiguous(indices.shape, index_strides);
    for (unsigned d = 0; d < rank; ++d) {
        if (d != axis && indices.shape.dims[d] > data.shape.dims[d]) return Status::bad_shape;
        p.loops.add(indices.shape.dims[d], {index_strides[d], d == axis ? 0 : strides[d]});
    }
    p.axis = data.shape.dims[axis];
    p.axis_step = strides[axis];
    p.count = elements(data.shape);
    p.dtype = data.dtype;
    p.index_dtype = indices.dtype;
    context.output_dtypes[0] = data.dtype;
    context.work = elements(indices.shape);
    return Status::ok;
}

Status plan_gather_elements(PlanContext& context) noexcept {
    BP_TRY(plan_elements(context));
    context.outputs[0] = context.inputs[1].shape;
    return Status::ok;
}

bool same_shape(const Shape& a, const Shape& b) noexcept {
    return a.rank == b.rank && memcmp(a.dims, b.dims, a.rank * sizeof(a.dims[0])) == 0;
}

Status read_reduction(const PlanContext& context, Reduce* out) noexcept {
    const std::int64_t reduction = context.integer(Key::reduction, 0);
    if (reduction < 0 || reduction > 4) return Status::bad_argument;
    *out = static_cast<Reduce>(reduction);
    if (*out == Reduce::none) return Status::ok;
    return among(context.inputs[0].dtype, number_types & ~type_bit(Dtype::u64)) ? Status::ok : Status::unsupported;
}

Status plan_scatter_elements(PlanContext& context) noexcept {
    BP_TRY(plan_elements(context));
    const Operand& updates = context.inputs[2];
    if (updates.dtype != context.inputs[0].dtype) return Status::unsupported;
    if (!same_shape(updates.shape, context.inputs[1].shape)) return Status::bad_shape;
    BP_TRY(read_reduction(context, &context.parameters<ElementsParams>().reduce));
    context.outputs[0] = context.inputs[0].shape;
    return Status::ok;
}

template <class Number>
Number combine(Reduce reduce, Number old, Number now) noexcept {
    switch (reduce) {
        case Reduce::add:
            if constexpr (__is_same(Number, std::int64_t)) {
                return static_cast<Number>(static_cast<std::uint64_t>(old) + static_cast<std::uint64_t>(now));
            } else {
                return old + now;
            }
        case Reduce::mul:
            if constexpr (__is_same(Number, std::int64_t)) {
                return static_cast<Number>(static_cast<std::uint64_t>(old) * static_cast<std::uint64_t>(now));
            } else {
                return old * now;
            }
        case Reduce::max: return now > old ? now : old;
        case Reduce::min: return now < old ? now : old;
        case Reduce::none: break;
    }
    return now;
}

template <class Number>
void update_as(Dtype dtype, Reduce reduce, const void* from, void* to) noexcept {
    Number old{};
    Number now{};
    load(dtype, to, 0, 1, &old);
    load(dtype, from, 0, 1, &now);
    old = combine(reduce, old, now);
    store(dtype, &old, 1, to, 0);
}

void update(Dtype dtype, Reduce reduce, const void* from, void* to, std::uint64_t n) noexcept {
    const unsigned bytes = element_bytes(dtype);
    if (reduce == Reduce::none) {
        memcpy(to, from, n * bytes);
        return;
    }
    for (std::uint64_t i = 0; i < n; ++i) {
        if (among(dtype, real_types)) {
            update_as<double>(dtype, reduce, element(from, i, bytes), element(to, i, bytes));
        } else {
            update_as<std::int64_t>(dtype, reduce, element(from, i, bytes), element(to, i, bytes));
        }
    }
}

// body(place of the index, place in the data) for every index.
template <class Body>
Status each_element(const RunContext& context, const ElementsParams& p, Body body) noexcept {
    Status status = Status::ok;
    p.loops.each([&](const std::uint64_t (&at)[2]) noexcept {
        for (std::uint64_t i = 0; i < p.loops.inner() && status == Status::ok; ++i) {
            const std::uint64_t place = at[0] + i * p.loops.inner_stride(0);
            std::uint64_t index = 0;
            status = read_index(p.index_dtype, context.inputs[1], place, p.axis, &index);
            if (status == Status::ok) body(place, at[1] + i * p.loops.inner_stride(1) + index * p.axis_step);
        }
    });
    return status;
}

Status run_gather_elements(const RunContext& context) noexcept {
    const ElementsParams& p = context.parameters<ElementsParams>();
    const unsigned bytes = element_bytes(p.dtype);
    return each_element(context, p, [&](std::uint64_t place, std::uint64_t from) noexcept {
        memcpy(element(context.outputs[0], place, bytes), element(context.inputs[0], from, bytes), bytes);
    });
}

void copy_data(const RunContext& context, std::uint64_t bytes) noexcept {
    if (context.outputs[0] != context.inputs[0]) memcpy(context.outputs[0], context.inputs[0], bytes);
}

Status run_scatter_elements(const RunContext& context) noexcept {
    const ElementsParams& p = context.parameters<ElementsParams>();
    const unsigned bytes = element_bytes(p.dtype);
    copy_data(context, p.count * bytes);
    return each_element(context, p, [&](std::uint64_t place, std::uint64_t to) noexcept {
        update(p.dtype, p.reduce, element(context.inputs[2], place, bytes), element(context.outputs[0], to, bytes), 1);
    });
}

// -- GatherND, ScatterND: the last axis of the indices is a place in the first axes of the data ----------------------

struct PlacesParams {
    std::uint64_t batches = 1;
    std::uint64_t places = 1;  // a batch
    std::uint64_t depth = 0;   // indices a place
    std::uint64_t dims[max_rank] = {};
    std::uint64_t steps[max_rank] = {};
    std::uint64_t batch = 0;  // elements of the data a batch
    std::uint64_t inner = 1;  // elements a place
    std::uint64_t count = 0;  // of the data
    Dtype dtype = Dtype::f32;
    Dtype index_dtype = Dtype::i64;
    Reduce reduce = Reduce::none;
};

// The shape of the values at the places goes to *values.
Status plan_places(PlanContext& context, std::uint64_t batch_dims, Shape* values) noexcept {
    PlacesParams& p = context.make<PlacesParams>();
    const Shape& data = context.inputs[0].shape;
    const Shape& indices = context.inputs[1].shape;
    if (!among(context.inputs[1].dtype, index_types)) return Status::unsupported;
    if (data.rank == 0 || indices.rank == 0 || batch_dims >= indices.rank) return Status::bad_shape;
    p.depth = indices.dims[indices.rank - 1];
    if (p.depth > data.rank || batch_dims + p.depth > data.rank) return Status::bad_shape;
    std::uint64_t strides[max_rank] = {};
    contiguous(data, strides);
    for (unsigned d = 0; d + 1 < indices.rank; ++d) {
        BP_TRY(append(values, indices.dims[d]));
        if (d >= batch_dims) {
            p.places *= indices.dims[d];
            continue;
        }
        if (indices.dims[d] != data.dims[d]) return Status::bad_shape;
        p.batches *= data.dims[d];
    }
    const auto first = static_cast<unsigned>(batch_dims);
    const auto depth = static_cast<unsigned>(p.depth);
    for (unsigned d = 0; d < depth; ++d) {
        p.dims[d] = data.dims[first + d];
        p.steps[d] = strides[first + d];
    }
    for (unsigned d = first + depth; d < data.rank; ++d) BP_TRY(append(values, data.dims[d]));
    p.batch = elements(data, first, data.rank);
    p.inner = elements(data, first + depth, data.rank);
    p.count = elements(data);
    p.dtype = context.inputs[0].dtype;
    p.index_dtype = context.inputs[1].dtype;
    context.output_dtypes[0] = p.dtype;
    context.work = p.count;
    return Status::ok;
}

Status plan_gather_nd(PlanContext& context) noexcept {
    const std::int64_t batch_dims = context.integer(Key::batch_dims, 0);
    if (batch_dims < 0) return Status::bad_argument;
    return plan_places(context, static_cast<std::uint64_t>(batch_dims), &context.outputs[0]);
}

Status plan_scatter_nd(PlanContext& context) noexcept {
    Shape values;
    BP_TRY(plan_places(context, 0, &values));
    if (context.inputs[2].dtype != context.inputs[0].dtype) return Status::unsupported;
    if (!same_shape(context.inputs[2].shape, values)) return Status::bad_shape;
    BP_TRY(read_reduction(context, &context.parameters<PlacesParams>().reduce));
    context.outputs[0] = context.inputs[0].shape;
    return Status::ok;
}

// body(number of the place, where its elements begin in the data) for every place.
template <class Body>
Status each_place(const RunContext& context, const PlacesParams& p, Body body) noexcept {
    for (std::uint64_t place = 0; place < p.batches * p.places; ++place) {
        std::uint64_t at = place / p.places * p.batch;
        for (std::uint64_t d = 0; d < p.depth; ++d) {
            std::uint64_t index = 0;
            BP_TRY(read_index(p.index_dtype, context.inputs[1], place * p.depth + d, p.dims[d], &index));
            at += index * p.steps[d];
        }
        body(place, at);
    }
    return Status::ok;
}

Status run_gather_nd(const RunContext& context) noexcept {
    const PlacesParams& p = context.parameters<PlacesParams>();
    const unsigned bytes = element_bytes(p.dtype);
    return each_place(context, p, [&](std::uint64_t place, std::uint64_t at) noexcept {
        memcpy(element(context.outputs[0], place * p.inner, bytes), element(context.inputs[0], at, bytes),
               p.inner * bytes);
    });
}

Status run_scatter_nd(const RunContext& context) noexcept {
    const PlacesParams& p = context.parameters<PlacesParams>();
    const unsigned bytes = element_bytes(p.dtype);
    copy_data(context, p.count * bytes);
    return each_place(context, p, [&](std::uint64_t place, std::uint64_t at) noexcept {
        update(p.dtype, p.reduce, element(context.inputs[2], place * p.inner, bytes),
               element(context.outputs[0], at, bytes), p.inner);
    });
}

constexpr Operator indexed(unsigned inputs, Key key, std::size_t param_bytes, Status (*plan)(PlanContext&) noexcept,
                           Status (*run)(const RunContext&) noexcept, std::uint64_t more_keys = 0) noexcept {
    return {
        .min_inputs = inputs,
        .max_inputs = inputs,
        .keys = key_bit(key) | more_keys,
        .flags = op_typed,
        .param_bytes = param_bytes,
        .plan = plan,
        .run = run,
    };
}

}  // namespace

const Operator op_GatherElements =
    indexed(2, Key::axis, sizeof(ElementsParams), plan_gather_elements, run_gather_elements);
const Operator op_ScatterElements =
    indexed(3, Key::axis, sizeof(ElementsParams), plan_scatter_elements, run_scatter_elements, key_bit(Key::reduction));
const Operator op_GatherND = indexed(2, Key::batch_dims, sizeof(PlacesParams), plan_gather_nd, run_gather_nd);
const Operator op_ScatterND = indexed(3, Key::reduction, sizeof(PlacesParams), plan_scatter_nd, run_scatter_nd);

}  // namespace bitpress
