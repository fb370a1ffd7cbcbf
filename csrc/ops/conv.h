// Convolution, planned: what conv.cpp decides and conv.cpp and depthwise.cpp compute.
#pragma once

#include "ops/weights.h"
#include "ops/window.h"

namespace bitpress {

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
    std::uint64_t shared = 0;         // 1: workers share the pixels of a block, and each takes some rows of weights
    std::uint64_t integer = 0;        // 1: products of integers (conv_integer.cpp)
    std::uint64_t offset_floats = 0;  // depthwise: where each tap reads

    std::uint64_t kernel_size() const noexcept { return window.y.kernel * window.x.kernel; }
    std::uint64_t in_plane() const noexcept { return window.y.in * window.x.in; }
    std::uint64_t blocks() const noexcept { return (n - 1) / block_n + 1; }
    std::uint64_t depth_at(std::uint64_t k0) const noexcept { return k - k0 < block_k ? k - k0 : block_k; }
};

// Sets how workers share a convolution whose blocks are set for one: by blocks of pixels, of which there are made to be
// more, or, where there are too few pixels, by rows of weights; then block_n pixels have all their k-rows in memory at
// once, `most` numbers where n allows it. No number's products or their order depend on it.
void share_products(PlanContext& context, ConvParams* params, std::uint64_t most) noexcept;

// k-rows [k0, k0 + depth) of output pixels [first, first + width) as depth rows of 16, zeros after width. width <= 16.
void gather_pixels(const Kernels& kernels, const ConvParams& p, const float* image, std::uint64_t first,
                   std::uint64_t width, std::uint64_t k0, std::uint64_t depth, float* out) noexcept;

// Products of stored integers with activations of 16 bits. One group.
bool takes_integers(const PlanContext& context, const ConvParams& params) noexcept;
Status plan_integer(PlanContext& context, ConvParams* params) noexcept;
Status run_integer(const RunContext& context, const ConvParams& params) noexcept;

// Depthwise: one input channel a group. Scratch and tile, and the computation.
Status plan_depthwise(PlanContext& context, ConvParams* params) noexcept;
Status run_depthwise(const RunContext& context, const ConvParams& params) noexcept;

}  // namespace bitpress
