// Gemm and MatMul by bytes: weight codes of 2 to 8 bits, each row of activations as 8-bit codes with a scale for each
// block of k. Sums of a block are exact; blocks are added as floats, in order. A few rows of activations read packed
// rows of weights as they are; more of them use panels of a byte a code, a tile at a time: laid out from rows, or,
// where the weights stand in panels, read there (8 bits) or spread to bytes.
#include <string.h>

#include "ops/matrix.h"
#include "tensor/panels.h"

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t usual_k = 256;       // the most of a block, where the weights have no groups
constexpr std::uint64_t most_k = 512;        // of a group
constexpr std::uint64_t most_rows = 512;     // of activations at once
constexpr std::uint64_t wide = 512;          // columns of weights at once, where a line of codes is of columns
constexpr std::uint64_t narrow = 32;         // where it is of k: then some thousand k, so that lines are read far on
constexpr std::uint64_t deep = 1024;         // that many; both ways tiles of weights are 32 to 256 KiB
constexpr std::uint64_t shallow = 128;       // of what stands in panels: its bytes stay in the nearest cache
constexpr std::uint64_t dots_columns = 64;   // that one worker takes at a time then
constexpr std::uint64_t quantized_rows = 8;  // that one worker quantizes at a time
constexpr std::uint64_t dots_rows = 3;       // up to here rows of activations one by one are faster

// Offsets into scratch, in floats: what workers share, then what each has.
struct Layout {
    std::uint64_t row_codes = 0;  // bytes a row of activations
    std::uint64_t sums = 0, row_scales = 0, starts = 0, first = 0;
    std::uint64_t column_scales = 0, zeros = 0, block = 0, panels = 0, codes = 0, own = 0;
    explicit Layout(const MatrixParams& p) noexcept {
        const std::uint64_t blocks = (p.k - 1) / p.block_k + 1;
        row_codes = (round_up(p.k, 64) / 64 | 1) * 64;  // odd: rows do not meet in one set of a cache
        sums = p.block_m * row_codes / sizeof(float);
        row_scales = sums + blocks * p.block_m;
        starts = row_scales + blocks * p.block_m;
        first = round_up(starts + p.block_m, 16);
        const std::uint64_t blocks_of_tile = p.tile_k / p.block_k;
        zeros = round_up(column_scales + p.block_n * blocks_of_tile, 16);
        block = round_up(zeros + p.block_n * blocks_of_tile, 16);
        panels = block + (p.integer == 3 ? 0 : round_up(p.block_m, 16) * p.block_n);
        codes = panels + p.tile_panels * panel * round_up(p.tile_k, 4) / sizeof(float);
        own = codes + (p.in_panels != 0 ? 0 : p.block_n * round_up(p.tile_k, 4) / sizeof(float));
    }
};

// Whether weights stand in the panels that a product reads, and each block of k in whole groups of them.
bool reads_panels(const TensorView& view, const MatrixParams& p) noexcept {
    if (view.order != (p.trans_b != 0 ? Order::row_panels : Order::column_panels)) return false;
    return p.block_k == p.k || p.block_k % panel_inputs(view.scheme.bits) == 0;
}

// k of the smallest block that packed rows can be read in; 0 where their codes must be unpacked first.
std::uint64_t packed_unit(const Scheme& scheme, const MatrixParams& p) noexcept {
    if (p.trans_b == 0 || (scheme.bits != 2 && scheme.bits != 4)) return 0;
    const std::uint64_t unit = 256 / scheme.bits;
    const bool fits = scheme.granularity != Granularity::group || smaller(scheme.group_size, p.k) % unit == 0;
    return p.k % unit == 0 && fits ? unit : 0;
}

struct Product {
    const RunContext& context;
    const MatrixParams& p;
    Layout at;
    const TensorView& weights;

