// Convolution by integers: weights as they are stored, activations as codes of 16 or 8 bits with one scale for each
// output pixel and block of k. Sums of a block are exact; blocks are added as floats, in order. Codes of 8 bits are
// multiplied as bytes where the instruction set is fast at that, else as 16-bit integers: the sums are the same.
#include <string.h>

#include "ops/conv.h"

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t most_k = 512;          // 512 * 128 * 32767 < 2^31: a block's sum cannot wrap
constexpr std::uint64_t panel_floats = 65536;  // of quantized pixels at once: 256 KiB
constexpr std::uint64_t tile_codes = 32768;    // of weights at once: up to 64 KiB

// Offsets into scratch, in floats: the image; quantized pixels, which workers share or have each their own of; then
// what each has.
struct Layout {
    std::uint64_t panels = 0, scales = 0, sums = 0, pixels = 0, tile = 0, codes = 0, row_scales = 0, starts = 0;
    std::uint64_t offsets = 0;
    std::uint64_t first = 0;  // of the part that each worker has
    std::uint64_t own = 0;    // how long it is
    std::uint64_t depth = 0;  // panels of a block of k
    explicit Layout(const ConvParams& p) noexcept {
        const std::uint64_t deep = round_up(p.block_k, 4);
        const std::uint64_t depths = p.shared != 0 ? (p.k - 1) / p.block_k + 1 : 1;
        const std::uint64_t image = round_up(Pixels::floats(p), panel);
        first = image;
        panels = p.shared != 0 ? image : 0;
        depth = p.block_n / panel * p.code_floats(p.block_k);
        scales = panels + depths * depth;
        sums = scales + depths * p.block_n;
        pixels = round_up(sums + depths * p.block_n, panel);
        if (p.shared != 0) {
            first = pixels;
            pixels = 0;
        }
        tile = pixels + p.block_k * panel;
        codes = tile + round_up(p.block_m * deep / (p.bytes != 0 ? 4 : 2), 16);
        row_scales = codes + round_up(deep, 64) / sizeof(float);
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
        const int minus = one_bit() ? 1 : zero();
        for (std::uint64_t i = 0; i < count; ++i, out += stride) {
            std::uint64_t unused = 0;
            const MutableBytes to = {codes, static_cast<std::size_t>(width)};
            BP_TRY(unpack_codes(view, (row + i) * columns + column, to, &unused));
            kernels.widen_codes_s16(codes, static_cast<std::size_t>(width), factor, minus, out);
            if (width % 2 != 0) out[width] = 0;
        }
        return Status::ok;
    }

    // The codes themselves: where they are stored, or in `tile`, rows a multiple of 4 apart. What follows an end of the
    // width that is no multiple of 4 may be read. often: they will be read more than a few times.
    Status read(std::uint64_t row, std::uint64_t count, std::uint64_t column, std::uint64_t width, bool often,
                std::uint8_t* tile, const std::uint8_t** out, std::uint64_t* stride) const noexcept {
        constexpr std::uint64_t aliases = 2048;  // rows so far apart share a few lines of a cache
        if (view.scheme.bits == 8 && width % 4 == 0 && (!often || columns % aliases != 0)) {
            *out = view.stream(Role::codes).data() + row * columns + column;
            *stride = columns;
            return Status::ok;
        }
        *out = tile;
        *stride = round_up(width, 4);
        memset(tile, 0, count * *stride);
        for (std::uint64_t i = 0; i < count; ++i) {
            std::uint64_t unused = 0;
            const MutableBytes to = {tile + i * *stride, static_cast<std::size_t>(width)};
            BP_TRY(unpack_codes(view, (row + i) * columns + column, to, &unused));
        }
        return Status::ok;
    }

    int zero() const noexcept { return 1 << (view.scheme.bits - 1U); }

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

    // The panels of a block of k, their scales and their sums. number: of the block, where all of them are kept.
    struct Block {
        float* panels;
        float* scales;
        std::int32_t* sums;
    };
    Block block(float* scratch, std::uint64_t number) const noexcept {
        return {scratch + at.panels + number * at.depth, scratch + at.scales + number * p.block_n,
                reinterpret_cast<std::int32_t*>(scratch + at.sums) + number * p.block_n};
    }

    // Where the k-rows from k0 on begin, for quantize(). own: this worker's scratch.
    const std::size_t* locate(std::uint64_t k0, float* own) const noexcept {
        return from.locate(k0, p.depth_at(k0), own + at.offsets);
    }

    // k-rows from k0 on of the panel at column n0 + j, as codes.
    void quantize(std::uint64_t n0, std::uint64_t j, std::uint64_t k0, const std::size_t* offsets, const Block& block,
                  float* own) const noexcept {
        const std::uint64_t depth = p.depth_at(k0);
        const std::uint64_t columns = smaller(panel, width(n0) - j);
        const float* pixels = own + at.pixels;
        std::uint64_t step = panel;
        if (p.staged == 0 && columns == panel) {
            pixels = from.in_place(0, n0 + j, k0);
            step = p.in_plane();
        } else {
            from.gather(0, n0 + j, columns, offsets, depth, own + at.pixels);
        }
        float* to = block.panels + j / panel * p.code_floats(depth);
        if (p.bytes != 0) {
            context.kernels->quantize_columns_s8(pixels, step, depth, reinterpret_cast<std::int8_t*>(to),
                                                 block.scales + j, block.sums + j);
        } else {
            context.kernels->quantize_columns_s16(pixels, step, depth, static_cast<int>(p.largest),
                                                  reinterpret_cast<std::int16_t*>(to), block.scales + j);
        }
    }

