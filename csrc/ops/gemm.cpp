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

// Blocks and scratch of a product of floats.
Status plan_blocks(PlanContext& context, MatrixParams* p) noexcept {
    const TensorView* stored = context.inputs[1].stored;
    const bool in_place = stored == nullptr || stored_floats(*stored) != nullptr;
    const bool dots = p->trans_b != 0 && p->m <= few_rows;
    p->b_rows = elements(context.inputs[1].shape) / p->b_columns;
    p->cursor_floats = WeightRows::cursor_floats(stored, p->b_rows);
    std::uint64_t panels = 0;
    if (dots) {
        p->block_k = smaller(p->k, tile_target);
        p->block_n = smaller(p->n, larger(tile_target / p->block_k, 1));
        context.tile_floats = in_place ? 0 : p->block_n * p->block_k;
    } else if (p->trans_b != 0) {
        p->block_k = smaller(p->k, block_k_most);
        p->block_n = panel;
        panels = panel * p->block_k;
        context.tile_floats = in_place ? 0 : panel * p->block_k;
    } else {
        p->block_k = smaller(p->k, block_k_most);
        p->block_n = smaller(round_up(p->n, panel), 128);
        panels = p->block_n * p->block_k;
        context.tile_floats = in_place ? 0 : p->block_n;
    }
    std::uint64_t transposed = 0;
    if (p->trans_a != 0) transposed = p->m * p->k;
    context.scratch_floats = p->cursor_floats + panels + context.tile_floats + transposed;
    return Status::ok;
}

Status plan_product(PlanContext& context, MatrixParams* p) noexcept {
    std::uint64_t work = p->batch.total();
    if (!checked_mul(work, p->m, &work) || !checked_mul(work, p->n, &work) || !checked_mul(work, p->k, &work)) {
        return Status::too_large;
    }
    context.work = work;
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
    p.n = b.rank == 1 ? 1 : b.dims[b.rank - 1];
    p.b_columns = p.n;
    if ((b.rank == 1 ? b.dims[0] : b.dims[b.rank - 2]) != p.k) return Status::bad_shape;
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
    if (b.rank > 1) BP_TRY(append(&out, b.dims[b.rank - 1]));
    return plan_product(context, &p);
}

struct Buffers {
    float* panels;
    float* tile;
};

void scale(float* x, std::uint64_t n, float factor) noexcept {
    if (factor == 1.0F) return;
    for (std::uint64_t i = 0; i < n; ++i) x[i] *= factor;
}

// y (m x n) += alpha * a * transposed b, for few rows of a.
Status multiply_dots(const RunContext& context, const MatrixParams& p, WeightRows& b, const float* a, float* y,
                     const Buffers& buffers) noexcept {
    for (std::uint64_t n0 = 0; n0 < p.n; n0 += p.block_n) {
        const std::uint64_t rows = smaller(p.block_n, p.n - n0);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            const std::uint64_t depth = smaller(p.block_k, p.k - k0);
            const float* w = nullptr;
            std::size_t stride = 0;
            BP_TRY(b.read(n0, rows, k0, depth, buffers.tile, &w, &stride));
            for (std::uint64_t i = 0; i < p.m; ++i) {
                for (std::uint64_t j = 0; j < rows; j += panel) {
                    const std::uint64_t some = smaller(panel, rows - j);
                    float sums[panel] = {};
                    context.kernels->gemv_f32(some, depth, w + j * stride, stride, a + i * p.k + k0, sums);
                    for (std::uint64_t s = 0; s < some; ++s) y[i * p.n + n0 + j + s] += p.alpha * sums[s];
                }
            }
        }
    }
    for (std::uint64_t i = 0; i < p.m; ++i) {
        float* row = y + i * p.n;
        context.kernels->affine_f32(row, p.n, 1.0F, 0.0F, p.bounds.low, p.bounds.high, row);
    }
    return Status::ok;
}

