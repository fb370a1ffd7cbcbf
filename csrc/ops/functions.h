// Operators that are one function of the elements of one to three broadcast inputs, of any element types: a table
// (functions.def) and one loop.
#pragma once

#include "ops/numbers.h"

namespace bitpress {

// What a function gets besides its inputs.
struct Constants {
    double alpha = 0.0;
    double beta = 0.0;
};

using RealFunction = double (*)(const double* x, const Constants& c) noexcept;
using IntegerFunction = std::int64_t (*)(const std::int64_t* x, const Constants& c) noexcept;

// An operator's row. Null: it has no such form. Where an input is a float all numbers are double; where one is u64 the
// third form sees their bits; else they are 64-bit integers.
struct Function {
    unsigned inputs = 1;
    std::uint32_t types = 0;    // what the inputs may be: all of the same type, but for the leading condition of Where
    std::uint32_t results = 0;  // 0: the type of the last input (of Pow: the first); else boolean_type
    RealFunction real = nullptr;
    IntegerFunction integer = nullptr;
    IntegerFunction natural = nullptr;
    Constants defaults;
    std::uint64_t keys = 0;
};

// For the operators that have kernels for F32 alone: the same for other types.
extern constinit const Operator typed_unary;
extern constinit const Operator typed_binary;

}  // namespace bitpress
