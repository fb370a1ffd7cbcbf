// Depthwise convolution: each plane is copied with its padding, its columns sorted by their rest modulo the stride, so
// that the outputs of a row read neighbours; then each plane is one kernel call.
#include <string.h>

#include "ops/conv.h"

namespace bitpress {
namespace {

constexpr std::uint64_t slack = 16;  // floats the kernel may read past the last one used

std::uint64_t plane_floats(const ConvParams& p) noexcept {
    return p.window.y.padded() * RowParts(p.window.x).row() + slack;
}

// Offsets into scratch, in floats: first what workers share, then what each has.
struct Layout {
    std::uint64_t cursors = 0, offsets = 0, plane = 0, tile = 0, own = 0;
    Layout(const ConvParams& p, std::uint64_t tile_floats) noexcept {
        plane = 0;
        tile = round_up(plane_floats(p), 16);
        cursors = tile + round_up(tile_floats, 16);
        own = cursors + round_up(p.cursor_floats, 16);
        offsets = round_up(p.k * (sizeof(std::size_t) / sizeof(float)), 16);  // how many
    }
};

std::uint64_t tile_floats(const ConvParams& p, const TensorView* stored) noexcept {
    return stored == nullptr || stored_floats(*stored) != nullptr ? 0 : p.block_m * p.k;
}

}  // namespace

Status plan_depthwise(PlanContext& context, ConvParams* p) noexcept {
    std::uint64_t plane = 0;
    if (!checked_mul(p->window.y.padded(), RowParts(p->window.x).row(), &plane) || plane > max_elements)
        return Status::too_large;
    const TensorView* stored = context.inputs[1].stored;
    const std::uint64_t rows = p->groups * p->out_channels;
    p->block_m = smaller(rows, larger(tile_target / p->k, 1));
    p->cursor_floats = WeightRows::cursor_floats(stored, rows);
    constexpr std::uint64_t units = 32;
    const std::uint64_t time = context.work / 8;
    if (context.share(units, time) > 1) {
        const std::uint64_t planes = (p->batch * p->groups - 1) / units + 1;
        p->block_m = larger(smaller(p->block_m, smaller(planes, p->groups) * p->out_channels), 1);
        context.share(p->batch * ((rows - 1) / p->block_m + 1), time);
    }
    const Layout at(*p, tile_floats(*p, stored));
    context.tile_floats = context.parts * tile_floats(*p, stored);
    context.scratch_floats = at.offsets + context.parts * at.own;
    return Status::ok;
}

Status run_depthwise(const RunContext& context, const ConvParams& p) noexcept {
    const Window& window = p.window;
    const RowParts parts(window.x);
    const Layout at(p, tile_floats(p, context.stored[1]));
    const std::uint64_t rows = p.groups * p.out_channels;
    const std::uint64_t blocks = (rows - 1) / p.block_m + 1;
    const float* bias = context.input_count > 2 ? context.input(2) : nullptr;
    auto* offsets = reinterpret_cast<std::size_t*>(context.scratch);
    for (std::uint64_t t = 0; t < p.k; ++t) {
        const std::uint64_t y = t / window.x.kernel * window.y.dilation;
        offsets[t] = y * parts.row() + parts.at(t % window.x.kernel * window.x.dilation);
    }
    return in_units(context.workers, p.batch * blocks, [&](std::uint64_t unit, unsigned part) noexcept {
        float* own = context.scratch + at.offsets + part * at.own;
        float* plane = own + at.plane;
        const std::uint64_t image = unit / blocks;
        const std::uint64_t first = unit % blocks * p.block_m;
        const std::uint64_t end = smaller(first + p.block_m, rows);
        WeightRows weights = context.stored[1] != nullptr ? WeightRows(*context.stored[1], rows, p.k, own + at.cursors)
                                                          : WeightRows(context.input(1), p.k);
        const float* w = nullptr;
        std::size_t stride = 0;
        BP_TRY(weights.read(first, end - first, 0, p.k, own + at.tile, &w, &stride));
        memset(plane, 0, plane_floats(p) * sizeof(float));  // the padding, for all planes
        for (std::uint64_t row = first; row < end; ++row, w += stride) {
            if (row == first || row % p.out_channels == 0) {
                const std::uint64_t from = (image * p.groups + row / p.out_channels) * p.in_plane();
                sort_plane(*context.kernels, window, context.input(0) + from, plane);
            }
            context.kernels->depthwise_f32(plane, w, offsets, p.k, window.y.stride * parts.row(),
                                           bias == nullptr ? 0.0F : bias[row], p.bounds.low, p.bounds.high,
                                           context.output() + (image * rows + row) * p.n, window.y.out, window.x.out);
        }
        return Status::ok;
    });
}

}  // namespace bitpress
