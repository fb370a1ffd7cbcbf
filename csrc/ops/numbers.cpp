#include "ops/numbers.h"

#include <string.h>

namespace bitpress {
namespace {

template <class To>
To number(double value) noexcept {
    return static_cast<To>(value);
}
template <>
std::int64_t number(double value) noexcept {
    if (!(value > -0x1p63)) return value < 0 ? INT64_MIN : 0;  // NaN is not above
    if (value >= 0x1p63)
        return value >= 0x1p64 ? INT64_MAX : static_cast<std::int64_t>(static_cast<std::uint64_t>(value));
    return static_cast<std::int64_t>(value);
}

template <class From, class To>
void load_as(const void* from, std::uint64_t step, std::uint64_t n, To* out) noexcept {
    const auto* x = static_cast<const From*>(from);
    for (std::uint64_t i = 0; i < n; ++i) {
        if constexpr (__is_same(From, float) || __is_same(From, double)) {
            out[i] = number<To>(static_cast<double>(x[i * step]));
        } else {
            out[i] = static_cast<To>(x[i * step]);  // NOLINT(bugprone-signed-char-misuse): an i8 has a sign
        }
    }
}

template <class To, class From>
void store_as(const From* from, std::uint64_t n, void* to, std::uint64_t step) noexcept {
    auto* y = static_cast<To*>(to);
    for (std::uint64_t i = 0; i < n; ++i) {
        if constexpr (__is_same(From, double) && !__is_same(To, float) && !__is_same(To, double)) {
            y[i * step] = static_cast<To>(number<std::int64_t>(from[i]));
        } else {
            y[i * step] = static_cast<To>(from[i]);
        }
    }
}

template <class To>
void load_any(Dtype dtype, const void* from, std::uint64_t step, std::uint64_t n, To* out) noexcept {
    switch (dtype) {
        case Dtype::boolean:
        case Dtype::u8: return load_as<std::uint8_t>(from, step, n, out);
        case Dtype::i8: return load_as<std::int8_t>(from, step, n, out);
        case Dtype::i16: return load_as<std::int16_t>(from, step, n, out);
        case Dtype::u16: return load_as<std::uint16_t>(from, step, n, out);
        case Dtype::i32: return load_as<std::int32_t>(from, step, n, out);
        case Dtype::u32: return load_as<std::uint32_t>(from, step, n, out);
        case Dtype::i64: return load_as<std::int64_t>(from, step, n, out);
        case Dtype::u64: return load_as<std::uint64_t>(from, step, n, out);
        case Dtype::f32: return load_as<float>(from, step, n, out);
        case Dtype::f64: return load_as<double>(from, step, n, out);
        default: return;  // no operator accepts it
    }
}

template <class From>
void store_any(Dtype dtype, const From* from, std::uint64_t n, void* to, std::uint64_t step) noexcept {
    switch (dtype) {
        case Dtype::boolean:
            for (std::uint64_t i = 0; i < n; ++i) static_cast<std::uint8_t*>(to)[i * step] = from[i] != 0 ? 1 : 0;
            return;
        case Dtype::u8: return store_as<std::uint8_t>(from, n, to, step);
        case Dtype::i8: return store_as<std::int8_t>(from, n, to, step);
        case Dtype::i16: return store_as<std::int16_t>(from, n, to, step);
        case Dtype::u16: return store_as<std::uint16_t>(from, n, to, step);
        case Dtype::i32: return store_as<std::int32_t>(from, n, to, step);
        case Dtype::u32: return store_as<std::uint32_t>(from, n, to, step);
        case Dtype::i64: return store_as<std::int64_t>(from, n, to, step);
        case Dtype::u64: return store_as<std::uint64_t>(from, n, to, step);
        case Dtype::f32: return store_as<float>(from, n, to, step);
        case Dtype::f64: return store_as<double>(from, n, to, step);
        default: return;
    }
}

template <class T>
void copy_as(const void* from, std::uint64_t from_step, void* to, std::uint64_t to_step, std::uint64_t n) noexcept {
    const auto* x = static_cast<const T*>(from);
    auto* y = static_cast<T*>(to);
    for (std::uint64_t i = 0; i < n; ++i) {
        y[static_cast<std::int64_t>(i * to_step)] = x[static_cast<std::int64_t>(i * from_step)];
    }
}

}  // namespace

void load(Dtype dtype, const void* from, std::uint64_t step, std::uint64_t n, double* out) noexcept {
    load_any(dtype, from, step, n, out);
}
void load(Dtype dtype, const void* from, std::uint64_t step, std::uint64_t n, std::int64_t* out) noexcept {
    load_any(dtype, from, step, n, out);
}
void store(Dtype dtype, const double* from, std::uint64_t n, void* to, std::uint64_t step) noexcept {
    store_any(dtype, from, n, to, step);
}
void store(Dtype dtype, const std::int64_t* from, std::uint64_t n, void* to, std::uint64_t step) noexcept {
    store_any(dtype, from, n, to, step);
}

void copy_elements(unsigned bytes, const void* from, std::uint64_t from_step, void* to, std::uint64_t to_step,
                   std::uint64_t n) noexcept {
    if (from_step == 1 && to_step == 1) {
        memcpy(to, from, n * bytes);
        return;
    }
    switch (bytes) {
        case 1: return copy_as<std::uint8_t>(from, from_step, to, to_step, n);
        case 2: return copy_as<std::uint16_t>(from, from_step, to, to_step, n);
        case 4: return copy_as<std::uint32_t>(from, from_step, to, to_step, n);
        default: return copy_as<std::uint64_t>(from, from_step, to, to_step, n);
    }
}

}  // namespace bitpress
