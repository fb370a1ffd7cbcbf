// Convolution by integers: weights as they are stored, activations as 16-bit codes with one scale for each output pixel
// and block of k. Sums of a block are exact; blocks are added as floats, in order.
#include "ops/conv.h"

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t most_k = 512;          // 512 * 128 * 32767 < 2^31: a block's sum cannot wrap
constexpr std::uint64_t panel_codes = 131072;  // of quantized pixels at once: 256 KiB
constexpr std::uint64_t tile_codes = 32768;    // of weights at once: 64 KiB

// Offsets into scratch, in floats.
struct Layout {
    std::uint64_t panels = 0, column_scales = 0, pixels = 0, tile = 0, codes = 0, row_scales = 0, starts = 0, end = 0;
    explicit Layout(const ConvParams& p) noexcept {
        const std::uint64_t even = round_up(p.block_k, 2);
        column_scales = panels + p.block_n * even / 2;
        pixels = column_scales + p.block_n;
        tile = pixels + p.block_k * panel;
        codes = tile + round_up(p.block_m * even / 2, 16);
        row_scales = codes + round_up(even, 64) / sizeof(float);
        starts = row_scales + p.block_m;
        end = starts + p.block_m;
    }
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

void quantize_pixels(const RunContext& context, const ConvParams& p, const float* image, std::uint64_t n0,
                     std::uint64_t width, std::uint64_t k0, std::uint64_t depth, const Layout& at) noexcept {
    auto* panels = reinterpret_cast<std::int16_t*>(context.scratch + at.panels);
    float* scales = context.scratch + at.column_scales;
    float* pixels = context.scratch + at.pixels;
    const bool in_place = p.window.trivial();
    for (std::uint64_t j = 0; j < width; j += panel) {
        std::int16_t* to = panels + j * round_up(depth, 2);
        const std::uint64_t columns = smaller(panel, width - j);
        if (in_place && columns == panel) {
            const float* from = image + k0 * p.in_plane() + n0 + j;
            context.kernels->quantize_columns_s16(from, p.in_plane(), depth, to, scales + j);
            continue;
        }
        gather_pixels(*context.kernels, p, image, n0 + j, columns, k0, depth, pixels);
        context.kernels->quantize_columns_s16(pixels, panel, depth, to, scales + j);
    }
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
    p->block_k = smaller(p->k, most_k);
    const std::uint64_t even = round_up(p->block_k, 2);
    p->block_n = smaller(round_up(p->n, panel), larger(panel_codes / even / panel * panel, 4 * panel));
    p->block_m = smaller(p->out_channels, larger(tile_codes / even / 6 * 6, 6));
    const Layout at(*p);
    context.tile_floats = at.starts - at.tile;
    context.scratch_floats = at.end;
    return Status::ok;
}

Status run_integer(const RunContext& context, const ConvParams& p) noexcept {
    const Layout at(p);
    const IntegerRows weights = {*context.stored[1], p.k};
    const float* bias = context.input_count > 2 ? context.input(2) : nullptr;
    auto* tile = reinterpret_cast<std::int16_t*>(context.scratch + at.tile);
    auto* codes = reinterpret_cast<std::uint8_t*>(context.scratch + at.codes);
    const auto* panels = reinterpret_cast<const std::int16_t*>(context.scratch + at.panels);
    float* row_scales = context.scratch + at.row_scales;
    float* starts = context.scratch + at.starts;
    for (std::uint64_t block = 0; block < p.batch * ((p.n - 1) / p.block_n + 1); ++block) {
        const std::uint64_t image = block / ((p.n - 1) / p.block_n + 1);
        const std::uint64_t n0 = block % ((p.n - 1) / p.block_n + 1) * p.block_n;
        const std::uint64_t width = smaller(p.block_n, p.n - n0);
        const float* in = context.input(0) + image * p.in_channels * p.in_plane();
        float* out = context.output() + image * p.out_channels * p.n + n0;
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            const std::uint64_t depth = smaller(p.block_k, p.k - k0);
            const std::uint64_t even = round_up(depth, 2);
            const bool last = k0 + depth == p.k;
            quantize_pixels(context, p, in, n0, width, k0, depth, at);
            for (std::uint64_t m0 = 0; m0 < p.out_channels; m0 += p.block_m) {
                const std::uint64_t rows = smaller(p.block_m, p.out_channels - m0);
                BP_TRY(weights.read(*context.kernels, m0, rows, k0, depth, codes, tile, even));
                for (std::uint64_t i = 0; i < rows; ++i) {
                    row_scales[i] = weights.scale(m0 + i);
                    starts[i] = bias == nullptr ? 0.0F : bias[m0 + i];
                }
                context.kernels->gemm_s16(rows, width, even / 2, tile, even, panels, context.scratch + at.column_scales,
                                          row_scales, k0 == 0 ? starts : nullptr, out + m0 * p.n, p.n,
                                          last ? p.bounds.low : -__builtin_inff(),
                                          last ? p.bounds.high : __builtin_inff());
            }
        }
    }
    return Status::ok;
}

}  // namespace bitpress
