// Gemm and MatMul: y = clip(alpha * a * b + beta * c), where b may be a stored tensor, read a tile at a time.
#include <string.h>

#include "ops/matmul_typed.h"
#include "ops/matrix.h"
#include "ops/weights.h"

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;
constexpr std::uint64_t few_rows = 4;  // up to here, rows of a times transposed b are dot products
constexpr std::uint64_t block_k_most = 512;

bool takes_dots(const MatrixParams& p) noexcept { return p.trans_b != 0 && p.m <= few_rows; }

// Where the pieces of scratch are, in floats: what workers share, then what each has. Rows of b transposed are each of
// one worker, which therefore share a bitmap's cursors.
struct Layout {
    std::uint64_t cursors, transposed, first, own;
    explicit Layout(const MatrixParams& p) noexcept {
        const std::uint64_t cursor_floats = round_up(p.cursor_floats, panel);
        cursors = p.trans_b != 0 ? 0 : round_up(p.panel_floats + p.tile_floats, panel);
        transposed = p.trans_b != 0 ? cursor_floats : 0;
        first = transposed + (p.trans_a != 0 ? round_up(p.m * p.k, panel) : 0);
        own = p.trans_b != 0 ? round_up(p.panel_floats + p.tile_floats, panel) : cursors + cursor_floats;
    }
};

// Blocks and scratch of a product of floats.
Status plan_blocks(PlanContext& context, MatrixParams* p) noexcept {
    const TensorView* stored = context.inputs[1].stored;
    const bool in_place = stored == nullptr || stored_floats(*stored) != nullptr;
    p->b_rows = elements(context.inputs[1].shape) / p->b_columns;
    p->cursor_floats = WeightRows::cursor_floats(stored, p->b_rows);
    p->block_k = smaller(p->k, takes_dots(*p) ? tile_target : block_k_most);
    if (takes_dots(*p)) {
        p->block_n = smaller(p->n, larger(tile_target / p->block_k, 1));
    } else {
        p->block_n = p->trans_b != 0 ? panel : smaller(round_up(p->n, panel), 128);
    }
    p->block_n = share_matrix(context, *p);
    if (!takes_dots(*p)) p->panel_floats = p->block_n * p->block_k;
    if (!in_place) p->tile_floats = p->trans_b != 0 ? p->block_n * p->block_k : p->block_n;
    const Layout at(*p);
    context.tile_floats = context.parts * p->tile_floats;
    context.scratch_floats = at.first + context.parts * at.own;
    return Status::ok;
}

Status plan_product(PlanContext& context, MatrixParams* p) noexcept {
    std::uint64_t work = p->batch.total();
    if (!checked_mul(work, p->m, &work) || !checked_mul(work, p->n, &work) || !checked_mul(work, p->k, &work)) {
        return Status::too_large;
    }
    context.work = work;
    context.products = Products::f32;
    if (matrix_takes_sparse(context, *p)) return plan_sparse_matrix(context, p);
    if (matrix_takes_bytes(context, *p)) return plan_byte_matrix(context, p);
    return matrix_takes_integers(context, *p) ? plan_integer_matrix(context, p) : plan_blocks(context, p);
}

Status plan_gemm(PlanContext& context) noexcept {
    MatrixParams& p = context.make<MatrixParams>();
    const Shape& a = context.inputs[0].shape;
    const Shape& b = context.inputs[1].shape;
    if (a.rank != 2 || b.rank != 2) return Status::bad_shape;
    p.trans_a = context.integer(Key::transA, 0) != 0 ? 1 : 0;
    p.trans_b = context.integer(Key::transB, 0) != 0 ? 1 : 0;
    p.alpha = context.real(Key::alpha, 1.0F);
    p.m = a.dims[p.trans_a != 0 ? 1 : 0];
    p.k = a.dims[p.trans_a != 0 ? 0 : 1];
    p.n = b.dims[p.trans_b != 0 ? 0 : 1];
    p.b_columns = b.dims[1];
    if (b.dims[p.trans_b != 0 ? 1 : 0] != p.k) return Status::bad_shape;
    if (context.has(2)) {
        const Shape& c = context.inputs[2].shape;
        const std::uint64_t rows = c.rank < 2 ? 1 : c.dims[0];
        const std::uint64_t columns = c.rank < 1 ? 1 : c.dims[c.rank - 1];
        if (c.rank > 2 || (rows != 1 && rows != p.m) || (columns != 1 && columns != p.n)) return Status::bad_shape;
        p.beta = context.real(Key::beta, 1.0F);
        p.c_row = rows == 1 ? 0 : columns;
        p.c_column = columns == 1 ? 0 : 1;
    }
    BP_TRY(read_bounds(context, &p.bounds));
    BP_TRY(append(&context.outputs[0], p.m));
    BP_TRY(append(&context.outputs[0], p.n));
    return plan_product(context, &p);
}

