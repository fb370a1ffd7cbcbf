// Gemm and MatMul by integers: weights as they are stored, each row of activations as 16-bit codes with a scale for
// each block of k. Sums of a block are exact; blocks are added as floats, in order.
#include <string.h>

#include "ops/integer_rows.h"
#include "ops/matrix.h"

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t most_k = 512;        // 512 * 128 * 32767 < 2^31: a block's sum cannot wrap
constexpr std::uint64_t most_rows = 512;     // of activations at once
constexpr std::uint64_t columns = 128;       // of weights at once: with most_k, 128 KiB
constexpr std::uint64_t quantized_rows = 8;  // that one worker quantizes at a time

// Offsets into scratch, in floats: what workers share, then what each has.
struct Layout {
    std::uint64_t row_codes = 0;  // codes of a row of activations
    std::uint64_t row_scales = 0, starts = 0, first = 0;
    std::uint64_t column_scales = 0, panels = 0, codes = 0, own = 0;
    explicit Layout(const MatrixParams& p) noexcept {
        row_codes = round_up(p.k, 2);
        row_scales = round_up(p.block_m * row_codes / 2, 16);
        starts = row_scales + blocks(p) * p.block_m;
        first = round_up(starts + p.block_m, 16);
        panels = round_up(column_scales + p.block_n, 16);
        codes = panels + p.block_n * round_up(p.block_k, 2) / 2;
        own = codes + round_up(p.block_n * p.block_k, 16) / sizeof(float);
    }
    static std::uint64_t blocks(const MatrixParams& p) noexcept { return (p.k - 1) / p.block_k + 1; }
};

struct Product {
    const RunContext& context;
    const MatrixParams& p;
    Layout at;
    IntegerCodes weights;

    bool by_group() const noexcept { return weights.view.scheme.granularity == Granularity::group; }
    std::int16_t* rows() const noexcept { return reinterpret_cast<std::int16_t*>(context.scratch); }
    float* own(unsigned part) const noexcept { return context.scratch + at.first + part * at.own; }

    void quantize(const float* a, std::uint64_t first, std::uint64_t end) const noexcept {
        for (std::uint64_t k0 = 0, block = 0; k0 < p.k; k0 += p.block_k, ++block) {
            float* scales = context.scratch + at.row_scales + block * p.block_m;
            for (std::uint64_t i = first; i < end; ++i) {
                context.kernels->quantize_row_s16(a + i * p.k + k0, p.depth_at(k0), rows() + i * at.row_codes + k0,
                                                  scales + i);
            }
        }
    }

    // Weights of columns [n0, n0 + width), k from k0 on, as panels; their scales.
    void read(std::uint64_t n0, std::uint64_t width, std::uint64_t k0, std::uint64_t depth, float* own) const noexcept {
        auto* room = reinterpret_cast<std::uint8_t*>(own + at.codes);
        const bool bytes = weights.in_place();
        const bool transposed = p.trans_b != 0;
        const std::uint64_t lines = transposed ? width : depth;
        const std::uint64_t length = transposed ? depth : width;
        const std::uint64_t first = transposed ? n0 * p.k + k0 : k0 * p.n + n0;
        const std::uint64_t apart = transposed ? p.k : p.n;
        const std::uint8_t* codes = weights.read(*context.kernels, first, 0, room);
        const std::uint64_t stride = bytes ? apart : length;
        for (std::uint64_t i = 0; i < lines && !bytes; ++i) {
            weights.read(*context.kernels, first + i * apart, length, room + i * length);
        }
        const auto fill = transposed ? context.kernels->panel_rows_s16 : context.kernels->panel_columns_s16;
        fill(codes, stride, width, depth, weights.factor(), weights.zero(),
             reinterpret_cast<std::int16_t*>(own + at.panels));
        float* scales = own + at.column_scales;
        if (p.block_k == 0) return;  // never: k is positive
        const bool by_column = weights.view.scheme.granularity == Granularity::axis;
        for (std::uint64_t j = 0; j < width; ++j) {
            const std::uint64_t group = (n0 + j) * Layout::blocks(p) + k0 / p.block_k;
            scales[j] = p.alpha * weights.scale(by_group() ? group : by_column ? n0 + j : 0);
        }
    }

