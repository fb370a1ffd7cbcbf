// Stored codes as an integer product reads them: symmetric, dense, at most 8 bits.
#pragma once

#include "ops/op.h"
#include "tensor/panels.h"

namespace bitpress {

// Whether a stored tensor's values are scale * integer with -128 <= integer <= 128.
inline bool has_integers(const TensorView& view) noexcept {
    const Scheme& scheme = view.scheme;
    return scheme.structure == Structure::dense && scheme.values == Values::integer && !scheme.affine &&
           scheme.bits <= 8;
}

// value = factor * code - zero, in units of scale. One bit: scale * (code - 1/2) = scale / 2 * (2 * code - 1).
struct IntegerCodes {
    const TensorView& view;
    bool one_bit() const noexcept { return view.scheme.bits == 1; }
    int factor() const noexcept { return one_bit() ? 2 : 1; }
    int zero() const noexcept { return one_bit() ? 1 : 1 << (view.scheme.bits - 1U); }
    float scale(std::uint64_t index) const noexcept {
        const float stored = load_le<float>(view.stream(Role::scales).data() + 4 * index);
        return one_bit() ? stored * 0.5F : stored;
    }
    bool in_place() const noexcept { return view.scheme.bits == 8 && view.order == Order::elements; }
    // Codes first..first + n - 1, in place where they are bytes in this order, else in `room`.
    const std::uint8_t* read(const Kernels& kernels, std::uint64_t first, std::uint64_t n,
                             std::uint8_t* room) const noexcept {
        if (in_place()) return view.stream(Role::codes).data() + first;
        read_codes(kernels, view, first, static_cast<std::size_t>(n), room);
        return room;
    }
};

}  // namespace bitpress
