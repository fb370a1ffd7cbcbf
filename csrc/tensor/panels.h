// Codes of a matrix in panels (docs/format.md, "Panels"): of 16 outputs those of 4 inputs side by side, as products of
// bytes read them.
#pragma once

#include "kernels/kernels.h"
#include "tensor.h"

namespace bitpress {

inline constexpr std::uint64_t panel_outputs = 16;
// Inputs of a group: its 64 bytes hold 8 / bits quads of them for each output of a panel.
constexpr std::uint64_t panel_inputs(unsigned bits) noexcept { return 32 / bits; }

// Whether a tensor of this shape and scheme can stand in this order.
bool has_order(const Shape& shape, const Scheme& scheme, Order order) noexcept;

// Bytes from one panel to the next.
constexpr std::uint64_t panel_bytes(std::uint64_t inputs, unsigned bits) noexcept { return 2 * inputs * bits; }
// From the beginning of a panel to the group of an input, which is the first of one.
constexpr std::uint64_t group_bytes(std::uint64_t input, unsigned bits) noexcept { return 2 * input * bits; }

// Codes of the elements first..first + n - 1 of a matrix in panels, one a byte. The range lies inside it.
void read_panels(const TensorView& view, std::uint64_t first, std::size_t n, std::uint8_t* codes) noexcept;

// The same of a dense tensor of codes of at most 8 bits, in whatever order.
inline void read_codes(const Kernels& kernels, const TensorView& view, std::uint64_t first, std::size_t n,
                       std::uint8_t* codes) noexcept {
    if (view.order != Order::elements) return read_panels(view, first, n, codes);
    const Bytes packed = view.stream(Role::codes);
    kernels.unpack_bits(packed.data(), packed.size(), static_cast<std::size_t>(first), n, view.scheme.bits, codes);
}

}  // namespace bitpress
