// MatMul of other types than F32: in double, or in integers that wrap around. Written to be right, not fast.
#include "ops/matmul_typed.h"

#include "ops/common.h"
#include "ops/numbers.h"

namespace bitpress {
namespace {

struct ProductParams {
    Loops<3> batch;  // a, b, y: in matrices of theirs
    std::uint64_t m = 1;
    std::uint64_t k = 1;
    std::uint64_t n = 1;
    Dtype dtype = Dtype::f64;
};

constexpr std::uint32_t product_types =
    type_bit(Dtype::f64) | type_bit(Dtype::i32) | type_bit(Dtype::i64) | type_bit(Dtype::u32) | type_bit(Dtype::u64);

Status plan_product(PlanContext& context) noexcept {
    if (context.node.keys() != 0) return Status::unsupported;
    ProductParams& p = context.make<ProductParams>();
    const Shape& a = context.inputs[0].shape;
    const Shape& b = context.inputs[1].shape;
    p.dtype = context.inputs[0].dtype;
    if (!among(p.dtype, product_types) || context.inputs[1].dtype != p.dtype) return Status::unsupported;
    if (a.rank == 0 || b.rank == 0) return Status::bad_shape;
    p.m = a.rank == 1 ? 1 : a.dims[a.rank - 2];
    p.k = a.dims[a.rank - 1];
    p.n = b.rank == 1 ? 1 : b.dims[b.rank - 1];
    if ((b.rank == 1 ? b.dims[0] : b.dims[b.rank - 2]) != p.k) return Status::bad_shape;
    Shape batches[2];
    for (unsigned d = 0; d + 2 < a.rank; ++d) BP_TRY(append(&batches[0], a.dims[d]));
    for (unsigned d = 0; d + 2 < b.rank; ++d) BP_TRY(append(&batches[1], b.dims[d]));
    Shape& out = context.outputs[0];
    BP_TRY(broadcast(batches[0], batches[1], &out));
    std::uint64_t steps[3][max_rank] = {};
    contiguous(out, steps[2]);
    for (unsigned i = 0; i < 2; ++i) broadcast_strides(batches[i], out, steps[i]);
    std::uint64_t work = 1;
    for (unsigned d = 0; d < out.rank; ++d) {
        p.batch.add(out.dims[d], {steps[0][d], steps[1][d], steps[2][d]});
        if (!checked_mul(work, out.dims[d], &work)) return Status::too_large;
    }
    for (const std::uint64_t size : {p.m, p.k, p.n}) {
        if (!checked_mul(work, size, &work)) return Status::too_large;
    }
    if (a.rank > 1) BP_TRY(append(&out, p.m));
    if (b.rank > 1) BP_TRY(append(&out, p.n));
    context.output_dtypes[0] = p.dtype;
    context.work = work;
    return Status::ok;
}

double multiply_add(double sum, double a, double b) noexcept { return sum + a * b; }
std::uint64_t bits(std::int64_t x) noexcept { return static_cast<std::uint64_t>(x); }
std::int64_t multiply_add(std::int64_t sum, std::int64_t a, std::int64_t b) noexcept {
    return static_cast<std::int64_t>(bits(sum) + bits(a) * bits(b));
}

template <class Number>
void multiply(const ProductParams& p, const void* a, const void* b, void* y) noexcept {
    const unsigned bytes = element_bytes(p.dtype);
    for (std::uint64_t row = 0; row < p.m; ++row) {
        for (std::uint64_t column = 0; column < p.n; ++column) {
            Number sum = 0;
            Number left[block_size];
            Number right[block_size];
            for (std::uint64_t done = 0; done < p.k; done += block_size) {
                const std::uint64_t n = smaller(block_size, p.k - done);
                load(p.dtype, element(a, row * p.k + done, bytes), 1, n, left);
                load(p.dtype, element(b, done * p.n + column, bytes), p.n, n, right);
                for (std::uint64_t i = 0; i < n; ++i) sum = multiply_add(sum, left[i], right[i]);
            }
            store(p.dtype, &sum, 1, element(y, row * p.n + column, bytes), 0);
        }
    }
}

Status run_product(const RunContext& context) noexcept {
    const ProductParams& p = context.parameters<ProductParams>();
    const unsigned bytes = element_bytes(p.dtype);
    p.batch.each([&](const std::uint64_t (&at)[3]) noexcept {
        for (std::uint64_t i = 0; i < p.batch.inner(); ++i) {
            const void* a = element(context.inputs[0], (at[0] + i * p.batch.inner_stride(0)) * p.m * p.k, bytes);
            const void* b = element(context.inputs[1], (at[1] + i * p.batch.inner_stride(1)) * p.k * p.n, bytes);
            void* y = element(context.outputs[0], (at[2] + i * p.batch.inner_stride(2)) * p.m * p.n, bytes);
            if (p.dtype == Dtype::f64) {
                multiply<double>(p, a, b, y);
            } else {
                multiply<std::int64_t>(p, a, b, y);
            }
        }
    });
    return Status::ok;
}

}  // namespace

const Operator typed_matmul = {
    .min_inputs = 2,
    .max_inputs = 2,
    .keys = key_bit(Key::clip_low) | key_bit(Key::clip_high),
    .flags = op_typed,
    .param_bytes = sizeof(ProductParams),
    .plan = plan_product,
    .run = run_product,
};

}  // namespace bitpress
