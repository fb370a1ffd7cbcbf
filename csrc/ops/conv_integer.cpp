// Convolution by integers: weights as they are stored, activations as 16-bit codes with one scale for each output pixel
// and block of k. Sums of a block are exact; blocks are added as floats, in order.
#include "ops/conv.h"

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t most_k = 512;          // 512 * 128 * 32767 < 2^31: a block's sum cannot wrap
constexpr std::uint64_t panel_codes = 131072;  // of quantized pixels at once: 256 KiB
constexpr std::uint64_t tile_codes = 32768;    // of weights at once: 64 KiB

// Offsets into scratch, in floats: the image; quantized pixels, which workers share or have each their own of; then
// what each has.
struct Layout {
    std::uint64_t panels = 0, column_scales = 0, pixels = 0, tile = 0, codes = 0, row_scales = 0, starts = 0;
    std::uint64_t offsets = 0;
    std::uint64_t first = 0;  // of the part that each worker has
    std::uint64_t own = 0;    // how long it is
    explicit Layout(const ConvParams& p) noexcept {
        const std::uint64_t even = round_up(p.block_k, 2);
        const std::uint64_t depths = p.shared != 0 ? (p.k - 1) / p.block_k + 1 : 1;
        const std::uint64_t image = round_up(Pixels::floats(p), panel);
        first = image;
        panels = p.shared != 0 ? image : 0;
        column_scales = panels + depths * p.block_n * even / 2;
        pixels = round_up(column_scales + depths * p.block_n, panel);
        if (p.shared != 0) {
            first = pixels;
            pixels = 0;
        }
        tile = pixels + p.block_k * panel;
        codes = tile + round_up(p.block_m * even / 2, 16);
        row_scales = codes + round_up(even, 64) / sizeof(float);
        starts = row_scales + p.block_m;
        offsets = round_up(starts + p.block_m, panel);
        own = offsets + Pixels::own_floats(p);
    }
    std::uint64_t end(std::uint64_t parts) const noexcept { return first + parts * own; }
};

// Rows of stored codes as signed integers, and their scales.
struct IntegerRows {
    const TensorView& view;
    std::uint64_t columns;
    bool one_bit() const noexcept { return view.scheme.bits == 1; }

    // width values of each of `count` rows, stride apart; an odd width is followed by a zero.
    Status read(const Kernels& kernels, std::uint64_t row, std::uint64_t count, std::uint64_t column,
                std::uint64_t width, std::uint8_t* codes, std::int16_t* out, std::uint64_t stride) const noexcept {
        // One bit: value = scale * (code - 1/2) = scale / 2 * (2 * code - 1).
        const int factor = one_bit() ? 2 : 1;
        const int zero = one_bit() ? 1 : 1 << (view.scheme.bits - 1U);
        for (std::uint64_t i = 0; i < count; ++i, out += stride) {
            std::uint64_t unused = 0;
            const MutableBytes to = {codes, static_cast<std::size_t>(width)};
            BP_TRY(unpack_codes(view, (row + i) * columns + column, to, &unused));
            kernels.widen_codes_s16(codes, static_cast<std::size_t>(width), factor, zero, out);
            if (width % 2 != 0) out[width] = 0;
        }
        return Status::ok;
    }

    float scale(std::uint64_t row) const noexcept {
        const std::uint64_t index = view.scheme.granularity == Granularity::tensor ? 0 : row;
        const float stored = load_le<float>(view.stream(Role::scales).data() + 4 * index);
        return one_bit() ? stored * 0.5F : stored;
    }
};

// One image's products: what is read, and where it goes.
struct Product {
    const RunContext& context;
    const ConvParams& p;
    const Layout& at;
    const Pixels& from;
    IntegerRows weights;
    float* out;

    Product(const RunContext& run, const ConvParams& params, const Layout& layout, const Pixels& pixels,
            std::uint64_t image) noexcept
        : context(run),
          p(params),
          at(layout),
          from(pixels),
          weights{*run.stored[1], params.k},
          out(run.output() + image * params.out_channels * params.n) {}

    std::uint64_t width(std::uint64_t n0) const noexcept { return smaller(p.block_n, p.n - n0); }
    float* own(unsigned part) const noexcept { return context.scratch + at.first + part * at.own; }

    // k-rows from k0 on of the panel at column n0 + j, as codes. own: this worker's scratch.
    void quantize(std::uint64_t n0, std::uint64_t j, std::uint64_t k0, std::int16_t* panels, float* scales,
                  float* own) const noexcept {
        const std::uint64_t depth = p.depth_at(k0);
        std::int16_t* to = panels + j * round_up(depth, 2);
        const std::uint64_t columns = smaller(panel, width(n0) - j);
        if (p.staged == 0 && columns == panel) {
            context.kernels->quantize_columns_s16(from.in_place(0, n0 + j, k0), p.in_plane(), depth, to, scales + j);
            return;
        }
        float* pixels = own + at.pixels;
        from.gather(0, n0 + j, columns, from.locate(k0, depth, own + at.offsets), depth, pixels);
        context.kernels->quantize_columns_s16(pixels, panel, depth, to, scales + j);
    }

