// What an operator is: plan() checks its inputs once and says shapes, scratch and parameters; run() only computes.
#pragma once

#include <new>  // placement only

#include "kernels/kernels.h"
#include "ops/graph.h"
#include "tensor.h"
#include "workers.h"

namespace bitpress {

inline constexpr unsigned max_outputs = 4;
// Most elements of a value: keeps every later product of an element count and a small size inside 64 bits.
inline constexpr std::uint64_t max_elements = std::uint64_t{1} << 40;

// One input of a node, as plan() sees it.
struct Operand {
    bool present = false;
    Dtype dtype = Dtype::f32;
    Shape shape;
    const TensorView* stored = nullptr;  // null for a computed value or a graph input
};

// What operators may do with the activations that meet stored integers: keep them, or round them to 16-bit codes; int8:
// to 8-bit codes in products of matrices, else to 16-bit ones.
enum class Activations : std::uint8_t { float32, int16, int8 };

// What the multiply-adds of an operator are of: floats, 16-bit integers, bytes; none: element visits.
enum class Products : std::uint8_t { none, f32, s16, s8 };

// What plan() reads and fills.
struct PlanContext {
    GraphNode node;
    Activations activations = Activations::float32;
    unsigned workers = 1;             // that may share a run
    const Operand* inputs = nullptr;  // node.inputs.size() of them
    void* params = nullptr;           // the operator's own, param_bytes, aligned to 64

    Shape outputs[max_outputs];
    Dtype output_dtypes[max_outputs] = {Dtype::f32, Dtype::f32, Dtype::f32, Dtype::f32};
    // Bit d: dim d of an output is what run() finds, and at most what `outputs` says.
    std::uint8_t varying[max_outputs] = {};
    std::uint64_t scratch_floats = 0;  // arena that run() needs besides inputs and outputs
    std::uint64_t tile_floats = 0;     // of these: dequantized weights
    std::uint64_t work = 0;            // about how many multiply-adds or element visits run() makes
    Products products = Products::none;
    unsigned parts = 1;  // workers that share this run: run() has scratch for each

    // Lets workers share a run of so many units that takes about so long on one core: none without a unit, nor for less
    // time than it takes to wake it. Sets and gives parts.
    unsigned share(std::uint64_t units, std::uint64_t nanoseconds) noexcept {
        constexpr std::uint64_t grain = 8192;
        const std::uint64_t useful = units < nanoseconds / grain ? units : nanoseconds / grain;
        parts = useful < 1 ? 1 : useful < workers ? static_cast<unsigned>(useful) : workers;
        return parts;
    }
    bool has(unsigned i) const noexcept { return i < node.inputs.size() && inputs[i].present; }
    std::int64_t integer(Key key, std::int64_t fallback) const noexcept { return node.integer(key, fallback); }
    float real(Key key, float fallback) const noexcept { return node.real(key, fallback); }
    std::span<const std::int64_t> integers(Key key) const noexcept { return node.integers(key); }
    // The operator's own parameters: made once, at their defaults, then the same.
    template <class P>
    P& make() const noexcept {
        return *::new (params) P{};
    }
    template <class P>
    P& parameters() const noexcept {
        return *static_cast<P*>(params);
    }
};

// What run() sees. Pointers are aligned to their element.
struct RunContext {
    const Kernels* kernels = nullptr;
    const void* params = nullptr;
    const void* const* inputs = nullptr;  // null where absent or where the operator reads the stored tensor itself
    const TensorView* const* stored = nullptr;    // not null exactly where the operator reads the stored tensor itself
    const std::uint64_t* input_counts = nullptr;  // elements
    unsigned input_count = 0;
    void* const* outputs = nullptr;
    Shape* output_shapes = nullptr;  // of an operator whose plan() said that dims vary: run() sets those
    float* scratch = nullptr;        // scratch_floats, aligned to 64 bytes
    Workers workers;                 // at most as many as plan() had parts

    const float* input(unsigned i) const noexcept { return static_cast<const float*>(inputs[i]); }
    float* output(unsigned i = 0) const noexcept { return static_cast<float*>(outputs[i]); }
    template <class P>
    const P& parameters() const noexcept {
        return *static_cast<const P*>(params);
    }
};

enum OperatorFlags : unsigned {
    op_in_place = 1,  // output 0 may be the memory of input 0, where both have the same size
    op_typed = 4,     // takes inputs of other types than F32: plan() checks them
    op_alias = 2,     // output 0 is input 0's bytes under another shape: run() copies, and may be left out
    op_control = 16,  // its bodies are run by the session; it has no plan() and no run()
    op_empty = 8,     // takes inputs without elements; run() is not called where no output has any
};

struct Operator {
    unsigned min_inputs = 1;
    unsigned max_inputs = 1;
    unsigned outputs = 1;
    std::uint64_t keys = 0;     // the attributes it knows, as key_bit
    unsigned reads_stored = 0;  // bit i: input i, where stored and of floats, is read by run() from its TensorView
    unsigned flags = 0;
    std::size_t param_bytes = 0;  // a multiple of 8
    Status (*plan)(PlanContext&) noexcept = nullptr;
    Status (*run)(const RunContext&) noexcept = nullptr;
    const Operator* otherwise = nullptr;  // what stands in for it where an input is not F32
};

// Null for an unknown id.
const Operator* find_operator(OpId id) noexcept;
const char* operator_name(OpId id) noexcept;

#define BP_OP(name, number) extern const Operator op_##name;
#include "ops/ops.def"
#undef BP_OP

}  // namespace bitpress
