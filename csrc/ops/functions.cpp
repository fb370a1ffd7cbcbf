#include "ops/functions.h"

#include <math.h>

#include "ops/common.h"

namespace bitpress {
namespace {

constexpr std::uint64_t alpha_key = key_bit(Key::alpha);
constexpr std::uint64_t beta_key = key_bit(Key::beta);
constexpr std::uint64_t fmod_key = key_bit(Key::fmod);
constexpr std::uint64_t direction_key = key_bit(Key::direction);

using Int = std::int64_t;
using Natural = std::uint64_t;

// -- of floats ------------------------------------------------------------------------------------------------------

template <double function(double) noexcept>
double unary_(const double* x, const Constants&) noexcept {
    return function(x[0]);
}
double fabs_(const double* x, const Constants&) noexcept { return fabs(x[0]); }
double negative(const double* x, const Constants&) noexcept { return -x[0]; }
double sign(const double* x, const Constants&) noexcept { return x[0] > 0 ? 1 : x[0] < 0 ? -1 : x[0]; }
double reciprocal(const double* x, const Constants&) noexcept { return 1.0 / x[0]; }
double elu(const double* x, const Constants& c) noexcept { return x[0] > 0 ? x[0] : c.alpha * expm1(x[0]); }
double selu(const double* x, const Constants& c) noexcept { return c.beta * elu(x, c); }
double celu(const double* x, const Constants& c) noexcept { return x[0] > 0 ? x[0] : c.alpha * expm1(x[0] / c.alpha); }
double softplus(const double* x, const Constants&) noexcept {
    return (x[0] > 0 ? x[0] : 0.0) + log1p(exp(-fabs(x[0])));
}
double softsign(const double* x, const Constants&) noexcept { return x[0] / (1.0 + fabs(x[0])); }
double mish(const double* x, const Constants& c) noexcept { return x[0] * tanh(softplus(x, c)); }
double swish(const double* x, const Constants& c) noexcept { return x[0] / (1.0 + exp(-c.alpha * x[0])); }
double thresholded(const double* x, const Constants& c) noexcept { return x[0] > c.alpha ? x[0] : 0.0; }
double shrink(const double* x, const Constants& c) noexcept {
    return x[0] < -c.alpha ? x[0] + c.beta : x[0] > c.alpha ? x[0] - c.beta : 0.0;
}
double is_nan(const double* x, const Constants&) noexcept { return __builtin_isnan(x[0]) ? 1 : 0; }
double is_infinite(const double* x, const Constants& c) noexcept {
    return (c.alpha != 0 && x[0] == -HUGE_VAL) || (c.beta != 0 && x[0] == HUGE_VAL) ? 1 : 0;
}
double power(const double* x, const Constants&) noexcept { return pow(x[0], x[1]); }
// fmod: the sign of the dividend; else that of the divisor.
double modulo(const double* x, const Constants& c) noexcept {
    const double rest = fmod(x[0], x[1]);
    return c.alpha == 0 && rest != 0 && (rest < 0) != (x[1] < 0) ? rest + x[1] : rest;
}
double add(const double* x, const Constants&) noexcept { return x[0] + x[1]; }
double subtract(const double* x, const Constants&) noexcept { return x[0] - x[1]; }
double multiply(const double* x, const Constants&) noexcept { return x[0] * x[1]; }
double divide(const double* x, const Constants&) noexcept { return x[0] / x[1]; }
double most(const double* x, const Constants&) noexcept { return x[0] > x[1] || __builtin_isnan(x[0]) ? x[0] : x[1]; }
double least(const double* x, const Constants&) noexcept { return x[0] < x[1] || __builtin_isnan(x[0]) ? x[0] : x[1]; }
double equal(const double* x, const Constants&) noexcept { return x[0] == x[1] ? 1 : 0; }
double greater(const double* x, const Constants&) noexcept { return x[0] > x[1] ? 1 : 0; }
double greater_equal(const double* x, const Constants&) noexcept { return x[0] >= x[1] ? 1 : 0; }
double less(const double* x, const Constants&) noexcept { return x[0] < x[1] ? 1 : 0; }
double less_equal(const double* x, const Constants&) noexcept { return x[0] <= x[1] ? 1 : 0; }
double prelu(const double* x, const Constants&) noexcept { return x[0] < 0 ? x[0] * x[1] : x[0]; }
double choose(const double* x, const Constants&) noexcept { return x[0] != 0 ? x[1] : x[2]; }
double clip(const double* x, const Constants& c) noexcept {
    const double low = x[0] < c.alpha ? c.alpha : x[0];
    return low > c.beta ? c.beta : low;
}
double rectify(const double* x, const Constants&) noexcept { return x[0] < 0 ? 0 : x[0]; }
double sigmoid(const double* x, const Constants&) noexcept { return 1.0 / (1.0 + exp(-x[0])); }
double hard_sigmoid(const double* x, const Constants& c) noexcept {
    const double y = c.alpha * x[0] + c.beta;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}
double leaky(const double* x, const Constants& c) noexcept { return x[0] < 0 ? c.alpha * x[0] : x[0]; }

// -- of integers: they wrap around -----------------------------------------------------------------------------------

Int wrap(Natural x) noexcept { return static_cast<Int>(x); }
Natural bits(Int x) noexcept { return static_cast<Natural>(x); }

Int first_(const Int* x, const Constants&) noexcept { return x[0]; }
Int negative_integer(const Int* x, const Constants&) noexcept { return wrap(0 - bits(x[0])); }
Int magnitude(const Int* x, const Constants& c) noexcept { return x[0] < 0 ? negative_integer(x, c) : x[0]; }
Int sign_integer(const Int* x, const Constants&) noexcept { return x[0] > 0 ? 1 : x[0] < 0 ? -1 : 0; }
Int sign_natural(const Int* x, const Constants&) noexcept { return x[0] != 0 ? 1 : 0; }
Int not_(const Int* x, const Constants&) noexcept { return x[0] == 0 ? 1 : 0; }
Int bit_not(const Int* x, const Constants&) noexcept { return ~x[0]; }
Int add_integer(const Int* x, const Constants&) noexcept { return wrap(bits(x[0]) + bits(x[1])); }
Int subtract_integer(const Int* x, const Constants&) noexcept { return wrap(bits(x[0]) - bits(x[1])); }
Int multiply_integer(const Int* x, const Constants&) noexcept { return wrap(bits(x[0]) * bits(x[1])); }
// Divisors are not 0: run_function looks first.
Int divide_integer(const Int* x, const Constants& c) noexcept {
    return x[1] == -1 ? negative_integer(x, c) : x[0] / x[1];
}
Int divide_natural(const Int* x, const Constants&) noexcept { return wrap(bits(x[0]) / bits(x[1])); }
Int modulo_integer(const Int* x, const Constants& c) noexcept {
    const Int rest = x[1] == -1 ? 0 : x[0] % x[1];
    return c.alpha == 0 && rest != 0 && (rest < 0) != (x[1] < 0) ? rest + x[1] : rest;
}
Int modulo_natural(const Int* x, const Constants&) noexcept { return wrap(bits(x[0]) % bits(x[1])); }
Int power_integer(const Int* x, const Constants&) noexcept {
    if (x[1] < 0) return x[0] == 1 ? 1 : x[0] == -1 ? ((x[1] & 1) != 0 ? -1 : 1) : 0;
    Natural result = 1;
    Natural square = bits(x[0]);
    for (Natural n = bits(x[1]); n > 0; n >>= 1) {
        if ((n & 1) != 0) result *= square;
        square *= square;
    }
    return wrap(result);
}
template <class T>
Int most_of(const Int* x, const Constants&) noexcept {
    return static_cast<T>(x[0]) > static_cast<T>(x[1]) ? x[0] : x[1];
}
template <class T>
Int least_of(const Int* x, const Constants&) noexcept {
    return static_cast<T>(x[0]) < static_cast<T>(x[1]) ? x[0] : x[1];
}
Int equal_integer(const Int* x, const Constants&) noexcept { return x[0] == x[1] ? 1 : 0; }
template <class T>
Int greater_of(const Int* x, const Constants&) noexcept {
    return static_cast<T>(x[0]) > static_cast<T>(x[1]) ? 1 : 0;
}
template <class T>
Int greater_equal_of(const Int* x, const Constants&) noexcept {
    return static_cast<T>(x[0]) >= static_cast<T>(x[1]) ? 1 : 0;
}
template <class T>
Int less_of(const Int* x, const Constants&) noexcept {
    return static_cast<T>(x[0]) < static_cast<T>(x[1]) ? 1 : 0;
}
template <class T>
Int less_equal_of(const Int* x, const Constants&) noexcept {
    return static_cast<T>(x[0]) <= static_cast<T>(x[1]) ? 1 : 0;
}
Int bit_and(const Int* x, const Constants&) noexcept { return x[0] & x[1]; }
Int bit_or(const Int* x, const Constants&) noexcept { return x[0] | x[1]; }
Int bit_xor(const Int* x, const Constants&) noexcept { return x[0] ^ x[1]; }
// To the right, a negative number is filled with ones. By a negative number, or 64 or more: nothing stays.
Int shift(const Int* x, const Constants& c) noexcept {
    const bool all = bits(x[1]) > 63;
    if (c.alpha == 0) return all ? 0 : wrap(bits(x[0]) << x[1]);
    return x[0] >> (all ? 63 : x[1]);
}
Int shift_natural(const Int* x, const Constants& c) noexcept {
    if (bits(x[1]) > 63) return 0;
    return wrap(c.alpha == 0 ? bits(x[0]) << x[1] : bits(x[0]) >> x[1]);
}
Int prelu_integer(const Int* x, const Constants& c) noexcept { return x[0] < 0 ? multiply_integer(x, c) : x[0]; }
Int choose_integer(const Int* x, const Constants&) noexcept { return x[0] != 0 ? x[1] : x[2]; }
Int rectify_integer(const Int* x, const Constants&) noexcept { return x[0] < 0 ? 0 : x[0]; }

// -- the table ------------------------------------------------------------------------------------------------------

constexpr Function no_function;
#define BP_FUNCTION(name, inputs, types, results, real, integer, natural, alpha, beta, keys) \
    constexpr Function function_##name = {inputs, types, results, real, integer, natural, {alpha, beta}, keys};
#include "ops/functions.def"
#undef BP_FUNCTION

constexpr std::uint64_t clip_keys = key_bit(Key::clip_low) | key_bit(Key::clip_high);
constexpr Function function_Add = {2, number_types, 0, add, add_integer, add_integer, {}, 0};
constexpr Function function_Sub = {2, number_types, 0, subtract, subtract_integer, subtract_integer, {}, 0};
constexpr Function function_Mul = {2, number_types, 0, multiply, multiply_integer, multiply_integer, {}, 0};
constexpr Function function_Div = {2, number_types, 0, divide, divide_integer, divide_natural, {}, 0};
constexpr Function function_Max = {2, number_types, 0, most, most_of<std::int64_t>, most_of<std::uint64_t>, {}, 0};
constexpr Function function_Min = {2, number_types, 0, least, least_of<std::int64_t>, least_of<std::uint64_t>, {}, 0};
constexpr Function function_Relu = {1, number_types, 0, rectify, rectify_integer, first_, {}, 0};
constexpr std::uint32_t f64_type = type_bit(Dtype::f64);
constexpr Function function_Clip = {1, f64_type, 0, clip, nullptr, nullptr, {-HUGE_VAL, HUGE_VAL}, clip_keys};
constexpr Function function_Sigmoid = {1, f64_type, 0, sigmoid, nullptr, nullptr, {}, 0};
constexpr Function function_Tanh = {1, f64_type, 0, unary_<tanh>, nullptr, nullptr, {}, 0};
constexpr Function function_Erf = {1, f64_type, 0, unary_<erf>, nullptr, nullptr, {}, 0};
constexpr Function function_Exp = {1, f64_type, 0, unary_<exp>, nullptr, nullptr, {}, 0};
constexpr Function function_Sqrt = {1, f64_type, 0, unary_<sqrt>, nullptr, nullptr, {}, 0};
constexpr Function function_HardSigmoid = {1,       f64_type, 0,          hard_sigmoid,
                                           nullptr, nullptr,  {0.2, 0.5}, alpha_key | beta_key};
constexpr Function function_LeakyRelu = {1, f64_type, 0, leaky, nullptr, nullptr, {0.01, 0}, alpha_key};

const Function& function_of(OpId op) noexcept {
    switch (op) {
#define BP_FUNCTION(name, inputs, types, results, real, integer, natural, alpha, beta, keys) \
    case OpId::name: return function_##name;
#include "ops/functions.def"
#undef BP_FUNCTION
        case OpId::Add: return function_Add;
        case OpId::Sub: return function_Sub;
        case OpId::Mul: return function_Mul;
        case OpId::Div: return function_Div;
        case OpId::Max: return function_Max;
        case OpId::Min: return function_Min;
        case OpId::Relu: return function_Relu;
        case OpId::Clip: return function_Clip;
        case OpId::Sigmoid: return function_Sigmoid;
        case OpId::Tanh: return function_Tanh;
        case OpId::Erf: return function_Erf;
        case OpId::Exp: return function_Exp;
        case OpId::Sqrt: return function_Sqrt;
        case OpId::HardSigmoid: return function_HardSigmoid;
        case OpId::LeakyRelu: return function_LeakyRelu;
        default: return no_function;
    }
}

struct FunctionParams {
    const Function* function = nullptr;
    Loops<4> loops;  // inputs (an absent one does not move), output
    Dtype dtypes[4] = {};
    Constants constants;
    bool divides = false;
};

Constants constants_of(const PlanContext& context, const Function& f) noexcept {
    Constants c = f.defaults;
    if ((f.keys & alpha_key) != 0) c.alpha = static_cast<double>(context.real(Key::alpha, static_cast<float>(c.alpha)));
    if ((f.keys & beta_key) != 0) c.beta = static_cast<double>(context.real(Key::beta, static_cast<float>(c.beta)));
    if ((f.keys & fmod_key) != 0) c.alpha = context.integer(Key::fmod, 0) != 0 ? 1 : 0;
    if ((f.keys & direction_key) != 0) c.alpha = context.integer(Key::direction, 0) != 0 ? 1 : 0;
    if ((f.keys & clip_keys) != 0) {
        c.alpha = static_cast<double>(context.real(Key::clip_low, -HUGE_VALF));
        c.beta = static_cast<double>(context.real(Key::clip_high, HUGE_VALF));
    }
    return c;
}

Status check_types(const PlanContext& context, const Function& f, unsigned first) noexcept {
    bool any_real = false;
    bool any_natural = false;
    for (unsigned i = first; i < f.inputs; ++i) {
        const Dtype dtype = context.inputs[i].dtype;
        if (!among(dtype, f.types)) return Status::unsupported;
        if (dtype != context.inputs[first].dtype && context.node.op != OpId::Pow) return Status::unsupported;
        any_real = any_real || among(dtype, real_types);
        any_natural = any_natural || dtype == Dtype::u64;
    }
    const bool has = any_real ? f.real != nullptr : any_natural ? f.natural != nullptr : f.integer != nullptr;
    return has ? Status::ok : Status::unsupported;
}

Status plan_function(PlanContext& context) noexcept {
    const Function& f = function_of(context.node.op);
    if ((context.node.keys() & ~f.keys) != 0) return Status::unsupported;
    FunctionParams& p = context.make<FunctionParams>();
    p.function = &f;
    const unsigned first = context.node.op == OpId::Where ? 1 : 0;
    if (first == 1 && context.inputs[0].dtype != Dtype::boolean) return Status::unsupported;
    BP_TRY(check_types(context, f, first));
    p.constants = constants_of(context, f);
    p.divides = context.node.op == OpId::Div || context.node.op == OpId::Mod;
    Shape& out = context.outputs[0];
    out = context.inputs[0].shape;
    for (unsigned i = 1; i < f.inputs; ++i) BP_TRY(broadcast(Shape{out}, context.inputs[i].shape, &out));
    std::uint64_t steps[4][max_rank] = {};
    contiguous(out, steps[3]);
    for (unsigned i = 0; i < f.inputs; ++i) {
        broadcast_strides(context.inputs[i].shape, out, steps[i]);
        p.dtypes[i] = context.inputs[i].dtype;
    }
    context.work = 1;
    for (unsigned d = 0; d < out.rank; ++d) {
        p.loops.add(out.dims[d], {steps[0][d], steps[1][d], steps[2][d], steps[3][d]});
        if (!checked_mul(context.work, out.dims[d], &context.work)) return Status::too_large;
    }
    context.share(tiles(p.loops.rows(), p.loops.inner()), context.work * 4);
    context.output_dtypes[0] = f.results != 0 ? Dtype::boolean : context.inputs[first].dtype;
    p.dtypes[3] = context.output_dtypes[0];
    return Status::ok;
}

template <class Number, class Apply>
Status run_blocks(const RunContext& context, const FunctionParams& p, Apply apply, bool check_divisors) noexcept {
    const unsigned inputs = p.function->inputs;
    return in_tiles(context.workers, p.loops, [&](const std::uint64_t (&at)[4], std::uint64_t count) noexcept {
        Number blocks[3][block_size];
        for (std::uint64_t done = 0; done < count; done += block_size) {
            const std::uint64_t n = smaller(block_size, count - done);
            for (unsigned i = 0; i < inputs; ++i) {
                const std::uint64_t step = p.loops.inner_stride(i);
                load(p.dtypes[i], element(context.inputs[i], at[i] + done * step, element_bytes(p.dtypes[i])), step, n,
                     blocks[i]);
            }
            for (std::uint64_t k = 0; k < n; ++k) {
                const Number x[3] = {blocks[0][k], inputs > 1 ? blocks[1][k] : Number{},
                                     inputs > 2 ? blocks[2][k] : Number{}};
                if (check_divisors && x[1] == 0) return Status::bad_argument;
                blocks[0][k] = apply(x, p.constants);
            }
            store(p.dtypes[3], blocks[0], n,
                  element(context.outputs[0], at[3] + done * p.loops.inner_stride(3), element_bytes(p.dtypes[3])),
                  p.loops.inner_stride(3));
        }
        return Status::ok;
    });
}

Status run_function(const RunContext& context) noexcept {
    const FunctionParams& p = context.parameters<FunctionParams>();
    const Function& f = *p.function;
    bool any_real = false;
    bool any_natural = false;
    for (unsigned i = f.inputs == 3 ? 1 : 0; i < f.inputs; ++i) {
        any_real = any_real || among(p.dtypes[i], real_types);
        any_natural = any_natural || p.dtypes[i] == Dtype::u64;
    }
    if (any_real) return run_blocks<double>(context, p, f.real, false);
    return run_blocks<std::int64_t>(context, p, any_natural ? f.natural : f.integer, p.divides);
}

constexpr Operator function(unsigned inputs, std::uint64_t keys) noexcept {
    return {
        .min_inputs = inputs,
        .max_inputs = inputs,
        .keys = keys,
        .flags = op_in_place | op_typed | op_empty,
        .param_bytes = sizeof(FunctionParams),
        .plan = plan_function,
        .run = run_function,
    };
}

}  // namespace

#define BP_FUNCTION(name, inputs, types, results, real, integer, natural, alpha, beta, keys) \
    const Operator op_##name = function(inputs, keys);
#include "ops/functions.def"
#undef BP_FUNCTION

const Operator typed_unary = function(1, alpha_key | beta_key | clip_keys);
const Operator typed_binary = function(2, 0);

}  // namespace bitpress
