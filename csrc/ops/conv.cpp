// Convolution as products of blocks: a tile of the weights by panels of 16 output pixels, gathered as they are needed.
#include "ops/conv.h"

#include <string.h>

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t panel_target = 65536;  // floats of gathered pixels at once: 256 KiB

// Where the pieces of scratch are, in floats; what a worker has of its own comes after what all share.
struct Layout {
    std::uint64_t panels = 0, cursors = 0, tile = 0, own = 0, end = 0;
    Layout(const ConvParams& p, std::uint64_t tile_floats, std::uint64_t parts) noexcept {
        const std::uint64_t pixels = (p.shared != 0 ? p.k : p.block_k) * p.block_n;
        const std::uint64_t before = round_up(p.cursor_floats + pixels, panel);
        cursors = pixels;
        tile = p.shared != 0 ? before : round_up(pixels + p.cursor_floats, panel);
        own = round_up(p.shared != 0 ? tile_floats : tile + tile_floats, panel);
        end = (p.shared != 0 ? before : 0) + parts * own;
    }
};

std::uint64_t tile_floats(const ConvParams& p, const TensorView* stored) noexcept {
    return stored == nullptr || stored_floats(*stored) != nullptr ? 0 : p.block_m * p.block_k;
}

Status plan_products(PlanContext& context, ConvParams* p) noexcept {
    const TensorView* stored = context.inputs[1].stored;
    p->block_k = smaller(p->k, 256);
    p->block_n = smaller(round_up(p->n, panel), larger(panel_target / p->block_k / panel * panel, 4 * panel));
    const std::uint64_t rows = larger(tile_target / p->block_k / 6 * 6, 6);
    p->block_m = smaller(p->out_channels, rows);
    p->cursor_floats = WeightRows::cursor_floats(stored, p->groups * p->out_channels);
    share_products(context, p, 4 * panel_target);
    const Layout at(*p, tile_floats(*p, stored), context.parts);
    context.tile_floats = context.parts * tile_floats(*p, stored);
    context.scratch_floats = at.end;
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
    p.k = p.in_channels * p.kernel_size();
    if (!checked_mul(p.window.y.out, p.window.x.out, &p.n) || p.n > max_elements) return Status::too_large;
    std::uint64_t work = 0;
    if (!checked_mul(p.k, w.dims[0], &work) || !checked_mul(work, p.n, &work) || !checked_mul(work, p.batch, &work)) {
        return Status::too_large;
    }
    context.work = work;
    context.products = Products::f32;
    p.depthwise = p.in_channels == 1 && p.groups > 1 ? 1 : 0;
    if (takes_integers(context, p)) return plan_integer(context, &p);
    return p.depthwise != 0 ? plan_depthwise(context, &p) : plan_products(context, &p);
}

// The inputs first, first + stride, .. of a row of the image, `width` (1 to 16) of them; 0 outside, or where row is
// null.
void gather_row(const Kernels& kernels, const float* row, const WindowAxis& axis, std::int64_t first,
                std::uint64_t width, float* out) noexcept {
    const auto in = static_cast<std::int64_t>(axis.in);
    const auto stride = static_cast<std::int64_t>(axis.stride);
    std::uint64_t begin = 0;
    std::uint64_t end = width;
    if (row == nullptr) end = 0;
    while (begin < end && first + static_cast<std::int64_t>(begin) * stride < 0) ++begin;
    while (end > begin && first + static_cast<std::int64_t>(end - 1) * stride >= in) --end;
    if (end - begin == panel && stride == 1) {
        memcpy(out, row + first, panel * sizeof(float));
        return;
    }
    for (std::uint64_t i = 0; i < begin; ++i) out[i] = 0.0F;
    if (end > begin) {
        const std::int64_t at = first + static_cast<std::int64_t>(begin) * stride;
        kernels.strided_f32(row + at, axis.stride, end - begin, out + begin);
    }
    for (std::uint64_t i = end; i < width; ++i) out[i] = 0.0F;
}

