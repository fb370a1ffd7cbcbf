// LayerNormalization: each row of the last axes to mean 0 and variance 1, then scaled and shifted (Ba et al., 2016).
#include "ops/common.h"

namespace bitpress {
namespace {

struct LayerNormParams {
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
    std::uint64_t scales = 0;  // that many factors repeat along a row
    std::uint64_t shifts = 0;  // 0: none
    double epsilon = 0.0;
};

// Factors are as long as a row, or one alone.
Status read_factors(const Shape& shape, std::uint64_t columns, std::uint64_t* count) noexcept {
    *count = elements(shape);
    return *count == columns || *count == 1 ? Status::ok : Status::bad_shape;
}

Status plan_layer_norm(PlanContext& context) noexcept {
    LayerNormParams& p = context.make<LayerNormParams>();
    const Shape& in = context.inputs[0].shape;
    unsigned axis = 0;
    BP_TRY(normalize_axis(context.integer(Key::axis, -1), in.rank, &axis));
    p.rows = elements(in, 0, axis);
    p.columns = elements(in, axis, in.rank);
    BP_TRY(read_factors(context.inputs[1].shape, p.columns, &p.scales));
    if (context.has(2)) BP_TRY(read_factors(context.inputs[2].shape, p.columns, &p.shifts));
    p.epsilon = static_cast<double>(context.real(Key::epsilon, 1e-5F));
    context.outputs[0] = in;
    context.work = elements(in);
    context.share(p.rows, context.work);
    return Status::ok;
}

Status run_layer_norm(const RunContext& context) noexcept {
    const LayerNormParams& p = context.parameters<LayerNormParams>();
    const float* scale = context.input(1);
    const float* shift = p.shifts > 0 ? context.input(2) : nullptr;
    each_row(context.workers, p.rows, p.columns, [&](std::uint64_t row) noexcept {
        context.kernels->layer_norm_f32(context.input(0) + row * p.columns, p.columns, scale, p.scales == 1 ? 0 : 1,
                                        shift, p.shifts == 1 ? 0 : 1, p.epsilon, context.output() + row * p.columns);
    });
    return Status::ok;
}

}  // namespace

const Operator op_LayerNormalization = {
    .min_inputs = 2,
    .max_inputs = 3,
    .keys = key_bit(Key::axis) | key_bit(Key::epsilon),
    .flags = op_in_place,
    .param_bytes = sizeof(LayerNormParams),
    .plan = plan_layer_norm,
    .run = run_layer_norm,
};

}  // namespace bitpress
