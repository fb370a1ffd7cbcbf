// Operators that read or write where indices say. An index outside its axis is reported when it is met.
#include <string.h>

#include "ops/common.h"
#include "ops/numbers.h"
#include "ops/stored.h"

namespace bitpress {
namespace {

constexpr std::uint32_t index_types = type_bit(Dtype::i32) | type_bit(Dtype::i64);

// The index at a place, below `size`; negative ones count from the end.
Status read_index(Dtype dtype, const void* indices, std::uint64_t at, std::uint64_t size, std::uint64_t* out) noexcept {
    std::int64_t index = 0;
    load(dtype, element(indices, at, element_bytes(dtype)), 0, 1, &index);
    const auto limit = static_cast<std::int64_t>(size);
    if (index < -limit || index >= limit) return Status::out_of_range;
    *out = static_cast<std::uint64_t>(index < 0 ? index + limit : index);
    return Status::ok;
}

// -- Gather: whole slices along one axis -----------------------------------------------------------------------------

struct GatherParams {
    std::uint64_t outer = 0;
    std::uint64_t axis = 0;
    std::uint64_t inner = 0;
    std::uint64_t indices = 0;
    Dtype dtype = Dtype::f32;
    Dtype index_dtype = Dtype::i64;
};

bool is_bitmap(const TensorView* view) noexcept {
    return view != nullptr && view->scheme.structure == Structure::bitmap;
}

Status plan_gather(PlanContext& context) noexcept {
    GatherParams& p = context.make<GatherParams>();
    const Operand& data = context.inputs[0];
    const Operand& indices = context.inputs[1];
    if (!among(indices.dtype, index_types)) return Status::unsupported;
    unsigned axis = 0;
    BP_TRY(normalize_axis(context.integer(Key::axis, 0), data.shape.rank, &axis));
    p.outer = elements(data.shape, 0, axis);
    p.axis = data.shape.dims[axis];
    p.inner = elements(data.shape, axis + 1, data.shape.rank);
    p.indices = elements(indices.shape);
    p.dtype = data.dtype;
    p.index_dtype = indices.dtype;
    for (unsigned d = 0; d < axis; ++d) BP_TRY(append(&context.outputs[0], data.shape.dims[d]));
    for (unsigned d = 0; d < indices.shape.rank; ++d) BP_TRY(append(&context.outputs[0], indices.shape.dims[d]));
    for (unsigned d = axis + 1; d < data.shape.rank; ++d) BP_TRY(append(&context.outputs[0], data.shape.dims[d]));
    context.output_dtypes[0] = data.dtype;
    std::uint64_t slices = 0;
    if (!checked_mul(p.outer, p.indices, &slices) || !checked_mul(slices, p.inner, &context.work)) {
        return Status::too_large;
    }
    if (is_bitmap(data.stored) && data.dtype == Dtype::f32) context.scratch_floats = 2 * p.outer * p.axis;
    return Status::ok;
}

// A packed table is unpacked slice by slice, never whole. A bitmap's slices first learn how many survivors come before
// them.
class Slices {
  public:
    Slices(const RunContext& context, const GatherParams& p) noexcept
        : view_(context.stored[0]), inner_(p.inner), bytes_(element_bytes(p.dtype)), data_(context.inputs[0]) {
        if (view_ != nullptr && data_ == nullptr) data_ = stored_in_place(*view_);
        if (data_ != nullptr || !is_bitmap(view_)) return;
        before_ = reinterpret_cast<std::uint64_t*>(context.scratch);
        const std::uint8_t* mask = view_->stream(Role::mask).data();
        std::uint64_t count = 0;
        std::uint64_t bit = 0;
        for (std::uint64_t slice = 0; slice < p.outer * p.axis; ++slice) {
            before_[slice] = count;
            for (const std::uint64_t end = (slice + 1) * inner_; bit < end;) {
                if (bit % 8 == 0 && end - bit >= 8) {
                    const std::uint64_t whole = (end - bit) / 8;
                    count += context.kernels->count_bits(mask + bit / 8, static_cast<std::size_t>(whole));
                    bit += 8 * whole;
                } else {
                    count += mask[bit / 8] >> (bit % 8) & 1U;
                    ++bit;
                }
            }
        }
    }

    Status copy(std::uint64_t slice, void* to) const noexcept {
        if (data_ != nullptr) {
            memcpy(to, element(data_, slice * inner_, bytes_), inner_ * bytes_);
            return Status::ok;
        }
        std::uint64_t before = before_ == nullptr ? 0 : before_[slice];
        return unpack_range(*view_, slice * inner_, {static_cast<float*>(to), static_cast<std::size_t>(inner_)},
                            &before);
    }

  private:
    const TensorView* view_;
    std::uint64_t inner_;
    unsigned bytes_;
    const void* data_;
    std::uint64_t* before_ = nullptr;
};

Status run_gather(const RunContext& context) noexcept {
    const GatherParams& p = context.parameters<GatherParams>();
    const Slices slices(context, p);
    const unsigned bytes = element_bytes(p.dtype);
    for (std::uint64_t i = 0; i < p.outer; ++i) {
        for (std::uint64_t k = 0; k < p.indices; ++k) {
            std::uint64_t index = 0;
            BP_TRY(read_index(p.index_dtype, context.inputs[1], k, p.axis, &index));
            BP_TRY(slices.copy(i * p.axis + index, element(context.outputs[0], (i * p.indices + k) * p.inner, bytes)));
        }
    }
    return Status::ok;
}

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

const Operator op_Gather = {
    .min_inputs = 2,
    .max_inputs = 2,
    .keys = key_bit(Key::axis),
    .reads_stored = 1,
    .flags = op_typed,
    .param_bytes = sizeof(GatherParams),
    .plan = plan_gather,
    .run = run_gather,
};
const Operator op_GatherElements =
    indexed(2, Key::axis, sizeof(ElementsParams), plan_gather_elements, run_gather_elements);
const Operator op_ScatterElements =
    indexed(3, Key::axis, sizeof(ElementsParams), plan_scatter_elements, run_scatter_elements, key_bit(Key::reduction));
const Operator op_GatherND = indexed(2, Key::batch_dims, sizeof(PlacesParams), plan_gather_nd, run_gather_nd);
const Operator op_ScatterND = indexed(3, Key::reduction, sizeof(PlacesParams), plan_scatter_nd, run_scatter_nd);

}  // namespace bitpress
