#include "ops/window.h"

namespace bitpress {
namespace {

// Larger strides, pads, dilations and kernels are refused: no product of two of them wraps.
constexpr std::int64_t limit = std::int64_t{1} << 31;

// Entry i of a list that is empty (fallback) or has `count` entries of at least `least`.
Status entry(std::span<const std::int64_t> list, std::uint32_t count, std::uint32_t i, std::int64_t least,
             std::uint64_t fallback, std::uint64_t* out) noexcept {
    if (list.empty()) {
        *out = fallback;
        return Status::ok;
    }
    if (list.size() != count) return Status::bad_shape;
    const std::int64_t value = list[i];
    if (value < least) return Status::bad_argument;
    if (value > limit) return Status::too_large;
    *out = static_cast<std::uint64_t>(value);
    return Status::ok;
}

enum AutoPad : std::int64_t { given = 0, same_upper = 1, same_lower = 2 };

Status finish(WindowAxis* axis, std::int64_t auto_pad, bool ceil_mode) noexcept {
    const std::uint64_t covered = (axis->kernel - 1) * axis->dilation + 1;
    if (auto_pad != given) {
        axis->out = (axis->in - 1) / axis->stride + 1;
        const std::uint64_t needed = (axis->out - 1) * axis->stride + covered;
        const std::uint64_t pads = needed > axis->in ? needed - axis->in : 0;
        axis->pad_begin = auto_pad == same_upper ? pads / 2 : pads - pads / 2;
        axis->pad_end = pads - axis->pad_begin;
        return Status::ok;
    }
    const std::uint64_t padded = axis->in + axis->pad_begin + axis->pad_end;
    if (padded < covered) return Status::bad_shape;
    axis->out = (padded - covered) / axis->stride + 1;
    const bool partial = ceil_mode && (padded - covered) % axis->stride != 0;
    // A window that begins in the padding at the end does not count.
    if (partial && axis->out * axis->stride < axis->in + axis->pad_begin) ++axis->out;
    return Status::ok;
}

}  // namespace

void Window::lay_flat() noexcept {
    if (x.in != 1 || x.out != 1 || x.kernel != 1 || x.padded() != 1) return;
    const WindowAxis rows = y;
    y = x;
    x = rows;
}

bool Window::trivial() const noexcept {
    for (const WindowAxis* axis : {&y, &x}) {
        if (axis->kernel != 1 || axis->stride != 1 || axis->pad_begin != 0 || axis->pad_end != 0) return false;
    }
    return true;
}

Status read_window(const PlanContext& context, const Shape& in, const std::uint64_t* kernel, bool ceil_mode,
                   Window* window, Shape* out_shape) noexcept {
    if (in.rank != 3 && in.rank != 4) return Status::unsupported;
    const std::uint32_t spatial = in.rank - 2;
    const std::span<const std::int64_t> strides = context.integers(Key::strides);
    const std::span<const std::int64_t> pads = context.integers(Key::pads);
    const std::span<const std::int64_t> dilations = context.integers(Key::dilations);
    const std::int64_t auto_pad = context.integer(Key::auto_pad, given);
    if (auto_pad < given || auto_pad > same_lower) return Status::bad_argument;
    WindowAxis* axes[2] = {spatial == 2 ? &window->y : &window->x, &window->x};
    for (std::uint32_t i = 0; i < spatial; ++i) {
        WindowAxis& axis = *axes[i];
        axis.in = in.dims[2 + i];
        axis.kernel = kernel[i];
        if (axis.kernel == 0) return Status::bad_shape;
        if (axis.kernel > static_cast<std::uint64_t>(limit) || axis.in > max_elements) return Status::too_large;
        BP_TRY(entry(strides, spatial, i, 1, 1, &axis.stride));
        BP_TRY(entry(dilations, spatial, i, 1, 1, &axis.dilation));
        BP_TRY(entry(pads, 2 * spatial, i, 0, 0, &axis.pad_begin));
        BP_TRY(entry(pads, 2 * spatial, spatial + i, 0, 0, &axis.pad_end));
        BP_TRY(finish(&axis, auto_pad, ceil_mode));
        BP_TRY(append(out_shape, axis.out));
    }
    // A column of windows is computed as a row: what is contiguous then is the innermost axis.
    if (window->x.in == 1 && window->x.out == 1 && window->x.kernel == 1) {
        window->x = window->y;
        window->y = WindowAxis{};
    }
    return Status::ok;
}

}  // namespace bitpress