    unsigned bits() const noexcept { return weights.scheme.bits; }
    bool packed() const noexcept { return weights.order == Order::elements && packed_unit(weights.scheme, p) != 0; }
    std::uint64_t spread() const noexcept { return packed() ? 8 / bits() : 1; }
    std::int8_t* codes() const noexcept { return reinterpret_cast<std::int8_t*>(context.scratch); }
    float* own(unsigned part) const noexcept { return context.scratch + at.first + part * at.own; }
    std::uint8_t* panels(float* own) const noexcept { return reinterpret_cast<std::uint8_t*>(own + at.panels); }
    std::int32_t* sums() const noexcept { return reinterpret_cast<std::int32_t*>(context.scratch + at.sums); }
    const std::uint8_t* packed_row(std::uint64_t row) const noexcept {
        return weights.stream(Role::codes).data() + row * stride();
    }
    std::uint64_t stride() const noexcept { return p.k * bits() / 8; }
    const std::uint8_t* stored_panel(std::uint64_t column) const noexcept {
        return weights.stream(Role::codes).data() + column / panel * panel_bytes(p.k, bits());
    }
    const std::uint8_t* scales() const noexcept { return weights.stream(Role::scales).data(); }
    const std::uint8_t* stored_zeros() const noexcept {  // null where symmetric
        return weights.scheme.affine ? weights.stream(Role::zeros).data() : nullptr;
    }
    std::uint64_t blocks() const noexcept { return (p.k - 1) / p.block_k + 1; }
    // From one output's scale to the next, from one block's to the next.
    std::uint64_t row_step() const noexcept {
        const Granularity by = weights.scheme.granularity;
        return by == Granularity::tensor ? 0 : by == Granularity::axis ? 1 : blocks();
    }
    std::uint64_t block_step() const noexcept { return weights.scheme.granularity == Granularity::group ? 1 : 0; }

    // Codes and scales of rows of a: of each, or, by_block, of each block, those of all rows side by side.
    void quantize(const float* a, std::uint64_t first, std::uint64_t end, bool by_block) const noexcept {
        for (std::uint64_t i = first; i < end; ++i) {
            for (std::uint64_t k0 = 0, block = 0; k0 < p.k; k0 += p.block_k, ++block) {
                const std::uint64_t index = by_block ? block * p.block_m + i : i * blocks() + block;
                context.kernels->quantize_row_s8(a + i * p.k + k0, p.depth_at(k0), spread(),
                                                 codes() + i * at.row_codes + k0,
                                                 context.scratch + at.row_scales + index, sums() + index);
            }
        }
    }

    // `lines` runs of `length` codes, `apart` from each other, from code `first` on: where they stand, if they are
    // bytes in this order, else in `room`; *step: from one to the next.
    const std::uint8_t* unpack(std::uint64_t first, std::uint64_t lines, std::uint64_t length, std::uint64_t apart,
                               std::uint8_t* room, std::uint64_t* step) const noexcept {
        const bool in_place = bits() == 8 && weights.order == Order::elements;
        *step = in_place ? apart : length;
        if (in_place) return weights.stream(Role::codes).data() + first;
        for (std::uint64_t i = 0; i < lines; ++i) {
            read_codes(*context.kernels, weights, first + i * apart, static_cast<std::size_t>(length),
                       room + i * length);
        }
        return room;
    }

    // Columns [n0, n0 + width), k from k0 on: panels, unless they stand as such, and of each block scales and zeros.
    void read(std::uint64_t n0, std::uint64_t width, std::uint64_t k0, std::uint64_t depth, float* own) const noexcept {
        auto* room = reinterpret_cast<std::uint8_t*>(own + at.codes);
        std::uint64_t step = 0;
        if (p.in_panels != 0) {
            // one by one, when they are used
        } else if (packed()) {
            context.kernels->panel_packed_u8(bits(), packed_row(n0) + k0 * bits() / 8, stride(), width, depth,
                                             panels(own));
        } else if (p.trans_b != 0) {
            const std::uint8_t* codes = unpack(n0 * p.k + k0, width, depth, p.k, room, &step);
            context.kernels->panel_rows_u8(codes, step, width, depth, panels(own));
        } else {
            const std::uint8_t* codes = unpack(k0 * p.n + n0, depth, width, p.n, room, &step);
            context.kernels->panel_columns_u8(codes, step, width, depth, panels(own));
        }
        for (std::uint64_t k = k0, first = 0; k < k0 + depth; k += p.block_k, first += p.block_n) {
            read_scales(n0, width, k / p.block_k, own + at.column_scales + first,
                        reinterpret_cast<std::int32_t*>(own + at.zeros) + first);
        }
    }

    void read_scales(std::uint64_t n0, std::uint64_t width, std::uint64_t block, float* to,
                     std::int32_t* zeros) const noexcept {
        const std::uint64_t index = n0 * row_step() + block * block_step();
        const std::uint8_t* from = scales() + 4 * index;
        const std::uint8_t* codes = stored_zeros();
        const std::uint64_t step = row_step();
        const std::int32_t middle = 1 << (bits() - 1U);
        for (std::uint64_t j = 0; j < width; ++j) to[j] = load_le<float>(from + 4 * j * step);
        for (std::uint64_t j = 0; j < width; ++j) zeros[j] = codes == nullptr ? middle : codes[index + j * step];
    }

