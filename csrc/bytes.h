// Spans of bytes and unaligned little-endian loads and stores: the vocabulary of every reader and writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace bitpress {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

// The value of type T that stands in little-endian order at p; p needs no alignment.
template <class T>
inline T load_le(const std::uint8_t* p) noexcept {
    T value;
    std::memcpy(&value, p, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    std::uint8_t swapped[sizeof value];
    for (std::size_t i = 0; i < sizeof value; ++i) swapped[i] = p[sizeof value - 1 - i];
    std::memcpy(&value, swapped, sizeof value);
#endif
    return value;
}

template <class T>
inline void store_le(std::uint8_t* p, T value) noexcept {
    std::memcpy(p, &value, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (std::size_t i = 0; i < sizeof value / 2; ++i) {
        const std::uint8_t low = p[i];
        p[i] = p[sizeof value - 1 - i];
        p[sizeof value - 1 - i] = low;
    }
#endif
}

// a * b and a + b, or false where the result does not fit.
inline bool checked_mul(std::uint64_t a, std::uint64_t b, std::uint64_t* product) noexcept {
    return !__builtin_mul_overflow(a, b, product);
}
inline bool checked_add(std::uint64_t a, std::uint64_t b, std::uint64_t* sum) noexcept {
    return !__builtin_add_overflow(a, b, sum);
}

// What so many codes of `bits` bits take when they are packed.
constexpr std::uint64_t packed_bytes(std::uint64_t count, unsigned bits) noexcept {
    return count / 8 * bits + (count % 8 * bits + 7) / 8;
}

}  // namespace bitpress