    // Columns from n0 on of `count` rows. starts: null where y holds what is added to.
    void multiply(std::uint64_t count, std::uint64_t n0, const float* starts, float* y, float* own) const noexcept {
        const std::uint64_t width = smaller(p.block_n, p.n - n0);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            const std::uint64_t depth = p.depth_at(k0);
            const bool last = k0 + depth == p.k;
            read(n0, width, k0, depth, own);
            context.kernels->gemm_s16(count, width, round_up(depth, 2) / 2, rows() + k0, at.row_codes,
                                      reinterpret_cast<const std::int16_t*>(own + at.panels), own + at.column_scales,
                                      context.scratch + at.row_scales + k0 / p.block_k * p.block_m,
                                      k0 == 0 ? starts : nullptr, y + n0, p.n, last ? p.bounds.low : -__builtin_inff(),
                                      last ? p.bounds.high : __builtin_inff());
        }
    }
};

}  // namespace

bool matrix_takes_integers(const PlanContext& context, const MatrixParams& p) noexcept {
    const TensorView* stored = context.inputs[1].stored;
    if (context.activations == Activations::float32 || stored == nullptr || p.trans_a != 0) return false;
    if (!has_integers(*stored) || stored->shape.rank != 2) return false;
    const Scheme& scheme = stored->scheme;
    switch (scheme.granularity) {
        case Granularity::tensor: return true;
        case Granularity::axis: return scheme.axis == (p.trans_b != 0 ? 0 : 1);
        case Granularity::group:
            return p.trans_b != 0 && (scheme.group_size >= p.k || scheme.group_size % 2 == 0) &&
                   smaller(scheme.group_size, p.k) <= most_k;
    }
    return false;
}

Status plan_integer_matrix(PlanContext& context, MatrixParams* p) noexcept {
    const Scheme& scheme = context.inputs[1].stored->scheme;
    const std::uint64_t blocks = (p->k - 1) / most_k + 1;
    p->integer = 1;
    context.products = Products::s16;
    p->block_k = smaller(p->k, round_up((p->k - 1) / blocks + 1, 2));
    if (scheme.granularity == Granularity::group) p->block_k = smaller(p->k, scheme.group_size);
    p->block_n = smaller(round_up(p->n, panel), columns);
    p->block_m = smaller(p->m, most_rows);
    p->block_n = share_matrix(context, *p);
    const Layout at(*p);
    context.tile_floats = context.parts * (at.own - at.panels);
    context.scratch_floats = at.first + context.parts * at.own;
    return Status::ok;
}

Status run_integer_matrix(const RunContext& context, const MatrixParams& p) noexcept {
    const Product product = {context, p, Layout(p), {*context.stored[1]}};
    const float* c = context.input_count > 2 ? context.input(2) : nullptr;
    const bool adds = c != nullptr && p.beta != 0.0F;
    float* zeros = context.scratch + product.at.starts;  // of rows whose sum begins there
    for (std::uint64_t m0 = 0; m0 < p.m; m0 += p.block_m) {
        const std::uint64_t rows = smaller(p.block_m, p.m - m0);
        float* y = context.output() + m0 * p.n;
        each_unit(context.workers, (rows - 1) / quantized_rows + 1, [&](std::uint64_t unit, unsigned) noexcept {
            const std::uint64_t first = unit * quantized_rows;
            const std::uint64_t end = smaller(first + quantized_rows, rows);
            product.quantize(context.input(0) + m0 * p.k, first, end);
            if (adds) {
                fill_c(p, c, {m0 + first, end - first, 0, p.n}, context.output());
            } else {
                memset(zeros + first, 0, (end - first) * sizeof(float));
            }
        });
        each_unit(context.workers, p.blocks(), [&](std::uint64_t unit, unsigned part) noexcept {
            product.multiply(rows, unit * p.block_n, adds ? nullptr : zeros, y, product.own(part));
        });
    }
    return Status::ok;
}

}  // namespace bitpress