    void dots(std::uint64_t rows, std::uint64_t n0, std::uint64_t width, float* y) const noexcept {
        const auto* from = reinterpret_cast<const float*>(scales()) + n0 * row_step();
        const std::uint8_t* zeros = stored_zeros() == nullptr ? nullptr : stored_zeros() + n0 * row_step();
        for (std::uint64_t i = 0; i < rows; ++i) {
            float* to = y + i * p.n + n0;
            const std::int8_t* x = codes() + i * at.row_codes;
            const std::int32_t* x_sums = sums() + i * blocks();
            const float* x_scales = context.scratch + at.row_scales + i * blocks();
            if (p.in_panels != 0) {
                context.kernels->panel_dots_u8s8(bits(), stored_panel(n0), width / panel, p.k, p.block_k, x, x_sums,
                                                 x_scales, from, zeros, row_step(), block_step(), to);
            } else {
                context.kernels->dots_u8s8(bits(), packed_row(n0), stride(), width, p.k, p.block_k, x, x_sums, x_scales,
                                           from, zeros, row_step(), block_step(), to);
            }
            context.kernels->affine_f32(to, width, 1.0F, 0.0F, p.bounds.low, p.bounds.high, to);
        }
    }

    // Columns of the output side by side, as the products add to them, from y or to it.
    void copy(std::uint64_t rows, std::uint64_t width, bool back, float* block, float* y) const noexcept {
        for (std::uint64_t i = 0; i < rows; ++i) {
            float* there = y + i * p.n;
            float* here = block + i * p.block_n;
            memcpy(back ? there : here, back ? here : there, width * sizeof(float));
        }
    }

    // The panel of columns n0 + j.. in the tile of columns from n0 and k from k0 on.
    const std::uint8_t* panel_of(std::uint64_t n0, std::uint64_t j, std::uint64_t k0, std::uint64_t depth,
                                 float* own) const noexcept {
        if (p.in_panels == 0) return panels(own) + j * round_up(depth, 4);
        const std::uint8_t* from = stored_panel(n0 + j) + group_bytes(k0, bits());
        if (bits() == 8) return from;
        context.kernels->spread_panel_u8(bits(), from, static_cast<std::size_t>(depth), panels(own));
        return panels(own);
    }

    // One panel of a tile, block by block.
    void add_panel(std::uint64_t rows, std::uint64_t width, std::uint64_t k0, std::uint64_t depth,
                   const std::uint8_t* from, const float* column_scales, const std::int32_t* zeros, const float* starts,
                   float* out) const noexcept {
        for (std::uint64_t k = k0; k < k0 + depth; k += p.block_k) {
            const std::uint64_t some = p.depth_at(k);
            const std::uint64_t block = k / p.block_k * p.block_m;
            const bool last = k + some == p.k;
            context.kernels->gemm_u8s8(
                rows, width, (some + 3) / 4, bits(), codes() + k, at.row_codes, sums() + block, from + (k - k0) * panel,
                zeros, column_scales, context.scratch + at.row_scales + block, k == 0 ? starts : nullptr, out,
                p.block_n, last ? p.bounds.low : -__builtin_inff(), last ? p.bounds.high : __builtin_inff());
            column_scales += p.block_n;
            zeros += p.block_n;
        }
    }

    // Columns from n0 on. starts: null where y holds what is added to.
    void multiply(std::uint64_t rows, std::uint64_t n0, const float* starts, float* y, float* own) const noexcept {
        const std::uint64_t width = smaller(p.block_n, p.n - n0);
        float* out = own + at.block;
        if (starts == nullptr) copy(rows, width, false, out, y + n0);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.tile_k) {
            const std::uint64_t depth = smaller(p.tile_k, p.k - k0);
            read(n0, width, k0, depth, own);
            for (std::uint64_t j = 0; j < width; j += panel) {
                const std::uint8_t* from = panel_of(n0, j, k0, depth, own);
                add_panel(rows, smaller(panel, width - j), k0, depth, from, own + at.column_scales + j,
                          reinterpret_cast<const std::int32_t*>(own + at.zeros) + j, starts, out + j);
            }
        }
        copy(rows, width, true, out, y + n0);
    }
};

// Whether scales can be read where they stand.
bool scales_in_place(const TensorView& view) noexcept {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    (void)view;
    return false;
#else
    return reinterpret_cast<std::uintptr_t>(view.stream(Role::scales).data()) % alignof(float) == 0;
#endif
}

}  // namespace

