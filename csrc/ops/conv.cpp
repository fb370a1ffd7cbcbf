// Convolution as products of blocks: a tile of the weights by panels of 16 output pixels, gathered as they are needed.
// Images stay as planes inside: so weights, which are the factors, are read as they are stored, and nothing lays them
// out anew.
#include "ops/conv.h"

#include <string.h>

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t panel_target = 65536;  // floats of gathered pixels at once: 256 KiB

// Where the pieces of scratch are, in floats: first what workers share, then what each has of its own.
struct Layout {
    std::uint64_t image = 0, zeros = 0, panels = 0, cursors = 0, offsets = 0, tile = 0, first = 0, own = 0, end = 0;
    Layout(const ConvParams& p, std::uint64_t tile_floats, std::uint64_t parts) noexcept {
        zeros = round_up(Pixels::floats(p), panel);
        const std::uint64_t shared = zeros + round_up(p.block_m, panel);
        const std::uint64_t pixels = (p.shared != 0 ? p.k : p.block_k) * p.block_n;
        const std::uint64_t with = round_up(pixels + p.cursor_floats, panel);  // weights are read with these
        first = p.shared != 0 ? shared + with : shared;
        panels = p.shared != 0 ? shared : 0;
        cursors = panels + pixels;
        offsets = p.shared != 0 ? 0 : with;
        tile = offsets + Pixels::own_floats(p);
        own = round_up(tile + tile_floats, panel);
        end = first + parts * own;
    }
};

std::uint64_t tile_floats(const ConvParams& p, const TensorView* stored) noexcept {
    return stored == nullptr || stored_floats(*stored) != nullptr ? 0 : p.block_m * p.block_k;
}

Status plan_products(PlanContext& context, ConvParams* p) noexcept {
    const TensorView* stored = context.inputs[1].stored;
    p->block_k = smaller(p->k, 256);
    p->block_n = smaller(round_up(p->n, panel), larger(panel_target / p->block_k / panel * panel, 4 * panel));
    const std::uint64_t rows = larger(tile_target / p->block_k / 12 * 12, 12);
    p->block_m = smaller(p->out_channels, rows);
    p->cursor_floats = WeightRows::cursor_floats(stored, p->groups * p->out_channels);
    share_products(context, p, 4 * panel_target);
    const Layout at(*p, tile_floats(*p, stored), context.parts);
    context.tile_floats = context.parts * tile_floats(*p, stored);
    context.scratch_floats = at.end;
    return Status::ok;
}

// Floats of the padded planes of an image.
Status plan_stage(ConvParams* p) noexcept {
    if (p->window.trivial()) return Status::ok;
    std::uint64_t floats = RowParts(p->window.x).row();
    if (!checked_mul(floats, p->window.y.padded(), &floats) || !checked_mul(floats, p->groups, &floats) ||
        !checked_mul(floats, p->in_channels, &floats) || floats > max_elements) {
        return Status::too_large;
    }
    p->staged = floats;
    return Status::ok;
}

Status plan_conv(PlanContext& context) noexcept {
    ConvParams& p = context.make<ConvParams>();
    const Shape& x = context.inputs[0].shape;
    const Operand& weights = context.inputs[1];
    const Shape& w = weights.shape;
    if (x.rank != 3 && x.rank != 4) return Status::unsupported;
    if (w.rank != x.rank) return Status::bad_shape;
    const std::int64_t group = context.integer(Key::group, 1);
    if (group < 1) return Status::bad_argument;
    p.groups = static_cast<std::uint64_t>(group);
    if (x.dims[1] % p.groups != 0 || w.dims[0] % p.groups != 0) return Status::bad_shape;
    p.batch = x.dims[0];
    p.in_channels = x.dims[1] / p.groups;
    p.out_channels = w.dims[0] / p.groups;
    if (w.dims[1] != p.in_channels) return Status::bad_shape;
    if (context.has(2) && (context.inputs[2].shape.rank != 1 || context.inputs[2].shape.dims[0] != w.dims[0])) {
        return Status::bad_shape;
    }
    const std::span<const std::int64_t> kernel_shape = context.integers(Key::kernel_shape);
    if (!kernel_shape.empty()) {
        if (kernel_shape.size() != w.rank - 2) return Status::bad_shape;
        for (std::uint32_t i = 0; i < kernel_shape.size(); ++i) {
            if (kernel_shape[i] != static_cast<std::int64_t>(w.dims[2 + i])) return Status::bad_shape;
        }
    }
    Shape& out = context.outputs[0];
    BP_TRY(append(&out, x.dims[0]));
    BP_TRY(append(&out, w.dims[0]));
    BP_TRY(read_window(context, x, w.dims + 2, false, &p.window, &out));
    BP_TRY(read_bounds(context, &p.bounds));
    p.window.lay_flat();
    p.k = p.in_channels * p.kernel_size();
    if (!checked_mul(p.window.y.out, p.window.x.out, &p.n) || p.n > max_elements) return Status::too_large;
    std::uint64_t work = 0;
    if (!checked_mul(p.k, w.dims[0], &work) || !checked_mul(work, p.n, &work) || !checked_mul(work, p.batch, &work)) {
        return Status::too_large;
    }
    context.work = work;
    context.products = Products::f32;
    p.depthwise = p.in_channels == 1 && p.groups > 1 ? 1 : 0;
    if (p.depthwise != 0) return plan_depthwise(context, &p);
    BP_TRY(plan_stage(&p));
    return takes_integers(context, p) ? plan_integer(context, &p) : plan_products(context, &p);
}