// Gathers k-rows [k0, k0 + depth) of pixels [first, first + width) into one panel of depth x 16.
void gather_panel(const Kernels& kernels, const ConvParams& p, const float* image, std::uint64_t first,
                  std::uint64_t width, std::uint64_t k0, std::uint64_t depth, float* out) noexcept {
    const WindowAxis& ay = p.window.y;
    const WindowAxis& ax = p.window.x;
    std::int64_t base_y[panel] = {};
    std::int64_t base_x[panel] = {};
    for (std::uint64_t i = 0; i < width; ++i) {
        const std::uint64_t pixel = first + i;
        base_y[i] = static_cast<std::int64_t>(pixel / ax.out * ay.stride) - static_cast<std::int64_t>(ay.pad_begin);
        base_x[i] = static_cast<std::int64_t>(pixel % ax.out * ax.stride) - static_cast<std::int64_t>(ax.pad_begin);
    }
    const bool one_row = base_y[0] == base_y[width - 1];
    const std::int64_t in_y = static_cast<std::int64_t>(ay.in);
    const std::int64_t in_x = static_cast<std::int64_t>(ax.in);
    std::uint64_t channel = k0 / p.kernel_size();
    std::uint64_t ky = k0 % p.kernel_size() / ax.kernel;
    std::uint64_t kx = k0 % ax.kernel;
    for (std::uint64_t row = 0; row < depth; ++row, out += panel) {
        const float* plane = image + channel * p.in_plane();
        const std::int64_t dy = static_cast<std::int64_t>(ky * ay.dilation);
        const std::int64_t dx = static_cast<std::int64_t>(kx * ax.dilation);
        const std::int64_t y0 = base_y[0] + dy;
        if (one_row) {
            const bool present = y0 >= 0 && y0 < in_y;
            gather_row(kernels, present ? plane + y0 * in_x : nullptr, ax, base_x[0] + dx, width, out);
        } else {
            for (std::uint64_t i = 0; i < width; ++i) {
                const std::int64_t y = base_y[i] + dy;
                const std::int64_t x = base_x[i] + dx;
                out[i] = y >= 0 && y < in_y && x >= 0 && x < in_x ? plane[y * in_x + x] : 0.0F;
            }
        }
        for (std::uint64_t i = width; i < panel; ++i) out[i] = 0.0F;
        if (++kx < ax.kernel) continue;
        kx = 0;
        if (++ky < ay.kernel) continue;
        ky = 0;
        ++channel;
    }
}

// 1 x 1, stride 1: the rows of a panel are pieces of the image's planes.
void copy_panel(const ConvParams& p, const float* image, std::uint64_t first, std::uint64_t width, std::uint64_t k0,
                std::uint64_t depth, float* out) noexcept {
    const float* in = image + k0 * p.in_plane() + first;
    if (width == panel) {
        for (std::uint64_t row = 0; row < depth; ++row)
            memcpy(out + row * panel, in + row * p.in_plane(), panel * sizeof(float));
        return;
    }
    for (std::uint64_t row = 0; row < depth; ++row) {
        memcpy(out + row * panel, in + row * p.in_plane(), width * sizeof(float));
        for (std::uint64_t i = width; i < panel; ++i) out[row * panel + i] = 0.0F;
    }
}

void fill_rows(float* out, std::uint64_t stride, std::uint64_t rows, std::uint64_t width, const float* bias) noexcept {
    for (std::uint64_t i = 0; i < rows; ++i) {
        const float value = bias == nullptr ? 0.0F : bias[i];
        for (std::uint64_t j = 0; j < width; ++j) out[i * stride + j] = value;
    }
}

// What the products of one image with one group of the weights read and write.
struct Product {
    const RunContext& context;
    const ConvParams& p;
    std::uint64_t first_row;  // of weights
    const float* image;
    const float* bias;
    float* out;

    Product(const RunContext& run, const ConvParams& params, std::uint64_t i) noexcept
        : context(run),
          p(params),
          first_row(i % p.groups * p.out_channels),
          image(run.input(0) + i * p.in_channels * p.in_plane()),
          bias(run.input_count > 2 && run.input(2) != nullptr ? run.input(2) + first_row : nullptr),
          out(run.output() + i * p.out_channels * p.n) {}

    std::uint64_t width(std::uint64_t n0) const noexcept { return smaller(p.block_n, p.n - n0); }

    // k-rows from k0 on of the panel at column n0 + j.
    void gather(std::uint64_t n0, std::uint64_t j, std::uint64_t k0, float* panels) const noexcept {
        const std::uint64_t depth = p.depth_at(k0);
        gather_pixels(*context.kernels, p, image, n0 + j, smaller(panel, width(n0) - j), k0, depth, panels + j * depth);
    }

