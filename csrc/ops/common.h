// What several operators share: shapes, broadcasting, strided loops.
#pragma once

#include "ops/op.h"

namespace bitpress {

inline std::uint64_t smaller(std::uint64_t a, std::uint64_t b) noexcept { return a < b ? a : b; }
inline std::uint64_t larger(std::uint64_t a, std::uint64_t b) noexcept { return a > b ? a : b; }
inline std::uint64_t round_up(std::uint64_t n, std::uint64_t multiple) noexcept {
    return (n + multiple - 1) / multiple * multiple;
}

// Elements of a shape that the planner has accepted (at most max_elements).
inline std::uint64_t elements(const Shape& shape) noexcept {
    std::uint64_t count = 1;
    for (unsigned d = 0; d < shape.rank; ++d) count *= shape.dims[d];
    return count;
}
inline std::uint64_t elements(const Shape& shape, unsigned first, unsigned last) noexcept {
    std::uint64_t count = 1;
    for (unsigned d = first; d < last; ++d) count *= shape.dims[d];
    return count;
}
// Appends a dim; bad_shape where there is no room.
Status append(Shape* shape, std::uint64_t dim) noexcept;
// axis + rank where negative; bad_shape where outside [-rank, rank).
Status normalize_axis(std::int64_t axis, unsigned rank, unsigned* out) noexcept;
// One axis of a shape: outer * inner rows of `axis` elements, `inner` apart.
struct AlongAxis {
    std::uint64_t outer = 0;
    std::uint64_t axis = 0;
    std::uint64_t inner = 0;
};
// That axis of input 0 which the attribute `axis` names, `usual` where there is none.
Status read_axis(const PlanContext& context, std::int64_t usual, unsigned* number, AlongAxis* along) noexcept;
// The set of axes that a list names (all of them where it is empty and `all_if_empty`), as bits; twice the same is
// bad_shape.
Status axis_set(std::span<const std::int64_t> axes, unsigned rank, bool all_if_empty, unsigned* set) noexcept;
// numpy's broadcasting of two shapes.
Status broadcast(const Shape& a, const Shape& b, Shape* out) noexcept;

// Element strides of an input under the shape it is broadcast to: 0 where it repeats.
void broadcast_strides(const Shape& in, const Shape& out, std::uint64_t (&strides)[max_rank]) noexcept;

// The fused activation, or a Clip: min(max(x, low), high). Bounds are numbers, not NaN.
struct Bounds {
    float low = 0.0F;
    float high = 0.0F;
};
Status read_bounds(const PlanContext& context, Bounds* out) noexcept;

// Nested loops over `rank` dims with element strides into `ways` arrays; the last dim is the innermost.
template <unsigned ways>
struct Loops {
    std::uint64_t rank = 0;
    std::uint64_t dims[max_rank] = {};
    std::uint64_t strides[ways][max_rank] = {};
    bool empty = false;

    void add(std::uint64_t dim, const std::uint64_t (&step)[ways]) noexcept {
        if (dim == 1) return;
        empty = empty || dim == 0;
        if (rank > 0) {  // merge with the dim outside, where all ways walk on contiguously
            bool mergeable = true;
            for (unsigned w = 0; w < ways; ++w) mergeable = mergeable && strides[w][rank - 1] == step[w] * dim;
            if (mergeable) {
                dims[rank - 1] *= dim;
                for (unsigned w = 0; w < ways; ++w) strides[w][rank - 1] = step[w];
                return;
            }
        }
        dims[rank] = dim;
        for (unsigned w = 0; w < ways; ++w) strides[w][rank] = step[w];
        ++rank;
    }

    std::uint64_t inner() const noexcept { return rank == 0 ? 1 : dims[rank - 1]; }
    std::uint64_t inner_stride(unsigned way) const noexcept { return rank == 0 ? 0 : strides[way][rank - 1]; }
    std::uint64_t total() const noexcept {
        std::uint64_t count = 1;
        for (std::uint64_t d = 0; d < rank; ++d) count *= dims[d];
        return count;
    }

    // body(offsets) for every index of the dims but the innermost.
    template <class Body>
    void each(Body body) const noexcept {
        std::uint64_t index[max_rank] = {};
        std::uint64_t at[ways] = {};
        const std::uint64_t outer = rank == 0 ? 0 : rank - 1;
        while (!empty) {
            body(at);
            std::uint64_t d = outer;
            for (;; --d) {
                if (d == 0) return;
                const std::uint64_t k = d - 1;
                if (++index[k] < dims[k]) {
                    for (unsigned w = 0; w < ways; ++w) at[w] += strides[w][k];
                    break;
                }
                for (unsigned w = 0; w < ways; ++w) at[w] -= strides[w][k] * (dims[k] - 1);
                index[k] = 0;
            }
        }
    }
};

// Contiguous strides of a shape, in elements.
inline void contiguous(const Shape& shape, std::uint64_t (&strides)[max_rank]) noexcept {
    std::uint64_t step = 1;
    for (unsigned d = shape.rank; d > 0; --d) {
        strides[d - 1] = step;
        step *= shape.dims[d - 1];
    }
}

}  // namespace bitpress
