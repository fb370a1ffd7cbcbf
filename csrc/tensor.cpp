// Sizes, grids and the validation that everything else relies on.
#include "tensor.h"

#include <math.h>

#include "kernels/kernels.h"
#include "tensor/mask.h"
#include "tensor/panels.h"

namespace bitpress {
namespace {

constexpr std::uint8_t bits_of[dtype_count] = {8, 8, 8, 8, 8, 16, 16, 16, 16, 32, 32, 32, 64, 64, 64, 8, 4, 6, 6, 64};

bool known_structure(const Scheme& scheme) noexcept {
    const unsigned first = scheme.pattern[0];
    const unsigned second = scheme.pattern[1];
    switch (scheme.structure) {
        case Structure::dense:
        case Structure::bitmap: return first == 0 && second == 0;
        case Structure::nm: return first >= 1 && first < second && second <= max_group;
        case Structure::block: return first * second >= 2 && first * second <= max_block;
    }
    return false;
}

bool known(const Scheme& scheme) noexcept {
    if (!known_structure(scheme)) return false;
    if (scheme.values == Values::keep) {
        return scheme.bits == 0 && !scheme.affine && scheme.granularity == Granularity::tensor && scheme.axis == 0 &&
               scheme.group_size == 0 && scheme.vector == 0;
    }
    const bool grid = scheme.bits >= 1 && (scheme.granularity == Granularity::axis || scheme.axis == 0) &&
                      (scheme.granularity == Granularity::group ? scheme.group_size != 0 : scheme.group_size == 0);
    if (scheme.values == Values::codebook) {
        const unsigned longest = is_sparse(scheme) ? 1 : 8;
        return grid && scheme.bits <= 8 && !scheme.affine && scheme.vector >= 1 && scheme.vector <= longest;
    }
    // one symmetric bit has no zero, which N:M and blocks may have to store
    const bool has_zero =
        scheme.bits > 1 || scheme.affine || !is_sparse(scheme) || scheme.structure == Structure::bitmap;
    return grid && scheme.values == Values::integer && scheme.bits <= max_bits && scheme.vector == 0 && has_zero;
}

bool floating(Dtype dtype) noexcept {
    return dtype == Dtype::f16 || dtype == Dtype::bf16 || dtype == Dtype::f32 || dtype == Dtype::f64;
}

// The bits after the last element of a stream, in its last byte, are zero.
bool tail_is_zero(Bytes stream, std::uint64_t count, unsigned bits) noexcept {
    const unsigned used = static_cast<unsigned>((count % 8) * bits % 8);
    return used == 0 || stream.empty() || (stream.back() >> used) == 0;
}

// The greatest magnitude of a codebook's entries, all of which must be finite.
Status greatest_entry(Bytes book, float* greatest) noexcept {
    *greatest = 0.0F;
    for (std::size_t i = 0; i < book.size(); i += 4) {
        const float magnitude = fabsf(load_le<float>(book.data() + i));
        if (!(magnitude < HUGE_VALF)) return Status::corrupt;
        if (magnitude > *greatest) *greatest = magnitude;
    }
    return Status::ok;
}

Status check_steps(const TensorView& view) noexcept {
    const Bytes scales = view.stream(Role::scales);
    float levels = static_cast<float>(1U << view.scheme.bits);
    if (view.scheme.values == Values::codebook) BP_TRY(greatest_entry(view.stream(Role::codebook), &levels));
    for (std::size_t i = 0; i < scales.size(); i += 4) {
        const float scale = load_le<float>(scales.data() + i);
        const float most = scale * levels;
        if (!(scale > 0.0F) || !(most < HUGE_VALF)) return Status::corrupt;
    }
    const Bytes zeros = view.stream(Role::zeros);
    const bool wide = is_wide(view.scheme.bits);
    for (std::size_t i = 0; i < zeros.size(); i += wide ? 2 : 1) {
        const unsigned zero = wide ? load_le<std::uint16_t>(zeros.data() + i) : zeros[i];
        if (zero >> view.scheme.bits != 0) return Status::corrupt;
    }
    return Status::ok;
}

}  // namespace

unsigned dtype_bits(Dtype dtype) noexcept {
    const unsigned i = static_cast<unsigned>(dtype);
    return i < dtype_count ? bits_of[i] : 0;
}

Status element_count(const Shape& shape, std::uint64_t* count) noexcept {
    if (shape.rank > max_rank) return Status::bad_argument;
    *count = 0;
    for (unsigned k = 0; k < shape.rank; ++k) {
        if (shape.dims[k] == 0) return Status::ok;
    }
    std::uint64_t product = 1;
    for (unsigned k = 0; k < shape.rank; ++k) {
        if (!checked_mul(product, shape.dims[k], &product) || product >> 63 != 0) return Status::too_large;
    }
    *count = product;
    return Status::ok;
}

Status make_grid(const Shape& shape, const Scheme& scheme, Grid* grid) noexcept {
    std::uint64_t count = 0;
    BP_TRY(element_count(shape, &count));
    if (!known(scheme)) return Status::bad_argument;
    if (scheme.granularity == Granularity::axis && scheme.axis >= shape.rank) return Status::bad_argument;
    *grid = Grid{};
    if (count == 0) return Status::ok;
    *grid = Grid{count, count, count, 1, 1};
    switch (scheme.granularity) {
        case Granularity::tensor: return Status::ok;
        case Granularity::axis:
            for (unsigned k = 0; k <= scheme.axis; ++k) grid->run /= shape.dims[k];
            grid->scales = shape.dims[scheme.axis];
            grid->runs_per_row = count / grid->run;
            return Status::ok;
        case Granularity::group: {
            const std::uint64_t rows = shape.rank < 2 ? 1 : shape.dims[0];
            grid->row = count / rows;
            grid->run = scheme.group_size < grid->row ? scheme.group_size : grid->row;
            grid->runs_per_row = (grid->row - 1) / grid->run + 1;
            grid->scales = rows * grid->runs_per_row;  // at most count
            return Status::ok;
        }
    }
    return Status::bad_argument;
}

Status stream_sizes(Dtype dtype, const Shape& shape, const Scheme& scheme, std::uint64_t stored,
                    std::uint64_t (&bytes)[role_count]) noexcept {
    for (std::uint64_t& b : bytes) b = 0;
    Grid grid;
    BP_TRY(make_grid(shape, scheme, &grid));
    const unsigned bits = dtype_bits(dtype);
    if (bits == 0) return Status::unsupported;
    if (grid.count > (std::uint64_t{1} << 60)) return Status::too_large;
    if (scheme.structure == Structure::nm) {
        if (grid.count % scheme.pattern[1] != 0) return Status::unsupported;
        if (stored != grid.count / scheme.pattern[1] * scheme.pattern[0]) return Status::bad_argument;
    }
    if (stored > grid.count || (!is_sparse(scheme) && stored != grid.count)) return Status::bad_argument;
    bytes[static_cast<int>(Role::mask)] = mask_bytes(shape, scheme, grid.count);
    if (scheme.values == Values::keep) {
        if (is_sparse(scheme) && bits % 8 != 0) return Status::unsupported;
        bytes[static_cast<int>(Role::data)] = packed_bytes(stored, bits);
        return Status::ok;
    }
    if (!floating(dtype)) return Status::unsupported;
    const std::uint64_t vector = elements_a_code(scheme);
    if (grid.count % vector != 0) return Status::unsupported;
    bytes[static_cast<int>(Role::codes)] = packed_bytes(stored / vector, scheme.bits);
    if (scheme.values == Values::codebook) {
        bytes[static_cast<int>(Role::codebook)] = grid.count == 0 ? 0 : 4 * vector << scheme.bits;
        if (scheme.granularity == Granularity::tensor) return Status::ok;
    }
    bytes[static_cast<int>(Role::scales)] = 4 * grid.scales;
    if (scheme.affine) bytes[static_cast<int>(Role::zeros)] = grid.scales * (is_wide(scheme.bits) ? 2 : 1);
    return Status::ok;
}

Status validate(const TensorView& view) noexcept {
    if (kernels() == nullptr) return Status::unsupported;
    Grid grid;
    BP_TRY(make_grid(view.shape, view.scheme, &grid));
    if (!has_order(view.shape, view.scheme, view.order)) return Status::corrupt;
    std::uint64_t stored = grid.count;
    if (is_sparse(view.scheme)) BP_TRY(check_mask(view, grid.count, &stored));
    std::uint64_t bytes[role_count];
    BP_TRY(stream_sizes(view.dtype, view.shape, view.scheme, stored, bytes));
    for (int role = 0; role < role_count; ++role) {
        if (view.streams[role].size() != bytes[role]) return Status::corrupt;
    }
    if (view.scheme.values == Values::keep) {
        return tail_is_zero(view.stream(Role::data), stored, dtype_bits(view.dtype)) ? Status::ok : Status::corrupt;
    }
    if (!tail_is_zero(view.stream(Role::codes), stored / elements_a_code(view.scheme), view.scheme.bits)) {
        return Status::corrupt;
    }
    return check_steps(view);
}

}  // namespace bitpress