    // Adds what rows m0.. and k-rows k0.. give to the block of columns at n0; the first adds to the bias, the last
    // clips.
    Status multiply(WeightRows& weights, std::uint64_t m0, std::uint64_t n0, std::uint64_t k0, const float* panels,
                    float* tile) const noexcept {
        const std::uint64_t rows = smaller(p.block_m, p.out_channels - m0);
        const std::uint64_t depth = p.depth_at(k0);
        const bool last = k0 + depth == p.k;
        const float* a = nullptr;
        std::size_t lda = 0;
        BP_TRY(weights.read(first_row + m0, rows, k0, depth, tile, &a, &lda));
        float* c = out + m0 * p.n + n0;
        if (k0 == 0) fill_rows(c, p.n, rows, width(n0), bias == nullptr ? nullptr : bias + m0);
        context.kernels->gemm_f32(rows, width(n0), depth, a, lda, panels, c, p.n,
                                  last ? p.bounds.low : -__builtin_inff(), last ? p.bounds.high : __builtin_inff());
        return Status::ok;
    }
};

WeightRows weights_of(const RunContext& context, const ConvParams& p, float* cursors) noexcept {
    return context.stored[1] != nullptr ? WeightRows(*context.stored[1], p.groups * p.out_channels, p.k, cursors)
                                        : WeightRows(context.input(1), p.k);
}

// Block after block of pixels, each with all of its group's weights.
Status run_by_pixels(const RunContext& context, const ConvParams& p, const Layout& at) noexcept {
    return in_units(context.workers, p.batch * p.groups * p.blocks(), [&](std::uint64_t unit, unsigned part) noexcept {
        const Product product(context, p, unit / p.blocks());
        const std::uint64_t n0 = unit % p.blocks() * p.block_n;
        float* own = context.scratch + part * at.own;
        WeightRows weights = weights_of(context, p, own + at.cursors);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            for (std::uint64_t j = 0; j < product.width(n0); j += panel) product.gather(n0, j, k0, own);
            for (std::uint64_t m0 = 0; m0 < p.out_channels; m0 += p.block_m)
                BP_TRY(product.multiply(weights, m0, n0, k0, own, own + at.tile));
        }
        return Status::ok;
    });
}

// The pixels of a block are gathered by all; then each takes some rows of weights.
Status run_by_rows(const RunContext& context, const ConvParams& p, const Layout& at) noexcept {
    float* pixels = context.scratch;
    for (std::uint64_t block = 0; block < p.batch * p.groups * p.blocks(); ++block) {
        const Product product(context, p, block / p.blocks());
        const std::uint64_t n0 = block % p.blocks() * p.block_n;
        const std::uint64_t panels = (product.width(n0) - 1) / panel + 1;
        const std::uint64_t depths = (p.k - 1) / p.block_k + 1;
        WeightRows weights = weights_of(context, p, context.scratch + at.cursors);  // a row is of one worker
        each_unit(context.workers, panels * depths, [&](std::uint64_t unit, unsigned) noexcept {
            const std::uint64_t k0 = unit / panels * p.block_k;
            product.gather(n0, unit % panels * panel, k0, pixels + k0 * panels * panel);
        });
        const auto multiply = [&](std::uint64_t unit, unsigned part) noexcept {
            float* tile = context.scratch + at.tile + part * at.own;
            for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k)
                BP_TRY(product.multiply(weights, unit * p.block_m, n0, k0, pixels + k0 * panels * panel, tile));
            return Status::ok;
        };
        BP_TRY(in_units(context.workers, (p.out_channels - 1) / p.block_m + 1, multiply));
    }
    return Status::ok;
}

Status run_conv(const RunContext& context) noexcept {
    const ConvParams& p = context.parameters<ConvParams>();
    if (p.depthwise != 0) return run_depthwise(context, p);
    if (p.integer != 0) return run_integer(context, p);
    const Layout at(p, tile_floats(p, context.stored[1]), context.workers.count);
    return p.shared != 0 ? run_by_rows(context, p, at) : run_by_pixels(context, p, at);
}

}  // namespace

void share_products(PlanContext& context, ConvParams* p, std::uint64_t most) noexcept {
    constexpr std::uint64_t units = 16;         // enough that the last ones to end do not end far apart
    constexpr std::uint64_t least = 8 * panel;  // pixels for which unpacking the weights costs little
    const std::uint64_t images = p->batch * p->groups;
    const std::uint64_t time = context.work / 32;
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

void gather_pixels(const Kernels& kernels, const ConvParams& p, const float* image, std::uint64_t first,
                   std::uint64_t width, std::uint64_t k0, std::uint64_t depth, float* out) noexcept {
    if (p.window.trivial()) {
        copy_panel(p, image, first, width, k0, depth, out);
    } else {
        gather_panel(kernels, p, image, first, width, k0, depth, out);
    }
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
