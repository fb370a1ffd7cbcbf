// Values to whole numbers and back: the one place where bounded frames touch floating point.
#pragma once

#include <math.h>

#include "bytes.h"
#include "codings/bounded.h"

namespace bitpress::bounded {

inline constexpr std::uint8_t chunk_raw = 0;
inline constexpr std::uint8_t chunk_coded = 1;
inline constexpr std::size_t chunk_entry_bytes = 4;
inline constexpr std::size_t least_chunk = 5;
inline constexpr double most_step = 0x1p1000;
inline constexpr std::int32_t most_value = 1 << 28;

template <class T>
struct FloatBits;
template <>
struct FloatBits<float> {
    using Int = std::uint32_t;
    static constexpr unsigned mantissa = 23;
};
template <>
struct FloatBits<double> {
    using Int = std::uint64_t;
    static constexpr unsigned mantissa = 52;
};

struct Restore {
    double step;
    std::uint64_t grid;
    std::uint64_t base;

    // absolute: value * step in double, rounded once more to T.
    template <class T>
    T absolute(std::int32_t value) const noexcept {
        return static_cast<T>(static_cast<double>(value) * step);
    }
    // relative: the bits of the magnitude are (|value| + base) * grid, modulo the size of T without its sign; 0 is 0.
    template <class T>
    T relative(std::int32_t value) const noexcept {
        using Int = typename FloatBits<T>::Int;
        constexpr unsigned sign_at = 8 * sizeof(Int) - 1;
        const std::uint32_t size =
            value < 0 ? 0u - static_cast<std::uint32_t>(value) : static_cast<std::uint32_t>(value);
        const std::uint64_t product = value == 0 ? 0 : (size + base) * grid;
        const Int bits =
            (static_cast<Int>(product) & ~(Int{1} << sign_at)) | static_cast<Int>(Int{value < 0} << sign_at);
        T result;
        std::memcpy(&result, &bits, sizeof result);
        return result;
    }
    template <class T>
    void row(Bound bound, const std::int32_t* values, std::size_t count, std::uint8_t* out) const noexcept {
        using Int = typename FloatBits<T>::Int;
        for (std::size_t j = 0; j < count; ++j) {
            const T value = bound == Bound::absolute ? absolute<T>(values[j]) : relative<T>(values[j]);
            Int bits;
            std::memcpy(&bits, &value, sizeof bits);
            store_le(out + j * sizeof(T), bits);
        }
    }
};

template <class T>
inline T load_float(const std::uint8_t* p) noexcept {
    const auto bits = load_le<typename FloatBits<T>::Int>(p);
    T value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace bitpress::bounded