// What the products of one image with one group of the weights read and write.
struct Product {
    const RunContext& context;
    const ConvParams& p;
    const Pixels& pixels;
    std::uint64_t group;
    const float* bias;  // null: zeros
    float* out;

    Product(const RunContext& run, const ConvParams& params, const Pixels& from, std::uint64_t image,
            std::uint64_t number) noexcept
        : context(run),
          p(params),
          pixels(from),
          group(number),
          bias(run.input_count > 2 && run.input(2) != nullptr ? run.input(2) + first_row() : nullptr),
          out(run.output() + (image * params.groups + number) * params.out_channels * params.n) {}

    std::uint64_t first_row() const noexcept { return group * p.out_channels; }  // of weights
    std::uint64_t width(std::uint64_t n0) const noexcept { return smaller(p.block_n, p.n - n0); }

    // k-rows, `depth` of them from `offsets` on, of the panel at column n0 + j.
    void gather(std::uint64_t n0, std::uint64_t j, const std::size_t* offsets, std::uint64_t depth,
                float* panels) const noexcept {
        pixels.gather(group, n0 + j, smaller(panel, width(n0) - j), offsets, depth, panels + j * depth);
    }

    // Adds what rows m0.. and k-rows k0.. give to the block of columns at n0; the first adds to the bias, the last
    // clips. zeros: block_m of them.
    Status multiply(WeightRows& weights, std::uint64_t m0, std::uint64_t n0, std::uint64_t k0, const float* panels,
                    const float* zeros, float* tile) const noexcept {
        const std::uint64_t rows = smaller(p.block_m, p.out_channels - m0);
        const std::uint64_t depth = p.depth_at(k0);
        const bool last = k0 + depth == p.k;
        const float* a = nullptr;
        std::size_t lda = 0;
        BP_TRY(weights.read(first_row() + m0, rows, k0, depth, tile, &a, &lda));
        const float* starts = k0 != 0 ? nullptr : bias == nullptr ? zeros : bias + m0;
        context.kernels->gemm_f32(rows, width(n0), depth, a, lda, panels, starts, out + m0 * p.n + n0, p.n,
                                  last ? p.bounds.low : -__builtin_inff(), last ? p.bounds.high : __builtin_inff());
        return Status::ok;
    }
};

WeightRows weights_of(const RunContext& context, const ConvParams& p, float* cursors) noexcept {
    return context.stored[1] != nullptr ? WeightRows(*context.stored[1], p.groups * p.out_channels, p.k, cursors)
                                        : WeightRows(context.input(1), p.k);
}

// Of one image: block after block of pixels, each with all of its group's weights.
Status run_by_pixels(const RunContext& context, const ConvParams& p, const Layout& at, const Pixels& pixels,
                     std::uint64_t image) noexcept {
    return in_units(context.workers, p.groups * p.blocks(), [&](std::uint64_t unit, unsigned part) noexcept {
        const Product product(context, p, pixels, image, unit / p.blocks());
        const std::uint64_t n0 = unit % p.blocks() * p.block_n;
        float* own = context.scratch + at.first + part * at.own;
        float* panels = own + at.panels;
        WeightRows weights = weights_of(context, p, own + at.cursors);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            const std::size_t* offsets = pixels.locate(k0, p.depth_at(k0), own + at.offsets);
            for (std::uint64_t j = 0; j < product.width(n0); j += panel)
                product.gather(n0, j, offsets, p.depth_at(k0), panels);
            for (std::uint64_t m0 = 0; m0 < p.out_channels; m0 += p.block_m)
                BP_TRY(product.multiply(weights, m0, n0, k0, panels, context.scratch + at.zeros, own + at.tile));
        }
        return Status::ok;
    });
}

