// RoundTo: floats rounded to a narrower format and held as F32. So values of F16, BF16 and the 8- and 4-bit floats run.
#include <math.h>

#include "ops/common.h"
#include "ops/numbers.h"

namespace bitpress {
namespace {

enum Overflow : std::uint64_t { saturates = 0, to_infinity = 1, to_nan = 2 };
enum Flags : std::uint64_t { unsigned_zero = 1, powers = 2 };

struct RoundParams {
    std::uint64_t count = 0;
    std::int64_t mantissa = 0;  // bits after the leading one
    std::int64_t exponent = 0;  // of the least normal number
    std::uint64_t overflow = saturates;
    std::uint64_t flags = 0;
    double most = 0.0;
    Dtype dtype = Dtype::f32;
};

Status plan_round_to(PlanContext& context) noexcept {
    RoundParams& p = context.make<RoundParams>();
    const std::span<const std::int64_t> format = context.integers(Key::format);
    if (format.size() != 4) return Status::bad_argument;
    if (format[0] < 0 || format[0] > 23 || format[1] < -149 || format[1] > 127) return Status::bad_argument;
    if (format[2] < 0 || format[2] > 2 || format[3] < 0 || format[3] > 3) return Status::bad_argument;
    p.mantissa = format[0];
    p.exponent = format[1];
    p.overflow = static_cast<std::uint64_t>(format[2]);
    p.flags = static_cast<std::uint64_t>(format[3]);
    p.most = static_cast<double>(context.real(Key::alpha, 0.0F));
    if (!(p.most > 0.0) || p.most > HUGE_VAL) return Status::bad_argument;
    p.dtype = context.inputs[0].dtype;
    if (!among(p.dtype, real_types)) return Status::unsupported;
    p.count = elements(context.inputs[0].shape);
    context.outputs[0] = context.inputs[0].shape;
    context.output_dtypes[0] = Dtype::f32;
    context.work = p.count;
    return Status::ok;
}

double round_to(double x, const RoundParams& p) noexcept {
    const bool up = (p.flags & powers) != 0;
    if (__builtin_isnan(x) || (up && x < 0.0)) return __builtin_nan("");
    const double size = fabs(x);
    int exponent = static_cast<int>(p.exponent);
    if (size > 0.0 && size <= p.most) {
        int own = 0;
        (void)frexp(size, &own);
        if (own - 1 > exponent) exponent = own - 1;
    }
    const double step = ldexp(1.0, exponent - static_cast<int>(p.mantissa));
    double result = size;
    if (size <= p.most) {
        result = (up ? ceil(size / step) : rint(size / step)) * step;
        if (up && result == 0.0) result = step;
        if (up) result = exp2(ceil(log2(result)));
    } else if (size < HUGE_VAL) {  // just above the largest: to nearest even may still lead to it
        int own = 0;
        (void)frexp(p.most, &own);
        const double last = ldexp(1.0, own - 1 - static_cast<int>(p.mantissa));
        result = up ? size : rint(size / last) * last;
    }
    if (result > p.most) {
        result = p.overflow == saturates ? p.most : p.overflow == to_infinity ? HUGE_VAL : __builtin_nan("");
    }
    if (result == 0.0 && (p.flags & unsigned_zero) != 0) return 0.0;
    return copysign(result, x);
}

Status run_round_to(const RunContext& context) noexcept {
    const RoundParams& p = context.parameters<RoundParams>();
    double block[block_size];
    for (std::uint64_t done = 0; done < p.count; done += block_size) {
        const std::uint64_t n = smaller(block_size, p.count - done);
        load(p.dtype, element(context.inputs[0], done, element_bytes(p.dtype)), 1, n, block);
        for (std::uint64_t i = 0; i < n; ++i) block[i] = round_to(block[i], p);
        store(Dtype::f32, block, n, element(context.outputs[0], done, sizeof(float)), 1);
    }
    return Status::ok;
}

}  // namespace

const Operator op_RoundTo = {
    .keys = key_bit(Key::format) | key_bit(Key::alpha),
    .flags = op_in_place | op_typed | op_empty,
    .param_bytes = sizeof(RoundParams),
    .plan = plan_round_to,
    .run = run_round_to,
};

}  // namespace bitpress