Status plan_matmul(PlanContext& context) noexcept {
    MatrixParams& p = context.make<MatrixParams>();
    const Shape& a = context.inputs[0].shape;
    const Shape& b = context.inputs[1].shape;
    if (a.rank == 0 || b.rank == 0) return Status::bad_shape;
    p.m = a.rank == 1 ? 1 : a.dims[a.rank - 2];
    p.k = a.dims[a.rank - 1];
    p.trans_b = context.integer(Key::transB, 0) != 0 ? 1 : 0;
    if (p.trans_b != 0 && b.rank != 2) return Status::bad_shape;
    p.n = b.rank == 1 ? 1 : b.dims[p.trans_b != 0 ? 0 : b.rank - 1];
    p.b_columns = p.trans_b != 0 ? b.dims[1] : p.n;
    if ((b.rank == 1 ? b.dims[0] : b.dims[p.trans_b != 0 ? 1 : b.rank - 2]) != p.k) return Status::bad_shape;
    Shape a_batch;
    Shape b_batch;
    for (unsigned d = 0; d + 2 < a.rank; ++d) BP_TRY(append(&a_batch, a.dims[d]));
    for (unsigned d = 0; d + 2 < b.rank; ++d) BP_TRY(append(&b_batch, b.dims[d]));
    Shape& out = context.outputs[0];
    BP_TRY(broadcast(a_batch, b_batch, &out));
    if (elements(b_batch) == 1) {  // one b: the rows of all matrices of a are one matrix
        p.m *= elements(a_batch);
    } else {
        std::uint64_t y_strides[max_rank] = {};
        contiguous(out, y_strides);
        std::uint64_t a_step = elements(a_batch);
        std::uint64_t b_step = elements(b_batch);
        for (unsigned d = 0; d < out.rank; ++d) {
            const unsigned a_missing = out.rank - a_batch.rank;
            const unsigned b_missing = out.rank - b_batch.rank;
            const std::uint64_t a_dim = d < a_missing ? 1 : a_batch.dims[d - a_missing];
            const std::uint64_t b_dim = d < b_missing ? 1 : b_batch.dims[d - b_missing];
            a_step /= a_dim;
            b_step /= b_dim;
            p.batch.add(out.dims[d], {a_dim == 1 ? 0 : a_step, b_dim == 1 ? 0 : b_step, y_strides[d]});
        }
    }
    BP_TRY(read_bounds(context, &p.bounds));
    if (a.rank > 1) BP_TRY(append(&out, a.dims[a.rank - 2]));
    if (b.rank > 1) BP_TRY(append(&out, p.n));
    return plan_product(context, &p);
}

void scale(float* x, std::uint64_t n, float factor) noexcept {
    if (factor == 1.0F) return;
    for (std::uint64_t i = 0; i < n; ++i) x[i] *= factor;
}

// One product of matrices: y = clip(alpha * a * b + beta * c), a block of columns at a time.
struct Product {
    const RunContext& context;
    const MatrixParams& p;
    const float* a;
    float* y;
    std::uint64_t first_row;  // where this b begins among b's rows

    std::uint64_t width(std::uint64_t n0) const noexcept { return smaller(p.block_n, p.n - n0); }

