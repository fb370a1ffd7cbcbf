// Range and Shape: numbers that follow from numbers and from shapes.
#include "ops/common.h"
#include "ops/numbers.h"

namespace bitpress {
namespace {

struct RangeParams {
    Dtype dtype = Dtype::f32;
    std::uint64_t bound = 0;
};

Status plan_range(PlanContext& context) noexcept {
    RangeParams& p = context.make<RangeParams>();
    p.dtype = context.inputs[0].dtype;
    if (!among(p.dtype, number_types)) return Status::unsupported;
    for (unsigned i = 0; i < 3; ++i) {
        if (context.inputs[i].dtype != p.dtype) return Status::unsupported;
        if (elements(context.inputs[i].shape) != 1) return Status::bad_shape;
    }
    const std::int64_t bound = context.integer(Key::bound, 0);
    if (bound < 1) return Status::bad_argument;
    p.bound = static_cast<std::uint64_t>(bound);
    BP_TRY(append(&context.outputs[0], p.bound));
    context.output_dtypes[0] = p.dtype;
    context.varying[0] = 1;
    context.work = p.bound;
    return Status::ok;
}

// Whole numbers of at most 64 bits, modulo 2^64: start, start + step, ... while they are short of the limit.
Status count_integers(Dtype dtype, const std::int64_t (&ends)[3], std::uint64_t* count) noexcept {
    const bool up = dtype == Dtype::u64 || ends[2] > 0;
    const auto order = [&](std::int64_t x) noexcept {
        return static_cast<std::uint64_t>(x) ^ (dtype == Dtype::u64 ? 0 : std::uint64_t{1} << 63);
    };
    const std::uint64_t from = order(up ? ends[0] : ends[1]);
    const std::uint64_t to = order(up ? ends[1] : ends[0]);
    const std::uint64_t step = up ? static_cast<std::uint64_t>(ends[2]) : 0 - static_cast<std::uint64_t>(ends[2]);
    if (step == 0) return Status::out_of_range;
    *count = to > from ? (to - from - 1) / step + 1 : 0;
    return Status::ok;
}

Status run_range(const RunContext& context) noexcept {
    const RangeParams& p = context.parameters<RangeParams>();
    const unsigned bytes = element_bytes(p.dtype);
    std::uint64_t count = 0;
    double real[3] = {};
    std::int64_t whole[3] = {};
    for (unsigned i = 0; i < 3; ++i) {
        load(p.dtype, context.inputs[i], 0, 1, &real[i]);
        load(p.dtype, context.inputs[i], 0, 1, &whole[i]);
    }
    if (among(p.dtype, real_types)) {
        const double exact = __builtin_ceil((real[1] - real[0]) / real[2]);
        if (__builtin_isnan(exact)) return Status::not_finite;
        if (exact > static_cast<double>(p.bound)) return Status::too_large;
        count = exact > 0.0 ? static_cast<std::uint64_t>(exact) : 0;
    } else {
        BP_TRY(count_integers(p.dtype, whole, &count));
    }
    if (count > p.bound) return Status::too_large;
    for (std::uint64_t i = 0; i < count; ++i) {
        void* to = element(context.outputs[0], i, bytes);
        if (among(p.dtype, real_types)) {
            const double value = real[0] + static_cast<double>(i) * real[2];
            store(p.dtype, &value, 1, to, 1);
        } else {
            const auto value = static_cast<std::int64_t>(static_cast<std::uint64_t>(whole[0]) +
                                                         i * static_cast<std::uint64_t>(whole[2]));
            store(p.dtype, &value, 1, to, 1);
        }
    }
    context.output_shapes[0].dims[0] = count;
    return Status::ok;
}

Status plan_shape(PlanContext& context) noexcept {
    context.make<Shape>() = context.inputs[0].shape;
    BP_TRY(append(&context.outputs[0], context.inputs[0].shape.rank));
    context.output_dtypes[0] = Dtype::i64;
    context.work = context.inputs[0].shape.rank;
    return Status::ok;
}

Status run_shape(const RunContext& context) noexcept {
    const Shape& shape = context.parameters<Shape>();
    for (unsigned d = 0; d < shape.rank; ++d)
        static_cast<std::int64_t*>(context.outputs[0])[d] = static_cast<std::int64_t>(shape.dims[d]);
    return Status::ok;
}

}  // namespace

const Operator op_Range = {
    .min_inputs = 3,
    .max_inputs = 3,
    .keys = key_bit(Key::bound),
    .flags = op_typed,
    .param_bytes = sizeof(RangeParams),
    .plan = plan_range,
    .run = run_range,
};

const Operator op_Shape = {
    .flags = op_typed | op_empty,
    .param_bytes = sizeof(Shape),
    .plan = plan_shape,
    .run = run_shape,
};

}  // namespace bitpress
