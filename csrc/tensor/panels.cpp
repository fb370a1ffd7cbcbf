#include "tensor/panels.h"

#include <string.h>

namespace bitpress {
namespace {

constexpr std::uint64_t quad = 4;  // inputs that stand side by side

// The codes of one matrix. Their bits are known to the compiler, so that places are found by shifts.
template <unsigned bits>
struct Panels {
    static constexpr std::uint64_t group = panel_inputs(bits);
    static constexpr unsigned mask = (1U << bits) - 1U;
    const std::uint8_t* codes;
    std::uint64_t inputs;

    const std::uint8_t* at(std::uint64_t output, std::uint64_t input) const noexcept {
        return codes + output / panel_outputs * panel_bytes(inputs, bits) + group_bytes(input / group * group, bits) +
               output % panel_outputs * quad + input % quad;
    }
    static unsigned shift(std::uint64_t input) noexcept { return static_cast<unsigned>(input % group / quad) * bits; }

    // Of one output, inputs side by side.
    void read_inputs(std::uint64_t output, std::uint64_t input, std::size_t n, std::uint8_t* to) const noexcept {
        const std::uint8_t* from = at(output, 0);
        std::size_t i = 0;
        for (; i < n && (input + i) % quad != 0; ++i) to[i] = one(output, input + i);
        for (; i + quad <= n; i += quad) {
            std::uint32_t four = 0;  // whichever end comes first: bits that leave a byte are masked
            memcpy(&four, from + group_bytes((input + i) / group * group, bits), quad);
            four = four >> shift(input + i) & mask * 0x01010101U;
            memcpy(to + i, &four, quad);
        }
        for (; i < n; ++i) to[i] = one(output, input + i);
    }
    // Of one input, outputs side by side.
    void read_outputs(std::uint64_t output, std::uint64_t input, std::size_t n, std::uint8_t* to) const noexcept {
        const unsigned by = shift(input);
        for (std::size_t i = 0; i < n;) {
            const std::uint8_t* from = at(output + i, input);
            const std::size_t left = static_cast<std::size_t>(panel_outputs - (output + i) % panel_outputs);
            const std::size_t some = n - i < left ? n - i : left;
            for (std::size_t j = 0; j < some; ++j)
                to[i + j] = static_cast<std::uint8_t>(unsigned{from[quad * j]} >> by & mask);
            i += some;
        }
    }
    std::uint8_t one(std::uint64_t output, std::uint64_t input) const noexcept {
        return static_cast<std::uint8_t>(unsigned{*at(output, input)} >> shift(input) & mask);
    }
};

template <unsigned bits>
void read(const TensorView& view, std::uint64_t first, std::size_t n, std::uint8_t* codes) noexcept {
    const std::uint64_t columns = view.shape.dims[1];
    const bool rows = view.order == Order::row_panels;
    const Panels<bits> from = {view.stream(Role::codes).data(), rows ? columns : view.shape.dims[0]};
    for (std::size_t done = 0; done < n;) {
        const std::uint64_t row = (first + done) / columns;
        const std::uint64_t column = (first + done) % columns;
        const std::size_t some = n - done < columns - column ? n - done : static_cast<std::size_t>(columns - column);
        if (rows) {
            from.read_inputs(row, column, some, codes + done);
        } else {
            from.read_outputs(column, row, some, codes + done);
        }
        done += some;
    }
}

}  // namespace

bool has_order(const Shape& shape, const Scheme& scheme, Order order) noexcept {
    if (order == Order::elements) return true;
    const bool even = scheme.bits == 2 || scheme.bits == 4 || scheme.bits == 8;
    if (shape.rank != 2 || is_sparse(scheme) || scheme.values != Values::integer || !even) return false;
    const std::uint64_t outputs = shape.dims[order == Order::row_panels ? 0 : 1];
    const std::uint64_t inputs = shape.dims[order == Order::row_panels ? 1 : 0];
    return outputs % panel_outputs == 0 && inputs % panel_inputs(scheme.bits) == 0;
}

void read_panels(const TensorView& view, std::uint64_t first, std::size_t n, std::uint8_t* codes) noexcept {
    const auto with = view.scheme.bits == 8 ? read<8> : view.scheme.bits == 4 ? read<4> : read<2>;
    with(view, first, n, codes);
}

}  // namespace bitpress
