// Elements of any type as numbers to compute with: double for the floats, 64-bit integers for the rest.
#pragma once

#include "ops/op.h"

namespace bitpress {

// Sets of element types, one bit each.
constexpr std::uint32_t type_bit(Dtype dtype) noexcept { return 1U << static_cast<unsigned>(dtype); }
inline constexpr std::uint32_t real_types = type_bit(Dtype::f32) | type_bit(Dtype::f64);
inline constexpr std::uint32_t signed_types =
    type_bit(Dtype::i8) | type_bit(Dtype::i16) | type_bit(Dtype::i32) | type_bit(Dtype::i64);
inline constexpr std::uint32_t unsigned_types =
    type_bit(Dtype::u8) | type_bit(Dtype::u16) | type_bit(Dtype::u32) | type_bit(Dtype::u64);
inline constexpr std::uint32_t integer_types = signed_types | unsigned_types;
inline constexpr std::uint32_t boolean_type = type_bit(Dtype::boolean);
inline constexpr std::uint32_t number_types = real_types | integer_types;
inline constexpr std::uint32_t any_type = number_types | boolean_type;

constexpr bool among(Dtype dtype, std::uint32_t types) noexcept { return (types & type_bit(dtype)) != 0; }
// Bytes an element of any_type takes.
inline unsigned element_bytes(Dtype dtype) noexcept { return dtype_bits(dtype) / 8; }

inline const std::uint8_t* element(const void* data, std::uint64_t index, unsigned bytes) noexcept {
    return static_cast<const std::uint8_t*>(data) + index * bytes;
}
inline std::uint8_t* element(void* data, std::uint64_t index, unsigned bytes) noexcept {
    return static_cast<std::uint8_t*>(data) + index * bytes;
}

// `n` elements, `step` apart (0 repeats one), as numbers. As integers, floats are cut towards zero and held inside 64
// bits, NaN is 0; u64 keeps its bits.
void load(Dtype dtype, const void* from, std::uint64_t step, std::uint64_t n, double* out) noexcept;
void load(Dtype dtype, const void* from, std::uint64_t step, std::uint64_t n, std::int64_t* out) noexcept;
// The other way. Integers keep their lowest bits; a boolean says whether the number is not 0.
void store(Dtype dtype, const double* from, std::uint64_t n, void* to, std::uint64_t step) noexcept;
void store(Dtype dtype, const std::int64_t* from, std::uint64_t n, void* to, std::uint64_t step) noexcept;

// `n` elements of 1, 2, 4 or 8 bytes from one place to another; steps are in elements and may be negative (modulo
// 2^64).
void copy_elements(unsigned bytes, const void* from, std::uint64_t from_step, void* to, std::uint64_t to_step,
                   std::uint64_t n) noexcept;

// Numbers that are worked on at a time, on the stack.
inline constexpr std::uint64_t block_size = 128;

}  // namespace bitpress
