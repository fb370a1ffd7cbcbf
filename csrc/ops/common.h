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

    // How many indices the dims but the innermost have.
    std::uint64_t rows() const noexcept { return empty ? 0 : total() / inner(); }
    // Offsets of one of them.
    void locate(std::uint64_t row, std::uint64_t (&at)[ways]) const noexcept {
        std::uint64_t index[max_rank] = {};
        locate(row, index, at);
    }

    // body(offsets) for `count` of them, from `first` on.
    template <class Body>
    void each(std::uint64_t first, std::uint64_t count, Body body) const noexcept {
        std::uint64_t index[max_rank] = {};
        std::uint64_t at[ways] = {};
        if (first > 0) locate(first, index, at);
        for (; count > 0; --count) {
            body(at);
            for (std::uint64_t d = rank; d > 1; --d) {
                const std::uint64_t k = d - 2;
                if (++index[k] < dims[k]) {
                    for (unsigned w = 0; w < ways; ++w) at[w] += strides[w][k];
                    break;
                }
                for (unsigned w = 0; w < ways; ++w) at[w] -= strides[w][k] * (dims[k] - 1);
                index[k] = 0;
            }
        }
    }
    // The same for all.
    template <class Body>
    void each(Body body) const noexcept {
        each(0, rows(), body);
    }

  private:
    void locate(std::uint64_t row, std::uint64_t (&index)[max_rank], std::uint64_t (&at)[ways]) const noexcept {
        for (unsigned w = 0; w < ways; ++w) at[w] = 0;
        for (std::uint64_t d = rank; d > 1; --d) {
            index[d - 2] = row % dims[d - 2];
            row /= dims[d - 2];
            for (unsigned w = 0; w < ways; ++w) at[w] += index[d - 2] * strides[w][d - 2];
        }
    }
};

// Work on elements, shared by tiles of some neighbours: many short rows, or a part of a long one. Where a tile begins
// is a multiple of the kernels' vectors, so that no element's computation depends on it.
inline constexpr std::uint64_t tile_elements = 8192;
inline std::uint64_t tiles(std::uint64_t rows, std::uint64_t row) noexcept {
    if (row > tile_elements) return rows * ((row - 1) / tile_elements + 1);
    const std::uint64_t together = tile_elements / (row == 0 ? 1 : row);
    return (rows + together - 1) / together;
}

// body(offsets, n) for all elements of the loops: n of the innermost dim, from the offsets on.
template <unsigned ways, class Body>
Status in_tiles(const Workers& workers, const Loops<ways>& loops, const Body& body) noexcept {
    const std::uint64_t rows = loops.rows();
    const std::uint64_t row = loops.inner();
    const std::uint64_t parts = row > tile_elements ? (row - 1) / tile_elements + 1 : 1;
    const std::uint64_t together = parts > 1 || row == 0 ? 1 : tile_elements / row;
    return in_units(workers, tiles(rows, row), [&](std::uint64_t unit, unsigned) noexcept {
        Status status = Status::ok;
        const std::uint64_t first = unit / parts * together;
        const std::uint64_t begin = unit % parts * tile_elements;
        const std::uint64_t n = parts > 1 ? smaller(tile_elements, row - begin) : row;
        loops.each(first, smaller(together, rows - first), [&](const std::uint64_t (&at)[ways]) noexcept {
            std::uint64_t from[ways];
            for (unsigned w = 0; w < ways; ++w) from[w] = at[w] + begin * loops.inner_stride(w);
            const Status done = body(from, n);
            if (status == Status::ok) status = done;
        });
        return status;
    });
}

// body(first, n) for n of `count` elements from `first` on, until all are done.
template <class Body>
void each_tile(const Workers& workers, std::uint64_t count, const Body& body) noexcept {
    each_unit(workers, tiles(1, count), [&](std::uint64_t unit, unsigned) noexcept {
        body(unit * tile_elements, smaller(tile_elements, count - unit * tile_elements));
    });
}

// Rows of equal length, shared by some at a time: body(row) for each of them.
template <class Body>
void each_row(const Workers& workers, std::uint64_t rows, std::uint64_t row, const Body& body) noexcept {
    const std::uint64_t together = row >= tile_elements ? 1 : tile_elements / (row == 0 ? 1 : row);
    each_unit(workers, (rows + together - 1) / together, [&](std::uint64_t unit, unsigned) noexcept {
        const std::uint64_t end = smaller((unit + 1) * together, rows);
        for (std::uint64_t i = unit * together; i < end; ++i) body(i);
    });
}

// Contiguous strides of a shape, in elements.
inline void contiguous(const Shape& shape, std::uint64_t (&strides)[max_rank]) noexcept {
    std::uint64_t step = 1;
    for (unsigned d = shape.rank; d > 0; --d) {
        strides[d - 1] = step;
        step *= shape.dims[d - 1];
    }
}

}  // namespace bitpress