// The same where the pixels of a block are gathered by all; then each takes some rows of weights.
Status run_by_rows(const RunContext& context, const ConvParams& p, const Layout& at, const Pixels& pixels,
                   std::uint64_t image) noexcept {
    float* gathered = context.scratch + at.panels;
    const auto own = [&](unsigned part) noexcept { return context.scratch + at.first + part * at.own; };
    for (std::uint64_t block = 0; block < p.groups * p.blocks(); ++block) {
        const Product product(context, p, pixels, image, block / p.blocks());
        const std::uint64_t n0 = block % p.blocks() * p.block_n;
        const std::uint64_t panels = (product.width(n0) - 1) / panel + 1;
        const std::uint64_t depths = (p.k - 1) / p.block_k + 1;
        WeightRows weights = weights_of(context, p, context.scratch + at.cursors);  // a row is of one worker
        each_unit(context.workers, panels * depths, [&](std::uint64_t unit, unsigned part) noexcept {
            const std::uint64_t k0 = unit / panels * p.block_k;
            const std::size_t* offsets = pixels.locate(k0, p.depth_at(k0), own(part) + at.offsets);
            product.gather(n0, unit % panels * panel, offsets, p.depth_at(k0), gathered + k0 * panels * panel);
        });
        const auto multiply = [&](std::uint64_t unit, unsigned part) noexcept {
            const float* zeros = context.scratch + at.zeros;
            for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k)
                BP_TRY(product.multiply(weights, unit * p.block_m, n0, k0, gathered + k0 * panels * panel, zeros,
                                        own(part) + at.tile));
            return Status::ok;
        };
        BP_TRY(in_units(context.workers, (p.out_channels - 1) / p.block_m + 1, multiply));
    }
    return Status::ok;
}

Status run_products(const RunContext& context, const ConvParams& p) noexcept {
    const Layout at(p, tile_floats(p, context.stored[1]), context.workers.count);
    memset(context.scratch + at.zeros, 0, p.block_m * sizeof(float));
    for (std::uint64_t image = 0; image < p.batch; ++image) {
        const Pixels pixels(context, p, image, context.scratch + at.image);
        BP_TRY(p.shared != 0 ? run_by_rows(context, p, at, pixels, image)
                             : run_by_pixels(context, p, at, pixels, image));
    }
    return Status::ok;
}

Status run_conv(const RunContext& context) noexcept {
    const ConvParams& p = context.parameters<ConvParams>();
    if (p.depthwise != 0) return run_depthwise(context, p);
    return p.integer != 0 ? run_integer(context, p) : run_products(context, p);
}

}  // namespace

void share_products(PlanContext& context, ConvParams* p, std::uint64_t most) noexcept {
    constexpr std::uint64_t units = 16;         // enough that the last ones to end do not end far apart
    constexpr std::uint64_t least = 8 * panel;  // pixels for which unpacking the weights costs little
    const std::uint64_t images = p->groups;     // of one after the other, all of its groups at once
    const std::uint64_t time = context.work / 32 / p->batch;
    if (context.share(units, time) < 2) return;
    if (images * p->blocks() < units) {
        const std::uint64_t wanted = (units - 1) / images + 1;
        p->block_n = smaller(p->block_n, round_up((p->n - 1) / wanted + 1, panel));
        p->shared = p->block_n < least ? 1 : 0;
    }
    if (p->shared == 0) {
        context.share(images * p->blocks(), time);
        return;
    }
    p->block_n = smaller(round_up(p->n, panel), larger(most / p->k / panel * panel, 4 * panel));
    p->block_m = smaller(p->block_m, round_up((p->out_channels - 1) / units + 1, 6));
}

const Operator op_Conv = {
    .min_inputs = 2,
    .max_inputs = 3,
    .keys = key_bit(Key::strides) | key_bit(Key::pads) | key_bit(Key::dilations) | key_bit(Key::group) |
            key_bit(Key::kernel_shape) | key_bit(Key::auto_pad) | key_bit(Key::clip_low) | key_bit(Key::clip_high),
    .reads_stored = 1U << 1,
    .param_bytes = sizeof(ConvParams),
    .plan = plan_conv,
    .run = run_conv,
};

}  // namespace bitpress
