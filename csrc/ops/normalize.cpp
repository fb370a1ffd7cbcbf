// BatchNormalization with its stored statistics: one scale and one shift a channel.
#include <math.h>

#include "ops/common.h"

namespace bitpress {
namespace {

struct NormalizeParams {
    std::uint64_t batch = 0;
    std::uint64_t channels = 0;
    std::uint64_t plane = 0;
    float epsilon = 0.0F;
    Bounds bounds;
};

Status plan_batch_normalization(PlanContext& context) noexcept {
    NormalizeParams& p = context.make<NormalizeParams>();
    const Shape& in = context.inputs[0].shape;
    if (in.rank < 2) return Status::bad_shape;
    for (unsigned i = 1; i < 5; ++i) {
        const Shape& shape = context.inputs[i].shape;
        if (shape.rank != 1 || shape.dims[0] != in.dims[1]) return Status::bad_shape;
    }
    p.batch = in.dims[0];
    p.channels = in.dims[1];
    p.plane = elements(in, 2, in.rank);
    p.epsilon = context.real(Key::epsilon, 1e-5F);
    BP_TRY(read_bounds(context, &p.bounds));
    context.outputs[0] = in;
    context.work = elements(in);
    context.share(p.batch * p.channels, context.work / 2);
    return Status::ok;
}

Status run_batch_normalization(const RunContext& context) noexcept {
    const NormalizeParams& p = context.parameters<NormalizeParams>();
    each_row(context.workers, p.batch * p.channels, p.plane, [&](std::uint64_t i) noexcept {
        const std::uint64_t channel = i % p.channels;
        const float scale = context.input(1)[channel] / sqrtf(context.input(4)[channel] + p.epsilon);
        const float shift = context.input(2)[channel] - context.input(3)[channel] * scale;
        context.kernels->affine_f32(context.input(0) + i * p.plane, p.plane, scale, shift, p.bounds.low, p.bounds.high,
                                    context.output() + i * p.plane);
    });
    return Status::ok;
}

}  // namespace

const Operator op_BatchNormalization = {
    .min_inputs = 5,
    .max_inputs = 5,
    .keys = key_bit(Key::epsilon) | key_bit(Key::clip_low) | key_bit(Key::clip_high),
    .flags = op_in_place,
    .param_bytes = sizeof(NormalizeParams),
    .plan = plan_batch_normalization,
    .run = run_batch_normalization,
};

}  // namespace bitpress