bool matrix_takes_bytes(const PlanContext& context, const MatrixParams& p) noexcept {
    const TensorView* stored = context.inputs[1].stored;
    if (context.activations != Activations::int8 || stored == nullptr || p.trans_a != 0 || p.alpha != 1.0F)
        return false;
    const Scheme& scheme = stored->scheme;
    if (scheme.structure != Structure::dense || scheme.values != Values::integer || stored->shape.rank != 2 ||
        scheme.bits < 2 || scheme.bits > 8) {
        return false;
    }
    switch (scheme.granularity) {
        case Granularity::tensor: return true;
        case Granularity::axis: return scheme.axis == (p.trans_b != 0 ? 0 : 1);
        case Granularity::group: {
            const std::uint64_t size = smaller(scheme.group_size, p.k);
            return p.trans_b != 0 && (size == p.k || size % 4 == 0) && size <= most_k;
        }
    }
    return false;
}

Status plan_byte_matrix(PlanContext& context, MatrixParams* p) noexcept {
    const Scheme& scheme = context.inputs[1].stored->scheme;
    const TensorView& stored = *context.inputs[1].stored;
    const std::uint64_t unit = packed_unit(scheme, *p);
    context.products = Products::s8;
    const std::uint64_t blocks = (p->k - 1) / usual_k + 1;
    const std::uint64_t even = round_up((p->k - 1) / blocks + 1, unit != 0 ? unit : 4);
    p->block_k = smaller(p->k, scheme.granularity == Granularity::group ? scheme.group_size : even);
    p->in_panels = reads_panels(stored, *p) ? 1 : 0;
    const bool direct =
        p->in_panels != 0 ? multiplies_panels(*kernels()) : unit != 0 && stored.order == Order::elements;
    const bool dots = direct && p->m <= dots_rows && scales_in_place(stored);
    p->integer = dots ? 3 : 2;
    const bool along = p->trans_b != 0 || p->in_panels != 0;  // codes stand along k
    const std::uint64_t depth = round_up(p->in_panels != 0 ? shallow : deep, p->block_k);
    p->tile_k = along ? smaller(round_up(p->k, p->block_k), depth) : p->block_k;
    p->block_n = smaller(round_up(p->n, panel), along ? narrow : wide);
    p->block_m = smaller(p->m, most_rows);
    if (dots) {
        p->block_n = smaller(round_up(p->n, panel), dots_columns);
        context.share(p->blocks(), context.work / 16);
    } else {
        p->block_n = share_matrix(context, *p);
    }
    p->tile_panels = p->in_panels == 0 ? p->block_n / panel : scheme.bits == 8 ? 0 : 1;
    const Layout at(*p);
    context.tile_floats = dots ? 0 : context.parts * (at.own - at.panels);
    context.scratch_floats = at.first + context.parts * at.own;
    return Status::ok;
}

Status run_byte_matrix(const RunContext& context, const MatrixParams& p) noexcept {
    const Product product = {context, p, Layout(p), *context.stored[1]};
    const float* c = context.input_count > 2 ? context.input(2) : nullptr;
    const bool dots = p.integer == 3;
    const bool adds = dots || (c != nullptr && p.beta != 0.0F);
    float* zeros = context.scratch + product.at.starts;  // of rows whose sum begins there
    for (std::uint64_t m0 = 0; m0 < p.m; m0 += p.block_m) {
        const std::uint64_t rows = smaller(p.block_m, p.m - m0);
        float* y = context.output() + m0 * p.n;
        each_unit(context.workers, (rows - 1) / quantized_rows + 1, [&](std::uint64_t unit, unsigned) noexcept {
            const std::uint64_t first = unit * quantized_rows;
            const std::uint64_t end = smaller(first + quantized_rows, rows);
            product.quantize(context.input(0) + m0 * p.k, first, end, !dots);
            if (adds) {
                fill_c(p, c, {m0 + first, end - first, 0, p.n}, context.output());
            } else {
                memset(zeros + first, 0, (end - first) * sizeof(float));
            }
        });
        each_unit(context.workers, p.blocks(), [&](std::uint64_t unit, unsigned part) noexcept {
            const std::uint64_t n0 = unit * p.block_n;
            if (dots) {
                product.dots(rows, n0, smaller(p.block_n, p.n - n0), y);
            } else {
                product.multiply(rows, n0, adds ? nullptr : zeros, y, product.own(part));
            }
        });
    }
    return Status::ok;
}

}  // namespace bitpress
