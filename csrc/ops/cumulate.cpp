// Running sums and products along one axis: in double, or in integers that wrap around.
#include "ops/common.h"
#include "ops/numbers.h"

namespace bitpress {
namespace {

struct CumulateParams : AlongAxis {
    Dtype dtype = Dtype::f32;
    bool product = false;
    bool exclusive = false;
    bool reverse = false;
};

Status plan_cumulate(PlanContext& context) noexcept {
    CumulateParams& p = context.make<CumulateParams>();
    const Shape& in = context.inputs[0].shape;
    p.dtype = context.inputs[0].dtype;
    if (!among(p.dtype, number_types)) return Status::unsupported;
    unsigned axis = 0;
    BP_TRY(read_axis(context, 0, &axis, &p));
    p.product = context.node.op == OpId::CumProd;
    p.exclusive = context.integer(Key::exclusive, 0) != 0;
    p.reverse = context.integer(Key::reverse, 0) != 0;
    context.outputs[0] = in;
    context.output_dtypes[0] = p.dtype;
    context.work = elements(in);
    return Status::ok;
}

double join(bool product, double a, double b) noexcept { return product ? a * b : a + b; }
std::int64_t join(bool product, std::int64_t a, std::int64_t b) noexcept {
    const auto x = static_cast<std::uint64_t>(a);
    const auto y = static_cast<std::uint64_t>(b);
    return static_cast<std::int64_t>(product ? x * y : x + y);
}

template <class Number>
void cumulate(const RunContext& context, const CumulateParams& p) noexcept {
    const unsigned bytes = element_bytes(p.dtype);
    for (std::uint64_t row = 0; row < p.outer * p.inner; ++row) {
        const std::uint64_t first = row / p.inner * p.axis * p.inner + row % p.inner;
        Number sum = p.product ? 1 : 0;
        for (std::uint64_t i = 0; i < p.axis; ++i) {
            const std::uint64_t at = first + (p.reverse ? p.axis - 1 - i : i) * p.inner;
            Number x = 0;
            load(p.dtype, element(context.inputs[0], at, bytes), 0, 1, &x);
            const Number next = join(p.product, sum, x);
            store(p.dtype, p.exclusive ? &sum : &next, 1, element(context.outputs[0], at, bytes), 0);
            sum = next;
        }
    }
}

Status run_cumulate(const RunContext& context) noexcept {
    const CumulateParams& p = context.parameters<CumulateParams>();
    if (among(p.dtype, real_types)) {
        cumulate<double>(context, p);
    } else {
        cumulate<std::int64_t>(context, p);
    }
    return Status::ok;
}

constexpr Operator op_cumulate = {
    .keys = key_bit(Key::axis) | key_bit(Key::exclusive) | key_bit(Key::reverse),
    .flags = op_in_place | op_typed,
    .param_bytes = sizeof(CumulateParams),
    .plan = plan_cumulate,
    .run = run_cumulate,
};

}  // namespace

const Operator op_CumSum = op_cumulate;
const Operator op_CumProd = op_cumulate;

}  // namespace bitpress
