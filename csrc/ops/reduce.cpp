// Operators that sum, average or compare along axes. Sums are in double: their error is that of the last rounding.
#include <math.h>

#include "ops/common.h"
#include "ops/numbers.h"

namespace bitpress {
namespace {

// -- means ----------------------------------------------------------------------------------------------------------

struct MeanParams {
    Loops<2> kept;     // x, y
    Loops<1> reduced;  // x
    std::uint64_t count = 0;
};

// The mean over the axes in `set`; the output's shape keeps them as 1, or drops them.
Status plan_mean_over(PlanContext& context, unsigned set, bool keep) noexcept {
    MeanParams& p = context.make<MeanParams>();
    const Shape& in = context.inputs[0].shape;
    std::uint64_t strides[max_rank] = {};
    contiguous(in, strides);
    p.count = 1;
    std::uint64_t y_step = 1;
    for (unsigned d = 0; d < in.rank; ++d) y_step *= (set >> d & 1U) != 0 ? 1 : in.dims[d];
    for (unsigned d = 0; d < in.rank; ++d) {
        if ((set >> d & 1U) != 0) {
            p.reduced.add(in.dims[d], {strides[d]});
            p.count *= in.dims[d];
            if (keep) BP_TRY(append(&context.outputs[0], 1));
        } else {
            y_step /= in.dims[d];
            p.kept.add(in.dims[d], {strides[d], y_step});
            BP_TRY(append(&context.outputs[0], in.dims[d]));
        }
    }
    context.work = elements(in);
    context.share(tiles(p.kept.rows(), p.kept.inner()), context.work);
    return Status::ok;
}

Status plan_reduce_mean(PlanContext& context) noexcept {
    unsigned set = 0;
    BP_TRY(axis_set(context.integers(Key::axes), context.inputs[0].shape.rank, true, &set));
    return plan_mean_over(context, set, context.integer(Key::keepdims, 1) != 0);
}

Status plan_global_average(PlanContext& context) noexcept {
    const unsigned rank = context.inputs[0].shape.rank;
    if (rank < 2) return Status::bad_shape;
    return plan_mean_over(context, ((1U << rank) - 1U) & ~3U, true);
}

Status run_mean(const RunContext& context) noexcept {
    const MeanParams& p = context.parameters<MeanParams>();
    const std::uint64_t step = p.reduced.inner_stride(0);
    const double count = static_cast<double>(p.count);
    return in_tiles(context.workers, p.kept, [&](const std::uint64_t (&at)[2], std::uint64_t n) noexcept {
        for (std::uint64_t i = 0; i < n; ++i) {
            const float* x = context.input(0) + at[0] + i * p.kept.inner_stride(0);
            double sum = 0.0;
            p.reduced.each([&](const std::uint64_t (&from)[1]) noexcept {
                const float* line = x + from[0];
                for (std::uint64_t k = 0; k < p.reduced.inner(); ++k) sum += static_cast<double>(line[k * step]);
            });
            context.output()[at[1] + i * p.kept.inner_stride(1)] = static_cast<float>(sum / count);
        }
        return Status::ok;
    });
}

// -- along one axis --------------------------------------------------------------------------------------------------

struct AxisParams : AlongAxis {
    std::uint64_t last = 0;  // ArgMax: of equals, the last
    std::uint64_t least = 0;
    Dtype dtype = Dtype::f32;
};

Status plan_axis(PlanContext& context, std::int64_t fallback, unsigned* axis) noexcept {
    AxisParams& p = context.make<AxisParams>();
    BP_TRY(read_axis(context, fallback, axis, &p));
    context.work = elements(context.inputs[0].shape);
    return Status::ok;
}

Status plan_softmax(PlanContext& context) noexcept {
    unsigned axis = 0;
    BP_TRY(plan_axis(context, -1, &axis));
    context.outputs[0] = context.inputs[0].shape;
    context.share(context.parameters<AxisParams>().outer, 2 * context.work);
    return Status::ok;
}

void softmax(const float* x, std::uint64_t n, std::uint64_t step, float* y) noexcept {
    float top = x[0];
    for (std::uint64_t i = 0; i < n; ++i) top = x[i * step] > top ? x[i * step] : top;
    double sum = 0.0;
    for (std::uint64_t i = 0; i < n; ++i) {
        const float e = expf(x[i * step] - top);
        y[i * step] = e;
        sum += static_cast<double>(e);
    }
    const float scale = static_cast<float>(1.0 / sum);
    for (std::uint64_t i = 0; i < n; ++i) y[i * step] *= scale;
}

Status run_softmax(const RunContext& context) noexcept {
    const AxisParams& p = context.parameters<AxisParams>();
    each_row(context.workers, p.outer, p.axis * p.inner, [&](std::uint64_t i) noexcept {
        for (std::uint64_t j = 0; j < p.inner; ++j) {
            const std::uint64_t at = i * p.axis * p.inner + j;
            if (p.inner == 1) {
                context.kernels->softmax_f32(context.input(0) + at, p.axis, context.output() + at);
                continue;
            }
            softmax(context.input(0) + at, p.axis, p.inner, context.output() + at);
        }
    });
    return Status::ok;
}

Status plan_argmax(PlanContext& context) noexcept {
    unsigned axis = 0;
    BP_TRY(plan_axis(context, 0, &axis));
    AxisParams& p = context.parameters<AxisParams>();
    p.last = context.integer(Key::select_last_index, 0) != 0 ? 1 : 0;
    p.least = context.node.op == OpId::ArgMin ? 1 : 0;
    p.dtype = context.inputs[0].dtype;
    if (!among(p.dtype, number_types & ~type_bit(Dtype::u64))) return Status::unsupported;
    const Shape& in = context.inputs[0].shape;
    const bool keep = context.integer(Key::keepdims, 1) != 0;
    for (unsigned d = 0; d < in.rank; ++d) {
        if (d != axis) BP_TRY(append(&context.outputs[0], in.dims[d]));
        if (d == axis && keep) BP_TRY(append(&context.outputs[0], 1));
    }
    context.output_dtypes[0] = Dtype::i64;
    return Status::ok;
}

template <class Number>
std::int64_t best_of(const AxisParams& p, const void* x) noexcept {
    const unsigned bytes = element_bytes(p.dtype);
    Number best{};
    std::uint64_t place = 0;
    Number block[block_size];
    for (std::uint64_t done = 0; done < p.axis; done += block_size) {
        const std::uint64_t n = smaller(block_size, p.axis - done);
        load(p.dtype, element(x, done * p.inner, bytes), p.inner, n, block);
        for (std::uint64_t k = 0; k < n; ++k) {
            const Number value = block[k];
            const bool better = p.least != 0 ? value < best : value > best;
            if (done + k > 0 && !better && !(p.last != 0 && value == best)) continue;
            best = value;
            place = done + k;
        }
    }
    return static_cast<std::int64_t>(place);
}

Status run_argmax(const RunContext& context) noexcept {
    const AxisParams& p = context.parameters<AxisParams>();
    const bool real = among(p.dtype, real_types);
    auto* out = static_cast<std::int64_t*>(context.outputs[0]);
    for (std::uint64_t i = 0; i < p.outer; ++i) {
        for (std::uint64_t j = 0; j < p.inner; ++j) {
            const void* x = element(context.inputs[0], i * p.axis * p.inner + j, element_bytes(p.dtype));
            *out++ = real ? best_of<double>(p, x) : best_of<std::int64_t>(p, x);
        }
    }
    return Status::ok;
}

constexpr Operator best() noexcept {
    return {
        .keys = key_bit(Key::axis) | key_bit(Key::keepdims) | key_bit(Key::select_last_index),
        .flags = op_typed,
        .param_bytes = sizeof(AxisParams),
        .plan = plan_argmax,
        .run = run_argmax,
    };
}

}  // namespace

const Operator op_ReduceMean = {
    .keys = key_bit(Key::axes) | key_bit(Key::keepdims),
    .param_bytes = sizeof(MeanParams),
    .plan = plan_reduce_mean,
    .run = run_mean,
};

const Operator op_GlobalAveragePool = {.param_bytes = sizeof(MeanParams), .plan = plan_global_average, .run = run_mean};

const Operator op_Softmax = {
    .keys = key_bit(Key::axis),
    .flags = op_in_place,
    .param_bytes = sizeof(AxisParams),
    .plan = plan_softmax,
    .run = run_softmax,
};

const Operator op_ArgMax = best();
const Operator op_ArgMin = best();

}  // namespace bitpress
