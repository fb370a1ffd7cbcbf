#include "tensor/survivors.h"

#include "tensor/mask.h"
#include "tensor/runs.h"

namespace bitpress {
namespace {

constexpr std::uint64_t no_scale = ~std::uint64_t{0};

Steps steps_of(const TensorView& view) noexcept {
    return {view.stream(Role::scales).data(), view.scheme.affine ? view.stream(Role::zeros).data() : nullptr,
            view.scheme.bits};
}

void dequantize(const Kernels& k, const std::uint8_t* codes, std::size_t n, const float* scale, const float* zero,
                float* out) noexcept {
    k.dequantize_each(codes, n, scale, zero, out);
}
void dequantize(const Kernels& k, const std::uint16_t* codes, std::size_t n, const float* scale, const float* zero,
                float* out) noexcept {
    k.dequantize_wide(codes, n, scale, zero, out);
}

}  // namespace

bool Survivors::readable(const TensorView& view) noexcept {
    if (view.scheme.structure != Structure::bitmap) return false;
    return view.scheme.values != Values::keep || view.dtype == Dtype::f32 || view.dtype == Dtype::f16 ||
           view.dtype == Dtype::bf16;
}

std::uint64_t Survivors::count(const TensorView& view) noexcept {
    if (view.scheme.values == Values::keep) return view.stream(Role::data).size() / (dtype_bits(view.dtype) / 8);
    return std::uint64_t{view.stream(Role::codes).size()} * 8 / view.scheme.bits;
}

Survivors::Survivors(const Kernels& kernels, const TensorView& view, std::uint64_t columns, bool may_leave) noexcept
    : kernels_(kernels), view_(view), columns_(columns) {
    const Status made = make_grid(view.shape, view.scheme, &grid_);
    (void)made;  // of a validated view
    const bool simple = view.scheme.values == Values::integer && !view.scheme.affine && !is_wide(view.scheme.bits);
    if (may_leave && simple && grid_.run == 1 && grid_.scales == columns) {
        column_scales_ = view.stream(Role::scales).data();
    }
}

std::uint64_t Survivors::count(std::uint64_t row, std::uint64_t column, std::uint64_t n) const noexcept {
    return survivors_between(view_, row * columns_ + column, n);
}

std::size_t Survivors::read(std::uint64_t row, std::uint64_t column, std::size_t n, std::uint64_t* before,
                            std::uint16_t* positions, float* values) const noexcept {
    std::size_t count = 0;
    for (std::size_t done = 0; done < n; done += block_elements) {
        const std::size_t some = n - done < block_elements ? n - done : block_elements;
        count += read_block({row, column + done}, some, static_cast<unsigned>(done), before, positions + count,
                            values + count);
    }
    return count;
}

std::uint64_t Survivors::common_scale(const Place& place, std::size_t n) const noexcept {
    if (grid_.scales == 1) return 0;
    if (grid_.run == columns_ && grid_.scales * columns_ == grid_.count) return place.row;
    if (grid_.run == 1) return no_scale;
    const RunCursor cursor(grid_, place.row * columns_ + place.column);
    return cursor.left() < n ? no_scale : cursor.scale();
}

// scale[i] and zero[i] of the element at column + positions[i] - start; zero may be null.
void Survivors::pick_steps(const Place& place, std::size_t n, unsigned start, const std::uint16_t* positions,
                           std::size_t count, float* scale, float* zero) const noexcept {
    const Steps steps = steps_of(view_);
    if (grid_.run == 1 && grid_.scales == columns_) {
        const std::uint64_t at = place.column - start;
        for (std::size_t i = 0; i < count; ++i) scale[i] = steps.scale(at + positions[i]);
        for (std::size_t i = 0; i < count && zero != nullptr; ++i) zero[i] = steps.zero(at + positions[i]);
        return;
    }
    float all_scales[block_elements];
    float all_zeros[block_elements];
    RunCursor cursor(grid_, place.row * columns_ + place.column);
    spread_steps(steps, grid_, cursor, n, all_scales, all_zeros);
    for (std::size_t i = 0; i < count; ++i) scale[i] = all_scales[positions[i] - start];
    for (std::size_t i = 0; i < count && zero != nullptr; ++i) zero[i] = all_zeros[positions[i] - start];
}

std::size_t Survivors::read_block(const Place& place, std::size_t n, unsigned start, std::uint64_t* before,
                                  std::uint16_t* positions, float* values) const noexcept {
    std::uint8_t mask[block_elements / 8];
    mask_block(view_, place.row * columns_ + place.column, n, mask);
    const std::size_t count = kernels_.mask_positions(mask, n, start, positions);
    const std::uint64_t at = *before;
    *before += count;
    if (view_.scheme.values == Values::keep) {
        const std::size_t element = dtype_bits(view_.dtype) / 8;
        const std::uint8_t* from = view_.stream(Role::data).data() + static_cast<std::size_t>(at) * element;
        const Status done = widen(kernels_, view_.dtype, from, count, values);
        (void)done;  // a readable dtype
        return count;
    }
    const Bytes packed = view_.stream(Role::codes);
    const unsigned bits = view_.scheme.bits;
    float scale[block_elements];
    float zero[block_elements];
    const auto integers = [&](auto* codes) noexcept {
        unpack_block(kernels_, packed, at, count, bits, codes);
        pick_steps(place, n, start, positions, count, scale, zero);
        dequantize(kernels_, codes, count, scale, zero, values);
    };
    if (is_wide(bits)) {
        std::uint16_t codes[block_elements];
        integers(codes);
        return count;
    }
    std::uint8_t codes[block_elements];
    if (view_.scheme.values == Values::codebook) {
        unpack_block(kernels_, packed, at, count, bits, codes);
        kernels_.look_up(codes, count, bits, 1, view_.stream(Role::codebook).data(), values);
        if (view_.scheme.granularity == Granularity::tensor) return count;
        pick_steps(place, n, start, positions, count, scale, nullptr);
        for (std::size_t i = 0; i < count; ++i) values[i] *= scale[i];
        return count;
    }
    const Steps steps = steps_of(view_);
    const std::uint64_t common = common_scale(place, n);
    if (common != no_scale && column_scales_ == nullptr) {
        unpack_block(kernels_, packed, at, count, bits, codes);
        kernels_.dequantize(codes, count, steps.scale(common), steps.zero(common), values);
        return count;
    }
    if (view_.scheme.affine) {
        integers(codes);
        return count;
    }
    unpack_block(kernels_, packed, at, count, bits, codes);
    kernels_.dequantize(codes, count, 1.0F, symmetric_zero(bits), values);  // exact: scaling rounds once
    if (column_scales_ != nullptr) return count;
    pick_steps(place, n, start, positions, count, scale, nullptr);
    for (std::size_t i = 0; i < count; ++i) values[i] *= scale[i];
    return count;
}

}  // namespace bitpress
