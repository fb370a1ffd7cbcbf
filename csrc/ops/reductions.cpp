// Reductions over axes in double, or in 64-bit integers where elements are integers: a table and one loop.
#include <math.h>

#include "ops/common.h"
#include "ops/numbers.h"

namespace bitpress {
namespace {

// A running result: starts, takes the elements one by one, and is finished. log-sum-exp needs its maximum first.
struct Reduction {
    std::uint32_t types = number_types;
    double start = 0.0;
    double (*real)(double sum, double x) noexcept = nullptr;
    std::int64_t (*integer)(std::int64_t sum, std::int64_t x) noexcept = nullptr;
    std::int64_t integer_start = 0;
    double (*finish)(double sum) noexcept = nullptr;  // null: as it is
};

double add(double sum, double x) noexcept { return sum + x; }
double multiply(double sum, double x) noexcept { return sum * x; }
double most(double sum, double x) noexcept { return x > sum || __builtin_isnan(x) ? x : sum; }
double least(double sum, double x) noexcept { return x < sum || __builtin_isnan(x) ? x : sum; }
double add_magnitude(double sum, double x) noexcept { return sum + fabs(x); }
double add_square(double sum, double x) noexcept { return sum + x * x; }
double root(double sum) noexcept { return sqrt(sum); }
double logarithm(double sum) noexcept { return log(sum); }

std::int64_t wrap(std::uint64_t x) noexcept { return static_cast<std::int64_t>(x); }
std::uint64_t bits(std::int64_t x) noexcept { return static_cast<std::uint64_t>(x); }
std::int64_t add_integer(std::int64_t sum, std::int64_t x) noexcept { return wrap(bits(sum) + bits(x)); }
std::int64_t multiply_integer(std::int64_t sum, std::int64_t x) noexcept { return wrap(bits(sum) * bits(x)); }
std::int64_t most_integer(std::int64_t sum, std::int64_t x) noexcept { return x > sum ? x : sum; }
std::int64_t least_integer(std::int64_t sum, std::int64_t x) noexcept { return x < sum ? x : sum; }
std::int64_t add_magnitude_integer(std::int64_t sum, std::int64_t x) noexcept {
    return wrap(bits(sum) + (x < 0 ? 0 - bits(x) : bits(x)));
}
std::int64_t add_square_integer(std::int64_t sum, std::int64_t x) noexcept {
    return wrap(bits(sum) + bits(x) * bits(x));
}

constexpr std::uint32_t ordered_types = (number_types & ~type_bit(Dtype::u64)) | boolean_type;
constexpr Reduction reduction_sum = {number_types, 0, add, add_integer, 0, nullptr};
constexpr Reduction reduction_product = {number_types, 1, multiply, multiply_integer, 1, nullptr};
constexpr Reduction reduction_most = {ordered_types, -HUGE_VAL, most, most_integer, INT64_MIN, nullptr};
constexpr Reduction reduction_least = {ordered_types, HUGE_VAL, least, least_integer, INT64_MAX, nullptr};
constexpr Reduction reduction_l1 = {number_types, 0, add_magnitude, add_magnitude_integer, 0, nullptr};
constexpr Reduction reduction_l2 = {real_types, 0, add_square, nullptr, 0, root};
constexpr Reduction reduction_square = {number_types, 0, add_square, add_square_integer, 0, nullptr};
constexpr Reduction reduction_log = {real_types, 0, add, nullptr, 0, logarithm};
constexpr Reduction reduction_log_exp = {real_types, -HUGE_VAL, most, nullptr, 0, nullptr};

const Reduction& reduction_of(OpId op) noexcept {
    switch (op) {
        case OpId::ReduceProd: return reduction_product;
        case OpId::ReduceMax: return reduction_most;
        case OpId::ReduceMin: return reduction_least;
        case OpId::ReduceL1: return reduction_l1;
        case OpId::ReduceL2: return reduction_l2;
        case OpId::ReduceSumSquare: return reduction_square;
        case OpId::ReduceLogSum: return reduction_log;
        case OpId::ReduceLogSumExp: return reduction_log_exp;
        default: return reduction_sum;
    }
}

struct ReduceParams {
    const Reduction* reduction = nullptr;
    Loops<2> kept;     // x, y
    Loops<1> reduced;  // x
    Dtype dtype = Dtype::f32;
    bool log_exp = false;
    std::int64_t integer_start = 0;
};

// What is below (above) every number of a type: the largest (least) of no elements.
std::int64_t limit(Dtype dtype, bool least) noexcept {
    if (dtype == Dtype::boolean) return least ? 0 : 1;
    const unsigned bits = dtype_bits(dtype);
    if (among(dtype, unsigned_types)) return least ? 0 : (std::int64_t{1} << (bits & 63U)) - 1;  // not u64
    return least ? INT64_MIN >> (64 - bits) : INT64_MAX >> (64 - bits);
}

Status plan_reduce(PlanContext& context) noexcept {
    ReduceParams& p = context.make<ReduceParams>();
    const Shape& in = context.inputs[0].shape;
    p.reduction = &reduction_of(context.node.op);
    p.dtype = context.inputs[0].dtype;
    p.log_exp = context.node.op == OpId::ReduceLogSumExp;
    if (!among(p.dtype, p.reduction->types)) return Status::unsupported;
    p.integer_start = p.reduction->integer_start;
    if (p.integer_start == INT64_MIN || p.integer_start == INT64_MAX) {
        p.integer_start = limit(p.dtype, p.integer_start == INT64_MIN);
    }
    unsigned set = 0;
    BP_TRY(axis_set(context.integers(Key::axes), in.rank, true, &set));
    const bool keep = context.integer(Key::keepdims, 1) != 0;
    std::uint64_t strides[max_rank] = {};
    contiguous(in, strides);
    std::uint64_t y_step = 1;
    for (unsigned d = 0; d < in.rank; ++d) y_step *= (set >> d & 1U) != 0 ? 1 : in.dims[d];
    for (unsigned d = 0; d < in.rank; ++d) {
        const bool reduced = (set >> d & 1U) != 0;
        if (reduced) {
            p.reduced.add(in.dims[d], {strides[d]});
        } else {
            if (in.dims[d] != 0) y_step /= in.dims[d];
            p.kept.add(in.dims[d], {strides[d], y_step});
        }
        if (!reduced || keep) BP_TRY(append(&context.outputs[0], reduced ? 1 : in.dims[d]));
    }
    context.output_dtypes[0] = p.dtype;
    context.work = elements(in);
    return Status::ok;
}

// apply(block, n) for the elements under one index of the kept axes.
template <class Number, class Apply>
void each_block(const ReduceParams& p, const void* x, Apply apply) noexcept {
    const unsigned bytes = element_bytes(p.dtype);
    const std::uint64_t step = p.reduced.inner_stride(0);
    p.reduced.each([&](const std::uint64_t (&at)[1]) noexcept {
        Number block[block_size];
        for (std::uint64_t done = 0; done < p.reduced.inner(); done += block_size) {
            const std::uint64_t n = smaller(block_size, p.reduced.inner() - done);
            load(p.dtype, element(x, at[0] + done * step, bytes), step, n, block);
            apply(block, n);
        }
    });
}

double reduce_real(const ReduceParams& p, const void* x) noexcept {
    const Reduction& r = *p.reduction;
    double result = r.start;
    each_block<double>(p, x, [&](const double* block, std::uint64_t n) noexcept {
        for (std::uint64_t k = 0; k < n; ++k) result = r.real(result, block[k]);
    });
    if (!p.log_exp || fabs(result) == HUGE_VAL || __builtin_isnan(result)) {
        return r.finish != nullptr ? r.finish(result) : result;
    }
    double sum = 0.0;
    each_block<double>(p, x, [&](const double* block, std::uint64_t n) noexcept {
        for (std::uint64_t k = 0; k < n; ++k) sum += exp(block[k] - result);
    });
    return result + log(sum);
}

std::int64_t reduce_integer(const ReduceParams& p, const void* x) noexcept {
    std::int64_t result = p.integer_start;
    each_block<std::int64_t>(p, x, [&](const std::int64_t* block, std::uint64_t n) noexcept {
        for (std::uint64_t k = 0; k < n; ++k) result = p.reduction->integer(result, block[k]);
    });
    return result;
}

Status run_reduce(const RunContext& context) noexcept {
    const ReduceParams& p = context.parameters<ReduceParams>();
    const unsigned bytes = element_bytes(p.dtype);
    p.kept.each([&](const std::uint64_t (&at)[2]) noexcept {
        for (std::uint64_t i = 0; i < p.kept.inner(); ++i) {
            const void* x = element(context.inputs[0], at[0] + i * p.kept.inner_stride(0), bytes);
            void* y = element(context.outputs[0], at[1] + i * p.kept.inner_stride(1), bytes);
            if (among(p.dtype, real_types)) {
                const double result = reduce_real(p, x);
                store(p.dtype, &result, 1, y, 0);
            } else {
                const std::int64_t result = reduce_integer(p, x);
                store(p.dtype, &result, 1, y, 0);
            }
        }
    });
    return Status::ok;
}

constexpr Operator reduce() noexcept {
    return {
        .keys = key_bit(Key::axes) | key_bit(Key::keepdims),
        .flags = op_typed | op_empty,
        .param_bytes = sizeof(ReduceParams),
        .plan = plan_reduce,
        .run = run_reduce,
    };
}

}  // namespace

const Operator op_ReduceSum = reduce();
const Operator op_ReduceProd = reduce();
const Operator op_ReduceMax = reduce();
const Operator op_ReduceMin = reduce();
const Operator op_ReduceL1 = reduce();
const Operator op_ReduceL2 = reduce();
const Operator op_ReduceSumSquare = reduce();
const Operator op_ReduceLogSum = reduce();
const Operator op_ReduceLogSumExp = reduce();

}  // namespace bitpress
