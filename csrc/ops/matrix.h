// A matrix product, planned: what gemm.cpp decides and gemm.cpp and gemm_integer.cpp compute.
#pragma once

#include "ops/common.h"

namespace bitpress {

struct MatrixParams {
    std::uint64_t m = 0, n = 0, k = 0;  // of one product
    std::uint64_t trans_a = 0, trans_b = 0;
    std::uint64_t block_n = 0, block_k = 0;
    std::uint64_t tile_k = 0;       // by bytes: k of weights laid out at once, a multiple of block_k
    std::uint64_t tile_panels = 0;  // and panels of them that have a place in scratch
    std::uint64_t in_panels = 0;    // by bytes: 1: weights stand in panels
    std::uint64_t cursor_floats = 0;
    std::uint64_t panel_floats = 0, tile_floats = 0;  // of a worker's scratch
    std::uint64_t b_rows = 0, b_columns = 0;          // the whole of b as a matrix
    Loops<3> batch;                                   // strides in matrices of a, b, y
    float alpha = 1.0F, beta = 0.0F;
    std::uint64_t c_row = 0, c_column = 0;  // steps of c, 0 where it is broadcast
    Bounds bounds;
    std::uint64_t blocks() const noexcept { return (n - 1) / block_n + 1; }
    std::uint64_t depth_at(std::uint64_t k0) const noexcept { return k - k0 < block_k ? k - k0 : block_k; }
    std::uint64_t integer = 0;  // 1: products of 16-bit integers (gemm_integer.cpp), 2 and 3: of bytes
                                // (gemm_bytes.cpp), 4: of a bitmap's survivors (gemm_sparse.cpp)
    std::uint64_t block_m = 0;  // rows of a that are codes at once
};

// Part of the output.
struct Block {
    std::uint64_t row, rows, column, columns;
};
// A block of the output to what is added to the product: beta * c, or 0. y: the output.
void fill_c(const MatrixParams& params, const float* c, const Block& block, float* y) noexcept;

// Lets workers share a product by blocks of columns: how wide these are, less than block_n where there would be few.
std::uint64_t share_matrix(PlanContext& context, const MatrixParams& params) noexcept;

// Products of stored integers with activations as integers.
bool matrix_takes_integers(const PlanContext& context, const MatrixParams& params) noexcept;
Status plan_integer_matrix(PlanContext& context, MatrixParams* params) noexcept;
Status run_integer_matrix(const RunContext& context, const MatrixParams& params) noexcept;

// The same by bytes: weights of 2 to 8 bits.
bool matrix_takes_bytes(const PlanContext& context, const MatrixParams& params) noexcept;
Status plan_byte_matrix(PlanContext& context, MatrixParams* params) noexcept;
Status run_byte_matrix(const RunContext& context, const MatrixParams& params) noexcept;

// Products of what a bitmap stores with activations as floats.
bool matrix_takes_sparse(const PlanContext& context, const MatrixParams& params) noexcept;
Status plan_sparse_matrix(PlanContext& context, MatrixParams* params) noexcept;
Status run_sparse_matrix(const RunContext& context, const MatrixParams& params) noexcept;

}  // namespace bitpress
