// The pixels that products of a convolution read. Single pixels are read where they are; other windows from a copy of
// the image with its padding, once for all of them: there is no im2col image.
#include <string.h>

#include "ops/conv.h"

namespace bitpress {
namespace {

constexpr std::uint64_t panel = 16;

}  // namespace

void sort_plane(const Kernels& kernels, const Window& window, const float* plane, float* out) noexcept {
    const RowParts parts(window.x);
    kernels.sort_rows_f32(plane, window.y.in, window.x.in, window.x.pad_begin, parts.stride, parts.length(),
                          out + window.y.pad_begin * parts.row(), parts.row());
}

Pixels::Pixels(const RunContext& context, const ConvParams& params, std::uint64_t image, float* stage) noexcept
    : kernels_(*context.kernels),
      p_(params),
      from_(context.input(0) + image * params.groups * params.in_channels * params.in_plane()),
      plane_(params.in_plane()),
      row_(params.window.x.in) {
    if (params.staged == 0) return;
    const std::uint64_t planes = params.groups * params.in_channels;
    row_ = RowParts(params.window.x).row();
    plane_ = params.window.y.padded() * row_;
    each_row(context.workers, planes, plane_, [&](std::uint64_t i) noexcept {
        float* to = stage + i * plane_;
        memset(to, 0, plane_ * sizeof(float));
        sort_plane(kernels_, p_.window, from_ + i * p_.in_plane(), to);
    });
    from_ = stage;
}

const std::size_t* Pixels::locate(std::uint64_t k0, std::uint64_t depth, float* own) const noexcept {
    auto* offsets = reinterpret_cast<std::size_t*>(own);
    const WindowAxis& ay = p_.window.y;
    const WindowAxis& ax = p_.window.x;
    const RowParts parts(ax);
    std::uint64_t channel = k0 / p_.kernel_size();
    std::uint64_t ky = k0 % p_.kernel_size() / ax.kernel;
    std::uint64_t kx = k0 % ax.kernel;
    for (std::uint64_t row = 0; row < depth; ++row) {
        const std::uint64_t column = p_.staged == 0 ? 0 : parts.at(kx * ax.dilation);
        offsets[row] = static_cast<std::size_t>(channel * plane_ + ky * ay.dilation * row_ + column);
        if (++kx < ax.kernel) continue;
        kx = 0;
        if (++ky < ay.kernel) continue;
        ky = 0;
        ++channel;
    }
    return offsets;
}

void Pixels::gather(std::uint64_t group, std::uint64_t first, std::uint64_t width, const std::size_t* offsets,
                    std::uint64_t depth, float* out) const noexcept {
    const float* from = from_ + group * p_.in_channels * plane_;
    if (p_.staged == 0) {
        kernels_.gather_panel_f32(from + first, offsets, depth, width, panel, out);
        return;
    }
    for (std::uint64_t done = 0; done < width;) {  // a piece of each row of outputs
        const std::uint64_t y = (first + done) / p_.window.x.out;
        const std::uint64_t x = (first + done) % p_.window.x.out;
        const std::uint64_t some = smaller(width - done, p_.window.x.out - x);
        const std::uint64_t room = done + some == width ? panel - done : some;
        kernels_.gather_panel_f32(from + y * p_.window.y.stride * row_ + x, offsets, depth, some, room, out + done);
        done += some;
    }
}

}  // namespace bitpress