    Status multiply(std::uint64_t m0, std::uint64_t n0, std::uint64_t k0, const std::int16_t* panels,
                    const float* scales, float* own) const noexcept {
        const std::uint64_t depth = p.depth_at(k0);
        const std::uint64_t even = round_up(depth, 2);
        const std::uint64_t rows = smaller(p.block_m, p.out_channels - m0);
        const bool last = k0 + depth == p.k;
        const float* bias = context.input_count > 2 ? context.input(2) : nullptr;
        auto* tile = reinterpret_cast<std::int16_t*>(own + at.tile);
        BP_TRY(weights.read(*context.kernels, m0, rows, k0, depth, reinterpret_cast<std::uint8_t*>(own + at.codes),
                            tile, even));
        for (std::uint64_t i = 0; i < rows; ++i) {
            own[at.row_scales + i] = weights.scale(m0 + i);
            own[at.starts + i] = bias == nullptr ? 0.0F : bias[m0 + i];
        }
        context.kernels->gemm_s16(rows, width(n0), even / 2, tile, even, panels, scales, own + at.row_scales,
                                  k0 == 0 ? own + at.starts : nullptr, out + m0 * p.n + n0, p.n,
                                  last ? p.bounds.low : -__builtin_inff(), last ? p.bounds.high : __builtin_inff());
        return Status::ok;
    }
};

// Of one image: block after block of pixels, each with all weights.
Status run_by_pixels(const Product& product) noexcept {
    const ConvParams& p = product.p;
    return in_units(product.context.workers, p.blocks(), [&](std::uint64_t unit, unsigned part) noexcept {
        const std::uint64_t n0 = unit * p.block_n;
        float* own = product.own(part);
        auto* panels = reinterpret_cast<std::int16_t*>(own + product.at.panels);
        float* scales = own + product.at.column_scales;
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            for (std::uint64_t j = 0; j < product.width(n0); j += panel)
                product.quantize(n0, j, k0, panels, scales, own);
            for (std::uint64_t m0 = 0; m0 < p.out_channels; m0 += p.block_m)
                BP_TRY(product.multiply(m0, n0, k0, panels, scales, own));
        }
        return Status::ok;
    });
}

// The pixels of a block are quantized by all; then each takes some rows of weights.
Status run_by_rows(const Product& product) noexcept {
    const ConvParams& p = product.p;
    const Workers& workers = product.context.workers;
    auto* codes = reinterpret_cast<std::int16_t*>(product.context.scratch + product.at.panels);
    float* scales = product.context.scratch + product.at.column_scales;
    for (std::uint64_t n0 = 0; n0 < p.n; n0 += p.block_n) {
        const std::uint64_t panels = (product.width(n0) - 1) / panel + 1;
        const std::uint64_t depths = (p.k - 1) / p.block_k + 1;
        const std::uint64_t even = round_up(p.block_k, 2);
        each_unit(workers, panels * depths, [&](std::uint64_t unit, unsigned part) noexcept {
            const std::uint64_t depth = unit / panels;
            product.quantize(n0, unit % panels * panel, depth * p.block_k, codes + depth * p.block_n * even,
                             scales + depth * p.block_n, product.own(part));
        });
        const auto multiply = [&](std::uint64_t unit, unsigned part) noexcept {
            for (std::uint64_t depth = 0; depth < depths; ++depth) {
                BP_TRY(product.multiply(unit * p.block_m, n0, depth * p.block_k, codes + depth * p.block_n * even,
                                        scales + depth * p.block_n, product.own(part)));
            }
            return Status::ok;
        };
        BP_TRY(in_units(workers, (p.out_channels - 1) / p.block_m + 1, multiply));
    }
    return Status::ok;
}

}  // namespace

bool takes_integers(const PlanContext& context, const ConvParams& p) noexcept {
    const TensorView* stored = context.inputs[1].stored;
    if (context.activations == Activations::float32 || stored == nullptr || p.groups != 1) return false;
    const Scheme& scheme = stored->scheme;
    const bool by_row = scheme.granularity == Granularity::axis && scheme.axis == 0;
    return scheme.structure == Structure::dense && scheme.values == Values::integer && !scheme.affine &&
           scheme.bits <= 8 && (by_row || scheme.granularity == Granularity::tensor);
}

Status plan_integer(PlanContext& context, ConvParams* p) noexcept {
    p->integer = 1;
    context.products = Products::s16;
    p->block_k = smaller(p->k, most_k);
    const std::uint64_t even = round_up(p->block_k, 2);
    p->block_n = smaller(round_up(p->n, panel), larger(panel_codes / even / panel * panel, 4 * panel));
    p->block_m = smaller(p->out_channels, larger(tile_codes / even / 12 * 12, 12));
    share_products(context, p, 2 * panel_codes);
    const Layout at(*p);
    context.tile_floats = context.parts * (at.starts - at.tile);
    context.scratch_floats = at.end(context.parts);
    return Status::ok;
}

Status run_integer(const RunContext& context, const ConvParams& p) noexcept {
    const Layout at(p);
    for (std::uint64_t image = 0; image < p.batch; ++image) {
        const Pixels pixels(context, p, image, context.scratch);
        const Product product(context, p, at, pixels, image);
        BP_TRY(p.shared != 0 ? run_by_rows(product) : run_by_pixels(product));
    }
    return Status::ok;
}

}  // namespace bitpress
