// Cast: the same numbers in another type; floats to integers are cut towards zero and held inside 64 bits. BitCast: the
// same bytes in another type of the same size.
#include <string.h>

#include "ops/common.h"
#include "ops/numbers.h"

namespace bitpress {
namespace {

struct CastParams {
    std::uint64_t count = 0;
    Dtype from = Dtype::f32;
    Dtype to = Dtype::f32;
};

Status plan_cast(PlanContext& context) noexcept {
    CastParams& p = context.make<CastParams>();
    const std::int64_t to = context.integer(Key::to, -1);
    if (to < 0 || to >= dtype_count) return Status::bad_argument;
    p.from = context.inputs[0].dtype;
    p.to = static_cast<Dtype>(to);
    if (!among(p.to, any_type)) return Status::unsupported;
    p.count = elements(context.inputs[0].shape);
    context.outputs[0] = context.inputs[0].shape;
    context.output_dtypes[0] = p.to;
    context.work = p.count;
    return Status::ok;
}

template <class Number>
void cast_as(const RunContext& context, const CastParams& p) noexcept {
    Number block[block_size];
    for (std::uint64_t done = 0; done < p.count; done += block_size) {
        const std::uint64_t n = smaller(block_size, p.count - done);
        load(p.from, element(context.inputs[0], done, element_bytes(p.from)), 1, n, block);
        store(p.to, block, n, element(context.outputs[0], done, element_bytes(p.to)), 1);
    }
}

Status run_cast(const RunContext& context) noexcept {
    const CastParams& p = context.parameters<CastParams>();
    const bool from_natural = p.from == Dtype::u64 && among(p.to, real_types);
    if (among(p.from, real_types) || p.to == Dtype::boolean || from_natural) {
        cast_as<double>(context, p);
    } else {
        cast_as<std::int64_t>(context, p);
    }
    return Status::ok;
}

Status plan_bit_cast(PlanContext& context) noexcept {
    BP_TRY(plan_cast(context));
    const CastParams& p = context.parameters<CastParams>();
    if (p.to == Dtype::boolean && p.from != p.to) return Status::unsupported;  // not every byte is one
    return element_bytes(p.from) == element_bytes(p.to) ? Status::ok : Status::unsupported;
}

Status run_bit_cast(const RunContext& context) noexcept {
    const CastParams& p = context.parameters<CastParams>();
    if (context.outputs[0] != context.inputs[0]) {
        memcpy(context.outputs[0], context.inputs[0], p.count * element_bytes(p.to));
    }
    return Status::ok;
}

}  // namespace

const Operator op_BitCast = {
    .keys = key_bit(Key::to),
    .flags = op_alias | op_typed | op_empty,
    .param_bytes = sizeof(CastParams),
    .plan = plan_bit_cast,
    .run = run_bit_cast,
};

const Operator op_Cast = {
    .keys = key_bit(Key::to),
    .flags = op_in_place | op_typed | op_empty,
    .param_bytes = sizeof(CastParams),
    .plan = plan_cast,
    .run = run_cast,
};

}  // namespace bitpress
