// Operators of one element or of two broadcast ones.
#include <math.h>

#include "ops/common.h"
#include "ops/functions.h"

namespace bitpress {
namespace {

constexpr std::uint64_t clip_keys = key_bit(Key::clip_low) | key_bit(Key::clip_high);

// -- two inputs -----------------------------------------------------------------------------------------------------

struct BinaryParams {
    Loops<3> loops;  // a, b, y
    Bounds bounds;
};

Status plan_binary(PlanContext& context) noexcept {
    BinaryParams& p = context.make<BinaryParams>();
    Shape& out = context.outputs[0];
    BP_TRY(broadcast(context.inputs[0].shape, context.inputs[1].shape, &out));
    BP_TRY(read_bounds(context, &p.bounds));
    std::uint64_t y_strides[max_rank] = {};
    contiguous(out, y_strides);
    std::uint64_t in_strides[2][max_rank] = {};
    for (unsigned i = 0; i < 2; ++i) broadcast_strides(context.inputs[i].shape, out, in_strides[i]);
    for (unsigned d = 0; d < out.rank; ++d)
        p.loops.add(out.dims[d], {in_strides[0][d], in_strides[1][d], y_strides[d]});
    context.work = 1;
    for (unsigned d = 0; d < out.rank; ++d) {
        if (!checked_mul(context.work, out.dims[d], &context.work)) return Status::too_large;
    }
    context.share(tiles(p.loops.rows(), p.loops.inner()), context.work / 2);
    return Status::ok;
}

template <unsigned op>
Status run_binary(const RunContext& context) noexcept {
    const BinaryParams& p = context.parameters<BinaryParams>();
    const float* a = context.input(0);
    const float* b = context.input(1);
    float* y = context.output();
    const std::uint64_t a_step = p.loops.inner_stride(0);
    const std::uint64_t b_step = p.loops.inner_stride(1);
    return in_tiles(context.workers, p.loops, [&](const std::uint64_t (&at)[3], std::uint64_t n) noexcept {
        context.kernels->binary_f32(op, a + at[0], a_step, b + at[1], b_step, y + at[2], n, p.bounds.low,
                                    p.bounds.high);
        return Status::ok;
    });
}

constexpr Operator binary(Status (*run)(const RunContext&) noexcept, std::uint64_t keys = clip_keys) noexcept {
    return {
        .min_inputs = 2,
        .max_inputs = 2,
        .keys = keys,
        .flags = op_in_place | op_empty,
        .param_bytes = sizeof(BinaryParams),
        .plan = plan_binary,
        .run = run,
        .otherwise = &typed_binary,
    };
}

// -- one input ------------------------------------------------------------------------------------------------------

struct UnaryParams {
    std::uint64_t count = 0;
    float alpha = 0.0F;
    float beta = 0.0F;
    Bounds bounds;
};

// nanoseconds: of an element.
Status finish_unary(PlanContext& context, std::uint64_t nanoseconds = 1) noexcept {
    UnaryParams& p = context.parameters<UnaryParams>();
    context.outputs[0] = context.inputs[0].shape;
    p.count = elements(context.inputs[0].shape);
    context.work = p.count;
    context.share(tiles(1, p.count), p.count * nanoseconds);
    return Status::ok;
}

Status plan_unary(PlanContext& context) noexcept {
    context.make<UnaryParams>();
    return finish_unary(context, 4);
}

template <float function(float) noexcept>
Status run_unary(const RunContext& context) noexcept {
    const UnaryParams& p = context.parameters<UnaryParams>();
    const float* x = context.input(0);
    float* y = context.output();
    each_tile(context.workers, p.count, [&](std::uint64_t first, std::uint64_t n) noexcept {
        for (std::uint64_t i = first; i < first + n; ++i) y[i] = function(x[i]);
    });
    return Status::ok;
}

// y = clip(alpha * x + beta).
Status run_affine(const RunContext& context) noexcept {
    const UnaryParams& p = context.parameters<UnaryParams>();
    each_tile(context.workers, p.count, [&](std::uint64_t first, std::uint64_t n) noexcept {
        context.kernels->affine_f32(context.input(0) + first, n, p.alpha, p.beta, p.bounds.low, p.bounds.high,
                                    context.output() + first);
    });
    return Status::ok;
}

Status plan_relu(PlanContext& context) noexcept {
    UnaryParams& p = context.make<UnaryParams>();
    p.alpha = 1.0F;
    p.bounds = {0.0F, __builtin_inff()};
    return finish_unary(context);
}

Status plan_clip(PlanContext& context) noexcept {
    UnaryParams& p = context.make<UnaryParams>();
    p.alpha = 1.0F;
    BP_TRY(read_bounds(context, &p.bounds));
    return finish_unary(context);
}

Status plan_hard_sigmoid(PlanContext& context) noexcept {
    UnaryParams& p = context.make<UnaryParams>();
    p.alpha = context.real(Key::alpha, 0.2F);
    p.beta = context.real(Key::beta, 0.5F);
    p.bounds = {0.0F, 1.0F};
    return finish_unary(context);
}

Status plan_leaky_relu(PlanContext& context) noexcept {
    context.make<UnaryParams>().alpha = context.real(Key::alpha, 0.01F);
    return finish_unary(context);
}

Status run_leaky_relu(const RunContext& context) noexcept {
    const UnaryParams& p = context.parameters<UnaryParams>();
    const float* x = context.input(0);
    float* y = context.output();
    each_tile(context.workers, p.count, [&](std::uint64_t first, std::uint64_t n) noexcept {
        for (std::uint64_t i = first; i < first + n; ++i) y[i] = x[i] < 0.0F ? p.alpha * x[i] : x[i];
    });
    return Status::ok;
}

Status plan_gelu(PlanContext& context) noexcept {
    const std::int64_t approximate = context.integer(Key::approximate, 0);
    if (approximate != 0 && approximate != 1) return Status::bad_argument;
    context.make<UnaryParams>().alpha = static_cast<float>(approximate);
    return finish_unary(context);
}

Status run_gelu(const RunContext& context) noexcept {
    const UnaryParams& p = context.parameters<UnaryParams>();
    each_tile(context.workers, p.count, [&](std::uint64_t first, std::uint64_t n) noexcept {
        context.kernels->gelu_f32(p.alpha != 0.0F, context.input(0) + first, n, context.output() + first);
    });
    return Status::ok;
}

Status run_sigmoid(const RunContext& context) noexcept {
    const UnaryParams& p = context.parameters<UnaryParams>();
    each_tile(context.workers, p.count, [&](std::uint64_t first, std::uint64_t n) noexcept {
        context.kernels->sigmoid_f32(context.input(0) + first, n, context.output() + first);
    });
    return Status::ok;
}

float hyperbolic_tangent(float x) noexcept { return tanhf(x); }
float error_function(float x) noexcept { return erff(x); }
float exponential(float x) noexcept { return expf(x); }
float square_root(float x) noexcept { return sqrtf(x); }
float hard_swish(float x) noexcept {
    const float gate = x * (1.0F / 6.0F) + 0.5F;
    return x * (gate < 0.0F ? 0.0F : gate > 1.0F ? 1.0F : gate);
}

constexpr Operator unary(Status (*run)(const RunContext&) noexcept, Status (*plan)(PlanContext&) noexcept = plan_unary,
                         std::uint64_t keys = 0) noexcept {
    return {.keys = keys,
            .flags = op_in_place | op_empty,
            .param_bytes = sizeof(UnaryParams),
            .plan = plan,
            .run = run,
            .otherwise = &typed_unary};
}

}  // namespace

const Operator op_Add = binary(run_binary<0>);
const Operator op_Sub = binary(run_binary<1>);
const Operator op_Mul = binary(run_binary<2>);
const Operator op_Div = binary(run_binary<3>);
const Operator op_Max = binary(run_binary<4>, 0);
const Operator op_Min = binary(run_binary<5>, 0);

const Operator op_Relu = unary(run_affine, plan_relu);
const Operator op_Clip = unary(run_affine, plan_clip, clip_keys);
const Operator op_HardSigmoid = unary(run_affine, plan_hard_sigmoid, key_bit(Key::alpha) | key_bit(Key::beta));
const Operator op_LeakyRelu = unary(run_leaky_relu, plan_leaky_relu, key_bit(Key::alpha));
const Operator op_Gelu = unary(run_gelu, plan_gelu, key_bit(Key::approximate));
const Operator op_Sigmoid = unary(run_sigmoid);
const Operator op_Tanh = unary(run_unary<hyperbolic_tangent>);
const Operator op_Erf = unary(run_unary<error_function>);
const Operator op_Exp = unary(run_unary<exponential>);
const Operator op_Sqrt = unary(run_unary<square_root>);
const Operator op_HardSwish = unary(run_unary<hard_swish>);

}  // namespace bitpress
