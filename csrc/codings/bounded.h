// Error-bounded arrays (docs/format.md, "Bounded frames"): floats to whole numbers of steps, a linear prediction of
// each from its neighbours in those whole numbers, residuals coded by rANS under contexts. Every element is checked
// when it is encoded; those that the bound does not hold for, NaN and infinities are stored as they are.
#pragma once

#include "bytes.h"
#include "status.h"
#include "workers.h"

namespace bitpress::bounded {

inline constexpr unsigned max_rank = 8;
inline constexpr std::size_t max_chunk = std::size_t{1} << 18;  // elements
inline constexpr std::uint64_t max_elements = std::uint64_t{1} << 44;

enum class Element : std::uint8_t { f32 = 0, f64 = 1 };
enum class Bound : std::uint8_t {
    absolute = 0,  // |x' - x| <= bound
    relative = 1,  // |x' - x| <= bound * |x|
};

struct Array {
    Element element = Element::f32;
    unsigned rank = 0;
    std::uint64_t dims[max_rank] = {};

    unsigned element_bytes() const noexcept { return element == Element::f32 ? 4 : 8; }
};

// How an array is cut: rows of `row` elements, of which `plane` make a plane; chunks of `chunk_rows` rows.
struct Geometry {
    std::uint64_t elements = 0;  // 0: nothing else is set
    std::uint64_t row = 0;
    std::uint64_t rows = 0;  // all of `row` elements but, where there is one dimension, the last
    std::uint64_t plane = 0;
    std::uint64_t chunk_rows = 0;
    std::uint64_t chunks = 0;
};

// A frame's head, checked against the frame's length.
struct Frame {
    Array array;
    Bound bound = Bound::absolute;
    double step = 0;         // absolute: the distance of two values
    std::uint64_t grid = 0;  // relative: the same in units of the last place
    Geometry geometry;
    Bytes entries;  // 4 bytes a chunk: its stored bytes
    Bytes body;
};

// bad_argument: more dimensions than max_rank. too_large: more elements than max_elements.
Status geometry(const Array& array, Geometry* out) noexcept;
// Elements of chunks before `chunk`, chunk <= chunks.
std::uint64_t chunk_start(const Geometry& geometry, std::uint64_t chunk) noexcept;

// Most bytes that a frame can take; 0 where the array has no geometry.
std::size_t frame_bound(const Array& array) noexcept;
// Of a worker: at most twice the elements of a chunk and 128 KiB.
std::size_t encode_workspace(const Array& array) noexcept;
std::size_t decode_workspace() noexcept;

// values: the elements, little-endian, row-major. The same bytes for any number of workers. bad_argument: the bound is
// not a positive number, or a relative one not below 1.
Status encode(const Workers& workers, Bytes values, const Array& array, Bound bound, double limit, MutableBytes out,
              MutableBytes workspace, std::size_t* written) noexcept;

// Reads the head: time linear in the number of chunks, which the frame's length bounds.
Status open(Bytes in, Frame* frame) noexcept;
// Chunks first .. last - 1 into out, which has exactly their elements. On any Status but ok its content is unspecified.
Status decode(const Frame& frame, std::uint64_t first, std::uint64_t last, MutableBytes out,
              MutableBytes workspace) noexcept;

}  // namespace bitpress::bounded
