// Convolution, planned: what conv.cpp decides and conv.cpp and depthwise.cpp compute.
#pragma once

#include "ops/weights.h"
#include "ops/window.h"

namespace bitpress {

// How a row of an image lies in memory for those who read it: padded, its columns sorted by their rest modulo the
// stride, so that what neighbouring outputs read are neighbours. Column c is element c / stride of part c % stride.
struct RowParts {
    std::uint64_t stride, width;
    explicit RowParts(const WindowAxis& x) noexcept : stride(x.stride), width(x.padded()) {}
    std::uint64_t length() const noexcept { return (width - 1) / stride + 1; }  // of a part
    std::uint64_t parts() const noexcept { return smaller(stride, width); }
    std::uint64_t row() const noexcept { return parts() * length(); }  // at most twice the width
    std::uint64_t at(std::uint64_t column) const noexcept { return column % stride * length() + column / stride; }
};

// Copies the rows of a plane to where they lie in a padded one, whose other elements keep what they are.
void sort_plane(const Kernels& kernels, const Window& window, const float* plane, float* out) noexcept;

struct ConvParams {
    Window window;
    std::uint64_t batch = 0;
    std::uint64_t groups = 0;
    std::uint64_t in_channels = 0;   // a group
    std::uint64_t out_channels = 0;  // a group
    Bounds bounds;
    std::uint64_t depthwise = 0;
    // Products: out_channels x k by k x n, blocked.
    std::uint64_t k = 0;  // in_channels * kernel
    std::uint64_t n = 0;  // output pixels
    std::uint64_t block_m = 0;
    std::uint64_t block_n = 0;
    std::uint64_t block_k = 0;
    std::uint64_t cursor_floats = 0;
    std::uint64_t shared = 0;   // 1: workers share the pixels of a block, and each takes some rows of weights
    std::uint64_t integer = 0;  // 1: products of integers (conv_integer.cpp)
    std::uint64_t largest = 0;  // then: of the activations' codes, 127 or 32767
    std::uint64_t bytes = 0;    // 1: codes are multiplied as bytes
    std::uint64_t staged = 0;   // floats of an image's padded planes; 0: the image is read where it is

    std::uint64_t kernel_size() const noexcept { return window.y.kernel * window.x.kernel; }
    std::uint64_t in_plane() const noexcept { return window.y.in * window.x.in; }
    std::uint64_t blocks() const noexcept { return (n - 1) / block_n + 1; }
    // Floats of a panel of `depth` k-rows of codes.
    std::uint64_t code_floats(std::uint64_t depth) const noexcept {
        return bytes != 0 ? 4 * round_up(depth, 4) : 8 * round_up(depth, 2);
    }
    std::uint64_t depth_at(std::uint64_t k0) const noexcept { return k - k0 < block_k ? k - k0 : block_k; }
};

// Sets how workers share a convolution whose blocks are set for one: by blocks of pixels, of which there are made to be
// more, or, where there are too few pixels, by rows of weights; then block_n pixels have all their k-rows in memory at
// once, `most` numbers where n allows it. No number's products or their order depend on it.
void share_products(PlanContext& context, ConvParams* params, std::uint64_t most) noexcept;

// The pixels that the products of one image read, as k-rows: each is a plane of the image, shifted.
class Pixels {
  public:
    // What one image takes in scratch, in floats, for all workers.
    static std::uint64_t floats(const ConvParams& params) noexcept { return params.staged; }
    // What each worker takes: where the k-rows of a block begin.
    static std::uint64_t own_floats(const ConvParams& params) noexcept {
        return round_up(params.block_k * (sizeof(std::size_t) / sizeof(float)), 16);
    }
    // All groups of an image; stages it where its windows are not single pixels.
    Pixels(const RunContext& context, const ConvParams& params, std::uint64_t image, float* stage) noexcept;

    // Where the k-rows [k0, k0 + depth) begin, to `own`.
    const std::size_t* locate(std::uint64_t k0, std::uint64_t depth, float* own) const noexcept;
    // These k-rows of a group's output pixels [first, first + width) as rows of 16, zeros after width. width <= 16.
    void gather(std::uint64_t group, std::uint64_t first, std::uint64_t width, const std::size_t* offsets,
                std::uint64_t depth, float* out) const noexcept;
    // Where pixel `first` of k-row k0 is, if all k-rows are read in place; then they are in_plane() apart.
    const float* in_place(std::uint64_t group, std::uint64_t first, std::uint64_t k0) const noexcept {
        return from_ + (group * p_.in_channels + k0) * p_.in_plane() + first;
    }

  private:
    const Kernels& kernels_;
    const ConvParams& p_;
    const float* from_;
    std::uint64_t plane_, row_;
};

// Products of stored integers with activations of 16 or 8 bits. One group.
bool takes_integers(const PlanContext& context, const ConvParams& params) noexcept;
Status plan_integer(PlanContext& context, ConvParams* params) noexcept;
Status run_integer(const RunContext& context, const ConvParams& params) noexcept;

// Depthwise: one input channel a group. Scratch and tile, and the computation.
Status plan_depthwise(PlanContext& context, ConvParams* params) noexcept;
Status run_depthwise(const RunContext& context, const ConvParams& params) noexcept;

}  // namespace bitpress
