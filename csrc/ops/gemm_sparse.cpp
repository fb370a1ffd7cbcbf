// Gemm and MatMul over what a bitmap stores. A block of outputs at a time, the survivors become lists, one an output,
// of values and the rows of the activations they multiply; the activations stand transposed, in panels of 16 of their
// rows, so that one value multiplies neighbours. Lists are a tile: made, used for up to 128 rows of activations,
// overwritten.
#include <string.h>

#include "ops/matrix.h"
#include "tensor/survivors.h"

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t strip = 2 * panel;  // rows of activations that a product takes at once
constexpr std::uint64_t columns = 256;      // outputs at once
constexpr std::uint64_t most_rows = 128;    // of activations at once
constexpr std::uint64_t most_depth = 256;   // of lists: 32 columns of the activations so deep stay in the nearest cache
constexpr std::uint64_t entries = 16384;    // of a tile
constexpr std::uint64_t slack = 64;         // that readers of survivors may write more

// Offsets into scratch, in floats: what workers share, then what each has.
struct Layout {
    static constexpr std::uint64_t room = entries + slack;  // of a tile
    std::uint64_t before = 0, first = 0;
    std::uint64_t sums = 0, held = 0, ends = 0, block = 0, values = 0, positions = 0, own = 0;
    explicit Layout(const MatrixParams& p) noexcept {
        before = round_up(p.block_m, panel) * p.k;
        first = round_up(before + 2 * p.b_rows, panel);
        held = sums + p.block_n * round_up(p.block_m, strip);
        ends = round_up(held + 2 * p.block_n, panel);
        block = round_up(ends + p.block_n + 1, panel);
        // Two of each: as they are read and, where that is not the outputs' order, in theirs.
        values = block + strip * panel;
        positions = values + 2 * room;
        own = round_up(positions + room, panel);
    }
};

struct Product {
    const RunContext& context;
    const MatrixParams& p;
    Layout at;
    Survivors weights;
    std::uint64_t m0, rows;  // of the activations

    // Of a strip of rows: for each output of the block, the strip's.
    float* sums(std::uint64_t i, float* own) const noexcept { return own + at.sums + i * p.block_n; }
    float* panels() const noexcept { return context.scratch; }
    std::uint64_t* before() const noexcept { return reinterpret_cast<std::uint64_t*>(context.scratch + at.before); }

    void pack(std::uint64_t i) const noexcept {
        const float* from = context.input(0) + (m0 + i * panel) * p.k;
        context.kernels->pack_panel_f32(from, p.k, smaller(panel, rows - i * panel), p.k, panels() + i * panel * p.k);
    }

    // Adds the products of lists with the activations' columns from k0 on to the sums of outputs from j0 on.
    void multiply(std::uint64_t j0, std::uint64_t lists, std::uint64_t k0, const std::uint16_t* positions,
                  const float* values, float* own) const noexcept {
        const auto* ends = reinterpret_cast<const std::uint32_t*>(own + at.ends);
        for (std::uint64_t i = 0; i < rows; i += strip) {
            context.kernels->spmm_f32(lists, ends, positions, values, panels() + i * p.k + k0 * panel, panel * p.k,
                                      rows - i > panel ? 2 : 1, sums(i, own) + j0 * strip, strip);
        }
    }