    void fill(std::uint64_t n0) const noexcept {
        fill_c(p, context.input_count > 2 ? context.input(2) : nullptr, {0, p.m, n0, width(n0)}, y);
    }

    // By dot products with transposed b, for few rows of a.
    Status add_dots(WeightRows& b, std::uint64_t n0, float* tile) const noexcept {
        fill(n0);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            const float* w = nullptr;
            std::size_t stride = 0;
            BP_TRY(b.read(n0, width(n0), k0, p.depth_at(k0), tile, &w, &stride));
            for (std::uint64_t i = 0; i < p.m; ++i) {
                for (std::uint64_t j = 0; j < width(n0); j += panel) {
                    const std::uint64_t some = smaller(panel, width(n0) - j);
                    float sums[panel] = {};
                    context.kernels->gemv_f32(some, p.depth_at(k0), w + j * stride, stride, a + i * p.k + k0, sums);
                    for (std::uint64_t s = 0; s < some; ++s) y[i * p.n + n0 + j + s] += p.alpha * sums[s];
                }
            }
        }
        for (std::uint64_t i = 0; i < p.m; ++i) {
            float* row = y + i * p.n + n0;
            context.kernels->affine_f32(row, width(n0), 1.0F, 0.0F, p.bounds.low, p.bounds.high, row);
        }
        return Status::ok;
    }

    // alpha * b as panels. tile: of its rows, where they are unpacked.
    Status pack(WeightRows& b, std::uint64_t n0, std::uint64_t k0, float* panels, float* tile) const noexcept {
        const std::uint64_t depth = p.depth_at(k0);
        const float* w = nullptr;
        std::size_t stride = 0;
        if (p.trans_b != 0) {
            BP_TRY(b.read(first_row + n0, width(n0), k0, depth, tile, &w, &stride));
            context.kernels->pack_panel_f32(w, stride, width(n0), depth, panels);
        }
        for (std::uint64_t row = 0; row < depth && p.trans_b == 0; ++row) {
            BP_TRY(b.read(first_row + k0 + row, 1, n0, width(n0), tile, &w, &stride));
            std::uint64_t j = 0;
            for (; j + panel <= width(n0); j += panel)
                memcpy(panels + j * depth + row * panel, w + j, panel * sizeof(float));
            if (j == width(n0)) continue;
            float* to = panels + j * depth + row * panel;
            for (std::uint64_t s = 0; s < panel; ++s) to[s] = s < width(n0) - j ? w[j + s] : 0.0F;
        }
        scale(panels, round_up(width(n0), panel) * depth, p.alpha);
        return Status::ok;
    }

    Status add_panels(WeightRows& b, std::uint64_t n0, float* panels) const noexcept {
        fill(n0);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            BP_TRY(pack(b, n0, k0, panels, panels + p.panel_floats));
            const bool last = k0 + p.depth_at(k0) == p.k;
            context.kernels->gemm_f32(p.m, width(n0), p.depth_at(k0), a + k0, p.k, panels, nullptr, y + n0, p.n,
                                      last ? p.bounds.low : -__builtin_inff(), last ? p.bounds.high : __builtin_inff());
        }
        return Status::ok;
    }
};

const float* transpose_a(const RunContext& context, const MatrixParams& p, float* to) noexcept {
    for (std::uint64_t i = 0; i < p.m; ++i) {
        for (std::uint64_t j = 0; j < p.k; ++j) to[i * p.k + j] = context.input(0)[j * p.m + i];
    }
    return to;
}

WeightRows weights_of(const RunContext& context, const MatrixParams& p, float* cursors, std::uint64_t column) noexcept {
    return context.stored[1] != nullptr ? WeightRows(*context.stored[1], p.b_rows, p.b_columns, cursors, column)
                                        : WeightRows(context.input(1), p.b_columns);
}

