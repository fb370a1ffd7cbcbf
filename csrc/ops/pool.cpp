// Poolings over sliding windows, and over whole planes.
#include "ops/window.h"

namespace bitpress {
namespace {

struct PoolParams {
    Window window;
    std::uint64_t planes = 0;
    std::uint64_t count_padding = 0;  // AveragePool: padding counts as elements
};

Status plan_pool(PlanContext& context) noexcept {
    PoolParams& p = context.make<PoolParams>();
    const Shape& x = context.inputs[0].shape;
    if (x.rank != 3 && x.rank != 4) return Status::unsupported;
    const std::span<const std::int64_t> shape = context.integers(Key::kernel_shape);
    if (shape.size() != x.rank - 2) return Status::bad_shape;
    std::uint64_t kernel[2] = {};
    for (std::uint32_t i = 0; i < shape.size(); ++i) {
        if (shape[i] < 1) return Status::bad_argument;
        kernel[i] = static_cast<std::uint64_t>(shape[i]);
    }
    Shape& out = context.outputs[0];
    BP_TRY(append(&out, x.dims[0]));
    BP_TRY(append(&out, x.dims[1]));
    const bool ceil_mode = context.integer(Key::ceil_mode, 0) != 0;
    BP_TRY(read_window(context, x, kernel, ceil_mode, &p.window, &out));
    for (const WindowAxis* axis : {&p.window.y, &p.window.x}) {  // no window lies in the padding alone
        if (larger(axis->pad_begin, axis->pad_end) > (axis->kernel - 1) * axis->dilation) return Status::bad_argument;
    }
    p.window.lay_flat();
    p.planes = x.dims[0] * x.dims[1];
    p.count_padding = context.integer(Key::count_include_pad, 0) != 0 ? 1 : 0;
    // A window visits at most the elements of its plane.
    const std::uint64_t plane = p.window.y.in * p.window.x.in;
    const std::uint64_t window = smaller(p.window.y.kernel, p.window.y.in) * smaller(p.window.x.kernel, p.window.x.in);
    std::uint64_t work = p.window.y.out;
    if (!checked_mul(work, p.window.x.out, &work) || !checked_mul(work, smaller(window, plane), &work) ||
        !checked_mul(work, p.planes, &work)) {
        return Status::too_large;
    }
    context.work = work;
    context.share(p.planes, work);
    return Status::ok;
}

struct MaxOf {
    float value = -__builtin_inff();
    void add(float x) noexcept { value = x > value || x != x ? x : value; }
};

struct SumOf {
    float value = 0.0F;
    void add(float x) noexcept { value += x; }
};

// result(accumulator, how many elements it saw, oy, ox) -> the output element.
template <class Accumulator, class Result>
void pool(const RunContext& context, const PoolParams& p, Result result) noexcept {
    const WindowAxis& ay = p.window.y;
    const WindowAxis& ax = p.window.x;
    each_row(context.workers, p.planes, ay.in * ax.in, [&](std::uint64_t i) noexcept {
        const float* plane = context.input(0) + i * ay.in * ax.in;
        float* out = context.output() + i * ay.out * ax.out;
        for (std::uint64_t oy = 0; oy < ay.out; ++oy) {
            std::uint64_t y0 = 0;
            std::uint64_t y1 = 0;
            ay.valid(oy, &y0, &y1);
            for (std::uint64_t ox = 0; ox < ax.out; ++ox) {
                std::uint64_t x0 = 0;
                std::uint64_t x1 = 0;
                ax.valid(ox, &x0, &x1);
                Accumulator sum;
                for (std::uint64_t ky = y0; ky < y1; ++ky) {
                    const float* line = plane + (oy * ay.stride + ky * ay.dilation - ay.pad_begin) * ax.in;
                    for (std::uint64_t kx = x0; kx < x1; ++kx)
                        sum.add(line[ox * ax.stride + kx * ax.dilation - ax.pad_begin]);
                }
                *out++ = result(sum, (y1 - y0) * (x1 - x0), oy, ox);
            }
        }
    });
}

Status run_max_pool(const RunContext& context) noexcept {
    pool<MaxOf>(context, context.parameters<PoolParams>(),
                [](const MaxOf& max, std::uint64_t, std::uint64_t, std::uint64_t) noexcept { return max.value; });
    return Status::ok;
}

// Kernel positions of output o that fall inside the input or its padding.
std::uint64_t covered(const WindowAxis& axis, std::uint64_t o) noexcept {
    const std::uint64_t left = axis.in + axis.pad_begin + axis.pad_end - o * axis.stride;
    return smaller(axis.kernel, (left + axis.dilation - 1) / axis.dilation);
}

Status run_average_pool(const RunContext& context) noexcept {
    const PoolParams& p = context.parameters<PoolParams>();
    pool<SumOf>(context, p, [&p](const SumOf& sum, std::uint64_t seen, std::uint64_t oy, std::uint64_t ox) noexcept {
        const std::uint64_t count = p.count_padding != 0 ? covered(p.window.y, oy) * covered(p.window.x, ox) : seen;
        return sum.value / static_cast<float>(count);
    });
    return Status::ok;
}

constexpr std::uint64_t pool_keys = key_bit(Key::kernel_shape) | key_bit(Key::strides) | key_bit(Key::pads) |
                                    key_bit(Key::dilations) | key_bit(Key::auto_pad) | key_bit(Key::ceil_mode);

}  // namespace

const Operator op_MaxPool = {
    .keys = pool_keys, .param_bytes = sizeof(PoolParams), .plan = plan_pool, .run = run_max_pool};

const Operator op_AveragePool = {
    .keys = pool_keys | key_bit(Key::count_include_pad),
    .param_bytes = sizeof(PoolParams),
    .plan = plan_pool,
    .run = run_average_pool,
};

}  // namespace bitpress