    Status multiply(std::uint64_t m0, std::uint64_t n0, std::uint64_t k0, const Block& block,
                    float* own) const noexcept {
        const std::uint64_t depth = p.depth_at(k0);
        const std::uint64_t rows = smaller(p.block_m, p.out_channels - m0);
        const bool last = k0 + depth == p.k;
        const float* bias = context.input_count > 2 ? context.input(2) : nullptr;
        for (std::uint64_t i = 0; i < rows; ++i) {
            own[at.row_scales + i] = weights.scale(m0 + i);
            own[at.starts + i] = bias == nullptr ? 0.0F : bias[m0 + i];
        }
        const float* starts = k0 == 0 ? own + at.starts : nullptr;
        float* to = out + m0 * p.n + n0;
        const float low = last ? p.bounds.low : -__builtin_inff();
        const float high = last ? p.bounds.high : __builtin_inff();
        if (p.bytes != 0) {
            const std::uint8_t* codes = nullptr;
            std::uint64_t stride = 0;
            const bool often = width(n0) > 2 * panel;
            auto* tile = reinterpret_cast<std::uint8_t*>(own + at.tile);
            BP_TRY(weights.read(m0, rows, k0, depth, often, tile, &codes, &stride));
            context.kernels->gemm_codes_s8(rows, width(n0), (depth + 3) / 4, codes, stride, weights.zero(),
                                           reinterpret_cast<const std::int8_t*>(block.panels), block.sums, block.scales,
                                           own + at.row_scales, starts, to, p.n, low, high);
            return Status::ok;
        }
        const std::uint64_t even = round_up(depth, 2);
        auto* tile = reinterpret_cast<std::int16_t*>(own + at.tile);
        BP_TRY(weights.read(*context.kernels, m0, rows, k0, depth, reinterpret_cast<std::uint8_t*>(own + at.codes),
                            tile, even));
        context.kernels->gemm_s16(rows, width(n0), even / 2, tile, even,
                                  reinterpret_cast<const std::int16_t*>(block.panels), block.scales,
                                  own + at.row_scales, starts, to, p.n, low, high);
        return Status::ok;
    }
};

// Of one image: block after block of pixels, each with all weights.
Status run_by_pixels(const Product& product) noexcept {
    const ConvParams& p = product.p;
    return in_units(product.context.workers, p.blocks(), [&](std::uint64_t unit, unsigned part) noexcept {
        const std::uint64_t n0 = unit * p.block_n;
        float* own = product.own(part);
        const Product::Block block = product.block(own, 0);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            const std::size_t* offsets = product.locate(k0, own);
            for (std::uint64_t j = 0; j < product.width(n0); j += panel)
                product.quantize(n0, j, k0, offsets, block, own);
            for (std::uint64_t m0 = 0; m0 < p.out_channels; m0 += p.block_m)
                BP_TRY(product.multiply(m0, n0, k0, block, own));
        }
        return Status::ok;
    });
}

// The pixels of a block are quantized by all; then each takes some rows of weights.
Status run_by_rows(const Product& product) noexcept {
    const ConvParams& p = product.p;
    const Workers& workers = product.context.workers;
    float* scratch = product.context.scratch;
    for (std::uint64_t n0 = 0; n0 < p.n; n0 += p.block_n) {
        const std::uint64_t panels = (product.width(n0) - 1) / panel + 1;
        const std::uint64_t depths = (p.k - 1) / p.block_k + 1;
        each_unit(workers, panels * depths, [&](std::uint64_t unit, unsigned part) noexcept {
            const std::uint64_t depth = unit / panels;
            const std::uint64_t k0 = depth * p.block_k;
            float* own = product.own(part);
            product.quantize(n0, unit % panels * panel, k0, product.locate(k0, own), product.block(scratch, depth),
                             own);
        });
        const auto multiply = [&](std::uint64_t unit, unsigned part) noexcept {
            for (std::uint64_t depth = 0; depth < depths; ++depth) {
                BP_TRY(product.multiply(unit * p.block_m, n0, depth * p.block_k, product.block(scratch, depth),
                                        product.own(part)));
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
    const bool narrow = context.activations == Activations::int8 && context.inputs[1].stored->scheme.bits > 1;
    p->integer = 1;
    p->largest = narrow ? 127 : 32767;
    p->bytes = narrow && multiplies_codes(*kernels()) ? 1 : 0;
    context.products = p->bytes != 0 ? Products::s8 : Products::s16;
    p->block_k = smaller(p->k, most_k);
    const std::uint64_t panels = panel_floats / p->code_floats(p->block_k);
    p->block_n = smaller(round_up(p->n, panel), larger(panels, 4) * panel);
    p->block_m = smaller(p->out_channels, larger(tile_codes / round_up(p->block_k, 4) / 12 * 12, 12));
    share_products(context, p, 4 * panel_floats);
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
