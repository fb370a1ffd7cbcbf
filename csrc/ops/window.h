// Sliding windows: what convolutions and poolings share. One-dimensional ones are taken as two-dimensional of height 1.
#pragma once

#include "ops/common.h"

namespace bitpress {

// One spatial axis. Output o covers inputs o * stride - pad_begin + k * dilation, k < kernel; those outside are
// padding.
struct WindowAxis {
    std::uint64_t in = 1;
    std::uint64_t out = 1;
    std::uint64_t kernel = 1;
    std::uint64_t stride = 1;
    std::uint64_t dilation = 1;
    std::uint64_t pad_begin = 0;
    std::uint64_t pad_end = 0;

    std::uint64_t padded() const noexcept { return in + pad_begin + pad_end; }
    // The kernel positions [*first, *last) that fall inside the input for output o.
    void valid(std::uint64_t o, std::uint64_t* first, std::uint64_t* last) const noexcept {
        const std::uint64_t at = o * stride;                                     // pad_begin further left
        if (at >= pad_begin && at + (kernel - 1) * dilation < in + pad_begin) {  // most of them, without a division
            *first = 0;
            *last = kernel;
            return;
        }
        *first = at >= pad_begin ? 0 : (pad_begin - at + dilation - 1) / dilation;
        const std::uint64_t end = in + pad_begin;  // first position past the input, counted as `at` is
        *last = end <= at ? 0 : (end - at + dilation - 1) / dilation;
        if (*last > kernel) *last = kernel;
        if (*first > *last) *first = *last;
    }
};

struct Window {
    WindowAxis y;
    WindowAxis x;
    bool trivial() const noexcept;  // 1 x 1, stride 1, no padding
    // Where each row is one pixel, as in sequences that others hold as images of width 1, rows become columns.
    void lay_flat() noexcept;
};

// Reads strides, pads, dilations and auto_pad of a node whose input has `spatial` (1 or 2) axes after the first two.
// kernel: `spatial` sizes. *out_shape has its first two dims already; the spatial ones are appended.
Status read_window(const PlanContext& context, const Shape& in, const std::uint64_t* kernel, bool ceil_mode,
                   Window* window, Shape* out_shape) noexcept;

}  // namespace bitpress
