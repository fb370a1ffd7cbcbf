// Operators whose results have as many elements as their inputs' values say: NonZero, Compress, Unique.
#include "ops/common.h"
#include "ops/order.h"

namespace bitpress {
namespace {

struct NonZeroParams {
    Shape shape;
    Dtype dtype = Dtype::f32;
};

Status plan_non_zero(PlanContext& context) noexcept {
    NonZeroParams& p = context.make<NonZeroParams>();
    p.shape = context.inputs[0].shape;
    p.dtype = context.inputs[0].dtype;
    if (p.shape.rank == 0) return Status::bad_shape;
    BP_TRY(append(&context.outputs[0], p.shape.rank));
    BP_TRY(append(&context.outputs[0], elements(p.shape)));
    context.output_dtypes[0] = Dtype::i64;
    context.varying[0] = 2;
    context.work = 2 * elements(p.shape);
    return Status::ok;
}

// body(place) for each element that is not 0.
template <class Body>
void each_non_zero(Dtype dtype, const void* from, std::uint64_t count, const Body& body) noexcept {
    const unsigned bytes = element_bytes(dtype);
    double numbers[block_size];
    for (std::uint64_t i = 0; i < count; i += block_size) {
        const std::uint64_t n = smaller(block_size, count - i);
        load(dtype, element(from, i, bytes), 1, n, numbers);
        for (std::uint64_t k = 0; k < n; ++k) {
            if (numbers[k] != 0.0) body(i + k);
        }
    }
}

Status run_non_zero(const RunContext& context) noexcept {
    const NonZeroParams& p = context.parameters<NonZeroParams>();
    const std::uint64_t count = elements(p.shape);
    auto* out = static_cast<std::int64_t*>(context.outputs[0]);
    std::uint64_t found = 0;
    each_non_zero(p.dtype, context.inputs[0], count, [&](std::uint64_t) noexcept { ++found; });
    std::uint64_t at = 0;
    each_non_zero(p.dtype, context.inputs[0], count, [&](std::uint64_t place) noexcept {
        for (unsigned d = p.shape.rank; d > 0; --d) {
            out[(d - 1) * found + at] = static_cast<std::int64_t>(place % p.shape.dims[d - 1]);
            place /= p.shape.dims[d - 1];
        }
        ++at;
    });
    context.output_shapes[0].dims[1] = found;
    return Status::ok;
}

struct CompressParams : AlongAxis {
    std::uint64_t conditions = 0;
    unsigned dim = 0;
    unsigned bytes = 0;
};

Status plan_compress(PlanContext& context) noexcept {
    CompressParams& p = context.make<CompressParams>();
    const Shape& in = context.inputs[0].shape;
    const Shape& condition = context.inputs[1].shape;
    if (context.inputs[1].dtype != Dtype::boolean) return Status::unsupported;
    if (condition.rank != 1) return Status::bad_shape;
    p.bytes = element_bytes(context.inputs[0].dtype);
    p.conditions = condition.dims[0];
    Shape& out = context.outputs[0];
    if ((context.node.keys() & key_bit(Key::axis)) != 0) {
        BP_TRY(read_axis(context, 0, &p.dim, &p));
        out = in;
    } else {  // of all elements, in a row
        p.outer = p.inner = 1;
        p.axis = elements(in);
        BP_TRY(append(&out, p.axis));
    }
    out.dims[p.dim] = smaller(p.axis, p.conditions);
    context.output_dtypes[0] = context.inputs[0].dtype;
    context.varying[0] = static_cast<std::uint8_t>(1U << p.dim);
    context.work = elements(in);
    return Status::ok;
}

Status run_compress(const RunContext& context) noexcept {
    const CompressParams& p = context.parameters<CompressParams>();
    const auto* condition = static_cast<const std::uint8_t*>(context.inputs[1]);
    std::uint64_t found = 0;
    for (std::uint64_t i = 0; i < p.conditions; ++i) {
        if (condition[i] != 0 && i >= p.axis) return Status::out_of_range;
        found += condition[i] != 0 ? 1 : 0;
    }
    std::uint64_t to = 0;
    for (std::uint64_t block = 0; block < p.outer; ++block) {
        for (std::uint64_t i = 0; i < smaller(p.conditions, p.axis); ++i) {
            if (condition[i] == 0) continue;
            const std::uint64_t from = (block * p.axis + i) * p.inner;
            copy_elements(p.bytes, element(context.inputs[0], from, p.bytes), 1,
                          element(context.outputs[0], to, p.bytes), 1, p.inner);
            to += p.inner;
        }
    }
    context.output_shapes[0].dims[p.dim] = found;
    return Status::ok;
}

struct UniqueParams : AlongAxis {
    unsigned dim = 0;
    Dtype dtype = Dtype::f32;
    bool sorted = true;
};

Status plan_unique(PlanContext& context) noexcept {
    UniqueParams& p = context.make<UniqueParams>();
    const Shape& in = context.inputs[0].shape;
    p.dtype = context.inputs[0].dtype;
    p.sorted = context.integer(Key::sorted, 1) != 0;
    Shape& out = context.outputs[0];
    if ((context.node.keys() & key_bit(Key::axis)) != 0) {
        BP_TRY(read_axis(context, 0, &p.dim, &p));
        out = in;
    } else {
        p.outer = p.inner = 1;
        p.axis = elements(in);
        BP_TRY(append(&out, p.axis));
    }
    for (unsigned k = 1; k < max_outputs; ++k) {
        BP_TRY(append(&context.outputs[k], p.axis));
        context.output_dtypes[k] = Dtype::i64;
        context.varying[k] = k == 2 ? 0 : 1;  // which of the unique ones each is: one an item
    }
    context.output_dtypes[0] = p.dtype;
    context.varying[0] = static_cast<std::uint8_t>(1U << p.dim);
    context.scratch_floats = 6 * p.axis;  // three places each
    std::uint64_t steps = 1;              // of a heap
    while (steps < 64 && p.axis >> steps != 0) ++steps;
    return checked_mul(2 * elements(in), steps, &context.work) ? Status::ok : Status::too_large;
}

// -1, 0, 1: how two items along the axis compare, element by element.
int compare(const UniqueParams& p, const void* from, std::uint64_t a, std::uint64_t b) noexcept {
    const unsigned bytes = element_bytes(p.dtype);
    for (std::uint64_t i = 0; i < p.outer * p.inner; ++i) {
        const std::uint64_t at = i / p.inner * p.axis * p.inner + i % p.inner;
        const std::uint64_t x = order_key(p.dtype, element(from, at + a * p.inner, bytes));
        const std::uint64_t y = order_key(p.dtype, element(from, at + b * p.inner, bytes));
        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}

Status run_unique(const RunContext& context) noexcept {
    const UniqueParams& p = context.parameters<UniqueParams>();
    const void* from = context.inputs[0];
    auto* places = reinterpret_cast<std::uint64_t*>(context.scratch);
    std::uint64_t* first = places + p.axis;  // of each item: the first that equals it
    std::uint64_t* number = first + p.axis;  // of each first item: which unique one it is
    for (std::uint64_t i = 0; i < p.axis; ++i) places[i] = i;
    sort(places, p.axis, [&](std::uint64_t a, std::uint64_t b) noexcept {
        const int order = compare(p, from, a, b);
        return order < 0 || (order == 0 && a < b);
    });
    for (std::uint64_t i = 0; i < p.axis; ++i) {
        const bool is_new = i == 0 || compare(p, from, places[i - 1], places[i]) != 0;
        first[places[i]] = is_new ? places[i] : first[places[i - 1]];
    }
    std::uint64_t found = 0;
    for (std::uint64_t i = 0; i < p.axis; ++i) {
        const std::uint64_t place = p.sorted ? places[i] : i;
        if (first[place] == place) number[place] = found++;
    }
    const unsigned bytes = element_bytes(p.dtype);
    std::int64_t* out[max_outputs];
    for (unsigned k = 0; k < max_outputs; ++k)
        out[k] = k == 0 ? nullptr : static_cast<std::int64_t*>(context.outputs[k]);
    for (std::uint64_t i = 0; i < p.axis; ++i) {
        const std::uint64_t at = number[first[i]];
        if (out[2] != nullptr) out[2][i] = static_cast<std::int64_t>(at);
        if (out[3] != nullptr) out[3][at] = first[i] == i ? 1 : out[3][at] + 1;
        if (first[i] != i) continue;
        if (out[1] != nullptr) out[1][at] = static_cast<std::int64_t>(i);
        for (std::uint64_t block = 0; block < p.outer; ++block) {
            copy_elements(bytes, element(from, (block * p.axis + i) * p.inner, bytes), 1,
                          element(context.outputs[0], (block * found + at) * p.inner, bytes), 1, p.inner);
        }
    }
    context.output_shapes[0].dims[p.dim] = found;
    context.output_shapes[1].dims[0] = context.output_shapes[3].dims[0] = found;
    return Status::ok;
}

}  // namespace

const Operator op_NonZero = {
    .flags = op_typed | op_empty,
    .param_bytes = sizeof(NonZeroParams),
    .plan = plan_non_zero,
    .run = run_non_zero,
};

const Operator op_Compress = {
    .min_inputs = 2,
    .max_inputs = 2,
    .keys = key_bit(Key::axis),
    .flags = op_typed | op_empty,
    .param_bytes = sizeof(CompressParams),
    .plan = plan_compress,
    .run = run_compress,
};

const Operator op_Unique = {
    .outputs = 4,
    .keys = key_bit(Key::axis) | key_bit(Key::sorted),
    .flags = op_typed,
    .param_bytes = sizeof(UniqueParams),
    .plan = plan_unique,
    .run = run_unique,
};

}  // namespace bitpress
