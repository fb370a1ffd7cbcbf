// Depthwise convolution: each plane is copied with its padding, then each output row is one kernel call.
#include <string.h>

#include "ops/conv.h"

namespace bitpress {
namespace {

constexpr std::uint64_t slack = 32;  // floats the kernel may read past the last one used

std::uint64_t padded(const WindowAxis& axis) noexcept { return axis.in + axis.pad_begin + axis.pad_end; }

void copy_plane(const Window& window, const float* plane, float* out) noexcept {
    const std::uint64_t width = padded(window.x);
    memset(out, 0, window.y.pad_begin * width * sizeof(float));
    out += window.y.pad_begin * width;
    for (std::uint64_t y = 0; y < window.y.in; ++y, out += width, plane += window.x.in) {
        for (std::uint64_t x = 0; x < window.x.pad_begin; ++x) out[x] = 0.0F;
        memcpy(out + window.x.pad_begin, plane, window.x.in * sizeof(float));
        for (std::uint64_t x = window.x.pad_begin + window.x.in; x < width; ++x) out[x] = 0.0F;
    }
    memset(out, 0, (window.y.pad_end * width + slack) * sizeof(float));
}

}  // namespace

Status plan_depthwise(PlanContext& context, ConvParams* p, bool in_place_weights) noexcept {
    std::uint64_t plane = 0;
    if (!checked_mul(padded(p->window.y), padded(p->window.x), &plane) || plane > max_elements)
        return Status::too_large;
    const std::uint64_t rows = p->groups * p->out_channels;
    p->block_m = smaller(rows, larger(tile_target / p->k, 1));
    context.tile_floats = in_place_weights ? 0 : p->block_m * p->k;
    p->cursor_floats = WeightRows::cursor_floats(context.inputs[1].stored, rows);
    context.scratch_floats = p->cursor_floats + round_up(plane + slack, 16) + context.tile_floats;
    return Status::ok;
}

Status run_depthwise(const RunContext& context, const ConvParams& p) noexcept {
    const Window& window = p.window;
    const std::uint64_t width = padded(window.x);
    const std::uint64_t rows = p.groups * p.out_channels;
    const float* bias = context.input_count > 2 ? context.input(2) : nullptr;
    float* plane = context.scratch + p.cursor_floats;
    float* tile = plane + round_up(padded(window.y) * width + slack, 16);
    WeightRows weights = context.stored[1] != nullptr ? WeightRows(*context.stored[1], rows, p.k, context.scratch)
                                                      : WeightRows(context.input(1), p.k);
    for (std::uint64_t image = 0; image < p.batch; ++image) {
        weights.rewind();
        const float* w = nullptr;
        std::size_t stride = 0;
        for (std::uint64_t row = 0; row < rows; ++row) {
            const std::uint64_t in_tile = row % p.block_m;
            if (in_tile == 0) BP_TRY(weights.read(row, smaller(p.block_m, rows - row), 0, p.k, tile, &w, &stride));
            if (row % p.out_channels == 0) {
                copy_plane(window, context.input(0) + (image * p.groups + row / p.out_channels) * p.in_plane(), plane);
            }
            float* out = context.output() + (image * rows + row) * p.n;
            for (std::uint64_t y = 0; y < window.y.out; ++y) {
                context.kernels->depthwise_f32(plane + y * window.y.stride * width, w + in_tile * stride,
                                               window.y.kernel, window.x.kernel, window.y.dilation * width,
                                               window.x.dilation, window.x.stride, bias == nullptr ? 0.0F : bias[row],
                                               p.bounds.low, p.bounds.high, out + y * window.x.out, window.x.out);
            }
        }
    }
    return Status::ok;
}

}  // namespace bitpress