    // Rows of weights are outputs: they are the lists.
    void by_rows(std::uint64_t n0, std::uint64_t width, float* own) const noexcept {
        auto* positions = reinterpret_cast<std::uint16_t*>(own + at.positions);
        auto* ends = reinterpret_cast<std::uint32_t*>(own + at.ends);
        auto* held = reinterpret_cast<std::uint64_t*>(own + at.held);
        float* values = own + at.values;
        memcpy(held, before() + n0, width * sizeof *held);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += most_depth) {
            const std::uint64_t depth = smaller(most_depth, p.k - k0);
            for (std::uint64_t j0 = 0; j0 < width;) {
                std::uint64_t lists = 0, count = 0;
                while (j0 + lists < width && count + depth <= entries) {
                    const std::uint64_t j = j0 + lists;
                    count += weights.read(n0 + j, k0, depth, &held[j], positions + count, values + count);
                    ends[lists++] = static_cast<std::uint32_t>(count);
                }
                multiply(j0, lists, k0, positions, values, own);
                j0 += lists;
            }
        }
    }

    // Columns of weights are outputs: what some rows hold is sorted by column.
    void by_columns(std::uint64_t n0, std::uint64_t width, float* own) const noexcept {
        auto* read_positions = reinterpret_cast<std::uint16_t*>(own + at.positions);
        auto* positions = read_positions + Layout::room;
        auto* ends = reinterpret_cast<std::uint32_t*>(own + at.ends);
        float* read_values = own + at.values;
        float* values = read_values + Layout::room;
        std::uint32_t row_ends[most_depth];
        for (std::uint64_t k0 = 0; k0 < p.k;) {
            std::uint64_t depth = 0, count = 0;
            memset(ends, 0, (width + 1) * sizeof *ends);
            while (k0 + depth < p.k && depth < most_depth && count + width <= entries) {
                const std::uint64_t row = k0 + depth;
                std::uint64_t held = before()[row] + weights.count(row, 0, n0);
                const std::uint64_t some =
                    weights.read(row, n0, width, &held, read_positions + count, read_values + count);
                for (std::uint64_t s = count; s < count + some; ++s) ++ends[read_positions[s] + 1];
                count += some;
                row_ends[depth++] = static_cast<std::uint32_t>(count);
            }
            for (std::uint64_t j = 0; j < width; ++j) ends[j + 1] += ends[j];
            for (std::uint64_t k = 0, s = 0; k < depth; ++k) {
                for (; s < row_ends[k]; ++s) {
                    const std::uint32_t to = ends[read_positions[s]]++;
                    positions[to] = static_cast<std::uint16_t>(k);
                    values[to] = read_values[s];
                }
            }
            multiply(0, width, k0, positions, values, own);
            k0 += depth;
        }
    }

    // Of outputs from j on, at most 16: alpha, and the scales that reading left out.
    void factors(std::uint64_t j, std::uint64_t outputs, float (&factor)[panel]) const noexcept {
        const std::uint8_t* scales = weights.column_scales();
        for (std::uint64_t c = 0; c < panel; ++c) {
            factor[c] = scales != nullptr && c < outputs ? p.alpha * load_le<float>(scales + 4 * (j + c)) : p.alpha;
        }
    }

    // clip(factor * sums + what y holds).
    void finish(std::uint64_t n0, std::uint64_t width, float* own) const noexcept {
        float* block = own + at.block;
        float factor[panel];
        for (std::uint64_t i0 = 0; i0 < rows; i0 += strip) {
            const std::uint64_t some = smaller(strip, rows - i0);
            float* y = context.output() + (m0 + i0) * p.n + n0;
            for (std::uint64_t j = 0; j < width; j += panel) {
                const std::uint64_t outputs = smaller(panel, width - j);
                factors(n0 + j, outputs, factor);
                context.kernels->pack_panel_f32(sums(i0, own) + j * strip, strip, outputs, some, block);
                for (std::uint64_t i = 0; i < some; ++i) add_row(outputs, factor, block + i * panel, y + i * p.n + j);
            }
            for (std::uint64_t i = 0; i < some; ++i) {
                context.kernels->affine_f32(y + i * p.n, width, 1.0F, 0.0F, p.bounds.low, p.bounds.high, y + i * p.n);
            }
        }
    }

    static void add_row(std::uint64_t n, const float (&factor)[panel], const float* __restrict x,
                        float* __restrict y) noexcept {
        if (n == panel) {  // a count that the compiler knows
            for (std::uint64_t c = 0; c < panel; ++c) y[c] += factor[c] * x[c];
        } else {
            for (std::uint64_t c = 0; c < n; ++c) y[c] += factor[c] * x[c];
        }
    }

    void outputs(std::uint64_t n0, float* own) const noexcept {
        const std::uint64_t width = smaller(p.block_n, p.n - n0);
        fill_c(p, context.input_count > 2 ? context.input(2) : nullptr, {m0, rows, n0, width}, context.output());
        memset(own + at.sums, 0, (at.held - at.sums) * sizeof(float));
        if (p.trans_b != 0) {
            by_rows(n0, width, own);
        } else {
            by_columns(n0, width, own);
        }
        finish(n0, width, own);
    }
};

}  // namespace

bool matrix_takes_sparse(const PlanContext& context, const MatrixParams& p) noexcept {
    const TensorView* stored = context.inputs[1].stored;
    if (stored == nullptr || !Survivors::readable(*stored) || stored->shape.rank != 2 || p.trans_a != 0) return false;
    if (p.batch.total() != 1 || p.m == 0 || p.n == 0 || p.k == 0) return false;
    // Rough times in quarters of a cycle: of an element as a float, unpacked and multiplied, against that of finding
    // the survivors among the elements, and of a survivor.
    const bool rows = p.trans_b != 0;
    const std::uint64_t m = smaller(p.m, most_rows);
    const std::uint64_t dense = (rows ? (p.m <= 4 ? 6 : 10) : 20) + m * 3 / 8;
    const std::uint64_t survivor = (rows ? 12 : 24) + 16 * ((m - 1) / (2 * panel) + 1);
    return Survivors::count(*stored) * survivor < p.k * p.n * (dense - (rows ? 3 : 6));
}

Status plan_sparse_matrix(PlanContext& context, MatrixParams* p) noexcept {
    p->integer = 4;
    p->b_rows = p->trans_b != 0 ? p->n : p->k;
    p->block_n = smaller(p->n, columns);
    p->block_m = smaller(p->m, most_rows);
    context.work = context.work / (p->k * p->n) * Survivors::count(*context.inputs[1].stored);
    context.share(p->blocks(), context.work / 8);
    const Layout at(*p);
    context.tile_floats = context.parts * (at.own - at.values);
    context.scratch_floats = at.first + context.parts * at.own;
    return Status::ok;
}

Status run_sparse_matrix(const RunContext& context, const MatrixParams& p) noexcept {
    const Layout at(p);
    std::uint64_t held = 0;
    auto* before = reinterpret_cast<std::uint64_t*>(context.scratch + at.before);
    const Survivors weights(*context.kernels, *context.stored[1], p.b_columns, p.trans_b == 0);
    for (std::uint64_t i = 0; i < p.b_rows; ++i) {
        before[i] = held;
        held += weights.count(i, 0, p.b_columns);
    }
    for (std::uint64_t m0 = 0; m0 < p.m; m0 += p.block_m) {
        const Product product = {context, p, at, weights, m0, smaller(p.block_m, p.m - m0)};
        each_unit(context.workers, (product.rows - 1) / panel + 1,
                  [&](std::uint64_t unit, unsigned) noexcept { product.pack(unit); });
        each_unit(context.workers, p.blocks(), [&](std::uint64_t unit, unsigned part) noexcept {
            product.outputs(unit * p.block_n, context.scratch + at.first + part * at.own);
        });
    }
    return Status::ok;
}

}  // namespace bitpress
