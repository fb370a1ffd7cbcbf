// Gemm and MatMul by bytes: weight codes of 2 to 4 bits, each row of activations as 8-bit codes with a scale for each
// block of k. Sums of a block are exact; blocks are added as floats, in order. A few rows of activations read packed
// rows of weights as they are; more of them use panels of a byte a code, a tile at a time.
#include <string.h>

#include "ops/integer_rows.h"
#include "ops/matrix.h"

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t usual_k = 128;       // of a block, where the weights have no groups
constexpr std::uint64_t most_k = 512;        // of a group
constexpr std::uint64_t most_rows = 512;     // of activations at once
constexpr std::uint64_t columns = 128;       // of weights at once: with most_k, 64 KiB
constexpr std::uint64_t dots_columns = 64;   // that one worker takes at a time then
constexpr std::uint64_t quantized_rows = 8;  // that one worker quantizes at a time
constexpr std::uint64_t dots_rows = 3;       // up to here rows of activations one by one are faster

// Offsets into scratch, in floats: what workers share, then what each has.
struct Layout {
    std::uint64_t row_codes = 0;  // bytes a row of activations
    std::uint64_t sums = 0, row_scales = 0, starts = 0, first = 0;
    std::uint64_t column_scales = 0, block = 0, panels = 0, codes = 0, own = 0;
    explicit Layout(const MatrixParams& p) noexcept {
        const std::uint64_t blocks = (p.k - 1) / p.block_k + 1;
        row_codes = (round_up(p.k, 64) / 64 | 1) * 64;  // odd: rows do not meet in one set of a cache
        sums = p.block_m * row_codes / sizeof(float);
        row_scales = sums + blocks * p.block_m;
        starts = row_scales + blocks * p.block_m;
        first = round_up(starts + p.block_m, 16);
        block = round_up(column_scales + p.block_n, 16);
        panels = block + (p.integer == 3 ? 0 : round_up(p.block_m, 16) * p.block_n);
        codes = panels + p.block_n * round_up(p.block_k, 4) / sizeof(float);
        own = codes + (p.trans_b != 0 ? 0 : p.block_n * round_up(p.block_k, 4) / sizeof(float));
    }
};

struct Product {
    const RunContext& context;
    const MatrixParams& p;
    Layout at;
    const TensorView& weights;

    unsigned bits() const noexcept { return weights.scheme.bits; }
    bool packed() const noexcept { return p.trans_b != 0; }
    std::uint64_t spread() const noexcept { return packed() ? 8 / bits() : 1; }
    std::int8_t* codes() const noexcept { return reinterpret_cast<std::int8_t*>(context.scratch); }
    float* own(unsigned part) const noexcept { return context.scratch + at.first + part * at.own; }
    std::uint8_t* panels(float* own) const noexcept { return reinterpret_cast<std::uint8_t*>(own + at.panels); }
    std::int32_t* sums() const noexcept { return reinterpret_cast<std::int32_t*>(context.scratch + at.sums); }
    const std::uint8_t* packed_row(std::uint64_t row) const noexcept {
        return weights.stream(Role::codes).data() + row * stride();
    }
    std::uint64_t stride() const noexcept { return p.k * bits() / 8; }
    const std::uint8_t* scales() const noexcept { return weights.stream(Role::scales).data(); }
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

    void read(std::uint64_t n0, std::uint64_t width, std::uint64_t k0, std::uint64_t depth, float* own) const noexcept {
        if (packed()) {
            context.kernels->panel_packed_u8(bits(), packed_row(n0) + k0 * bits() / 8, stride(), width, depth,
                                             panels(own));
        } else {
            auto* room = reinterpret_cast<std::uint8_t*>(own + at.codes);
            for (std::uint64_t i = 0; i < depth; ++i) {
                const Bytes from = weights.stream(Role::codes);
                context.kernels->unpack_bits(from.data(), from.size(), (k0 + i) * p.n + n0, width, bits(),
                                             room + i * width);
            }
            context.kernels->panel_columns_u8(room, width, width, depth, panels(own));
        }
        float* to = own + at.column_scales;
        for (std::uint64_t j = 0; j < width; ++j) {
            to[j] = load_le<float>(scales() + 4 * ((n0 + j) * row_step() + k0 / p.block_k * block_step()));
        }
    }

    void dots(std::uint64_t rows, std::uint64_t n0, std::uint64_t width, float* y) const noexcept {
        const auto* from = reinterpret_cast<const float*>(scales()) + n0 * row_step();
        for (std::uint64_t i = 0; i < rows; ++i) {
            float* to = y + i * p.n + n0;
            context.kernels->dots_u8s8(bits(), packed_row(n0), stride(), width, p.k, p.block_k,
                                       codes() + i * at.row_codes, sums() + i * blocks(),
                                       context.scratch + at.row_scales + i * blocks(), from, row_step(), block_step(),
                                       to);
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

    // Columns from n0 on. starts: null where y holds what is added to.
    void multiply(std::uint64_t rows, std::uint64_t n0, const float* starts, float* y, float* own) const noexcept {
        const std::uint64_t width = smaller(p.block_n, p.n - n0);
        float* out = own + at.block;
        if (starts == nullptr) copy(rows, width, false, out, y + n0);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            const std::uint64_t depth = p.depth_at(k0);
            const std::uint64_t block = k0 / p.block_k * p.block_m;
            const bool last = k0 + depth == p.k;
            read(n0, width, k0, depth, own);
            context.kernels->gemm_u8s8(
                rows, width, (depth + 3) / 4, bits(), codes() + k0, at.row_codes, sums() + block, panels(own),
                own + at.column_scales, context.scratch + at.row_scales + block, k0 == 0 ? starts : nullptr, out,
                p.block_n, last ? p.bounds.low : -__builtin_inff(), last ? p.bounds.high : __builtin_inff());
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
    if (!has_integers(*stored) || stored->shape.rank != 2) return false;
    const Scheme& scheme = stored->scheme;
    const bool by_output = scheme.granularity == Granularity::tensor ||
                           (scheme.granularity == Granularity::axis && scheme.axis == (p.trans_b != 0 ? 0 : 1));
    if (p.trans_b == 0) return scheme.bits >= 2 && scheme.bits <= 4 && by_output;
    if (scheme.bits != 2 && scheme.bits != 4) return false;
    const std::uint64_t unit = 256 / scheme.bits;
    if (p.k % unit != 0) return false;
    if (scheme.granularity != Granularity::group) return by_output;
    return smaller(scheme.group_size, p.k) % unit == 0 && smaller(scheme.group_size, p.k) <= most_k;
}

Status plan_byte_matrix(PlanContext& context, MatrixParams* p) noexcept {
    const Scheme& scheme = context.inputs[1].stored->scheme;
    const bool dots = p->trans_b != 0 && p->m <= dots_rows && scales_in_place(*context.inputs[1].stored);
    p->integer = dots ? 3 : 2;
    context.products = Products::s8;
    p->block_k = smaller(p->k, scheme.granularity == Granularity::group ? scheme.group_size : usual_k);
    p->block_n = smaller(round_up(p->n, panel), columns);
    p->block_m = smaller(p->m, most_rows);
    if (dots) {
        p->block_n = smaller(round_up(p->n, panel), dots_columns);
        context.share(p->blocks(), context.work / 16);
    } else {
        p->block_n = share_matrix(context, *p);
    }
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