// y (m x n) += alpha * a * b, b packed block by block. first_row: where this b begins among b's rows.
Status multiply_panels(const RunContext& context, const MatrixParams& p, WeightRows& b, std::uint64_t first_row,
                       const float* a, float* y, const Buffers& buffers) noexcept {
    for (std::uint64_t n0 = 0; n0 < p.n; n0 += p.block_n) {
        const std::uint64_t width = smaller(p.block_n, p.n - n0);
        for (std::uint64_t k0 = 0; k0 < p.k; k0 += p.block_k) {
            const std::uint64_t depth = smaller(p.block_k, p.k - k0);
            const float* w = nullptr;
            std::size_t stride = 0;
            if (p.trans_b != 0) {
                BP_TRY(b.read(first_row + n0, width, k0, depth, buffers.tile, &w, &stride));
                context.kernels->pack_panel_f32(w, stride, width, depth, buffers.panels);
            } else {
                for (std::uint64_t row = 0; row < depth; ++row) {
                    BP_TRY(b.read(first_row + k0 + row, 1, n0, width, buffers.tile, &w, &stride));
                    std::uint64_t j = 0;
                    for (; j + panel <= width; j += panel) {
                        memcpy(buffers.panels + j * depth + row * panel, w + j, panel * sizeof(float));
                    }
                    if (j == width) continue;
                    float* to = buffers.panels + j * depth + row * panel;
                    for (std::uint64_t s = 0; s < panel; ++s) to[s] = s < width - j ? w[j + s] : 0.0F;
                }
            }
            scale(buffers.panels, round_up(width, panel) * depth, p.alpha);
            const bool last = k0 + depth == p.k;
            context.kernels->gemm_f32(p.m, width, depth, a + k0, p.k, buffers.panels, y + n0, p.n,
                                      last ? p.bounds.low : -__builtin_inff(), last ? p.bounds.high : __builtin_inff());
        }
    }
    return Status::ok;
}

Status run_matrix(const RunContext& context) noexcept {
    const MatrixParams& p = context.parameters<MatrixParams>();
    if (p.integer == 1) return run_integer_matrix(context, p);
    if (p.integer != 0) return run_byte_matrix(context, p);
    const bool dots = p.trans_b != 0 && p.m <= few_rows;
    float* at = context.scratch + p.cursor_floats;
    Buffers buffers = {at, at};
    if (!dots) buffers.tile = at + (p.trans_b != 0 ? panel : p.block_n) * p.block_k;
    const float* a = context.input(0);
    const float* c = context.input_count > 2 ? context.input(2) : nullptr;
    WeightRows b = context.stored[1] != nullptr ? WeightRows(*context.stored[1], p.b_rows, p.b_columns, context.scratch)
                                                : WeightRows(context.input(1), p.b_columns);
    if (p.trans_a != 0) {
        const bool in_place = context.stored[1] == nullptr || stored_floats(*context.stored[1]) != nullptr;
        float* transposed = buffers.tile + (in_place ? 0 : dots || p.trans_b != 0 ? p.block_n * p.block_k : p.block_n);
        for (std::uint64_t i = 0; i < p.m; ++i) {
            for (std::uint64_t j = 0; j < p.k; ++j) transposed[i * p.k + j] = a[j * p.m + i];
        }
        a = transposed;
    }
    Status status = Status::ok;
    const std::uint64_t b_matrix_rows = p.trans_b != 0 ? p.n : p.k;
    p.batch.each([&](const std::uint64_t (&at_matrix)[3]) noexcept {
        for (std::uint64_t i = 0; i < p.batch.inner() && status == Status::ok; ++i) {
            const std::uint64_t ia = at_matrix[0] + i * p.batch.inner_stride(0);
            const std::uint64_t ib = at_matrix[1] + i * p.batch.inner_stride(1);
            float* y = context.output() + (at_matrix[2] + i * p.batch.inner_stride(2)) * p.m * p.n;
            fill_c(p, c, 0, p.m, y);
            b.rewind();
            status = dots ? multiply_dots(context, p, b, a + ia * p.m * p.k, y, buffers)
                          : multiply_panels(context, p, b, ib * b_matrix_rows, a + ia * p.m * p.k, y, buffers);
        }
    });
    return status;
}

constexpr std::uint64_t clip_keys = key_bit(Key::clip_low) | key_bit(Key::clip_high);

}  // namespace

void fill_c(const MatrixParams& p, const float* c, std::uint64_t first, std::uint64_t rows, float* y) noexcept {
    if (c == nullptr || p.beta == 0.0F) {
        memset(y, 0, rows * p.n * sizeof(float));
        return;
    }
    for (std::uint64_t i = 0; i < rows; ++i) {
        const float* from = c + (first + i) * p.c_row;
        for (std::uint64_t j = 0; j < p.n; ++j) y[i * p.n + j] = p.beta * from[j * p.c_column];
    }
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
    .keys = clip_keys,
    .reads_stored = 1U << 1,
    .param_bytes = sizeof(MatrixParams),
    .plan = plan_matmul,
    .run = run_matrix,
    .otherwise = &typed_matmul,
};

}  // namespace bitpress