Status run_matrix(const RunContext& context) noexcept {
    const MatrixParams& p = context.parameters<MatrixParams>();
    if (p.integer == 1) return run_integer_matrix(context, p);
    if (p.integer == 4) return run_sparse_matrix(context, p);
    if (p.integer != 0) return run_byte_matrix(context, p);
    const Layout at(p);
    const float* a = p.trans_a != 0 ? transpose_a(context, p, context.scratch + at.transposed) : context.input(0);
    const auto product = [&](std::uint64_t matrix) noexcept {
        std::uint64_t of[3] = {};
        p.batch.locate(matrix / p.batch.inner(), of);
        for (unsigned i = 0; i < 3; ++i) of[i] += matrix % p.batch.inner() * p.batch.inner_stride(i);
        return Product{context, p, a + of[0] * p.m * p.k, context.output() + of[2] * p.m * p.n, of[1] * p.k};
    };
    if (p.trans_b != 0) {  // of one matrix
        WeightRows b = weights_of(context, p, context.scratch + at.cursors, 0);
        return in_units(context.workers, p.blocks(), [&](std::uint64_t unit, unsigned part) noexcept {
            float* own = context.scratch + at.first + part * at.own;
            return takes_dots(p) ? product(0).add_dots(b, unit * p.block_n, own)
                                 : product(0).add_panels(b, unit * p.block_n, own);
        });
    }
    if (context.workers.count == 1) {  // a bitmap's rows go on where they were read to
        float* own = context.scratch + at.first;
        WeightRows b = weights_of(context, p, own + at.cursors, 0);
        for (std::uint64_t matrix = 0; matrix < p.batch.total(); ++matrix) {
            if (matrix > 0) b.rewind();
            for (std::uint64_t n0 = 0; n0 < p.n; n0 += p.block_n) BP_TRY(product(matrix).add_panels(b, n0, own));
        }
        return Status::ok;
    }
    return in_units(context.workers, p.batch.total() * p.blocks(), [&](std::uint64_t unit, unsigned part) noexcept {
        const std::uint64_t n0 = unit % p.blocks() * p.block_n;
        float* own = context.scratch + at.first + part * at.own;
        WeightRows b = weights_of(context, p, own + at.cursors, n0);
        return product(unit / p.blocks()).add_panels(b, n0, own);
    });
}

constexpr std::uint64_t clip_keys = key_bit(Key::clip_low) | key_bit(Key::clip_high);

}  // namespace

void fill_c(const MatrixParams& p, const float* c, const Block& block, float* y) noexcept {
    for (std::uint64_t i = block.row; i < block.row + block.rows; ++i) {
        float* to = y + i * p.n + block.column;
        if (c == nullptr || p.beta == 0.0F) {
            memset(to, 0, block.columns * sizeof(float));
            continue;
        }
        const float* from = c + i * p.c_row + block.column * p.c_column;
        for (std::uint64_t j = 0; j < block.columns; ++j) to[j] = p.beta * from[j * p.c_column];
    }
}

std::uint64_t share_matrix(PlanContext& context, const MatrixParams& p) noexcept {
    constexpr std::uint64_t units = 16;
    const std::uint64_t matrices = p.batch.total();
    const std::uint64_t time = context.work / 32;
    if (context.share(units, time) < 2) return p.block_n;
    const bool few = matrices * p.blocks() < units && p.block_n >= 8 * panel;
    const std::uint64_t width = few ? 4 * panel : p.block_n;
    context.share(matrices * ((p.n - 1) / width + 1), time);
    return width;
}

const Operator op_Gemm = {
    .min_inputs = 2,
    .max_inputs = 3,
    .keys = clip_keys | key_bit(Key::alpha) | key_bit(Key::beta) | key_bit(Key::transA) | key_bit(Key::transB),
    .reads_stored = 1U << 1,
    .param_bytes = sizeof(MatrixParams),
    .plan = plan_gemm,
    .run = run_matrix,
};

const Operator op_MatMul = {
    .min_inputs = 2,
    .max_inputs = 2,
    .keys = clip_keys | key_bit(Key::transB),
    .reads_stored = 1U << 1,
    .param_bytes = sizeof(MatrixParams),
    .plan = plan_matmul,
    .run = run_matrix,
    .otherwise = &typed_matmul,
};

}  // namespace bitpress
