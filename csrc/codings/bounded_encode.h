// A chunk of a bounded frame on its way, and the workspace of its encoder.
#pragma once

#include "codings/bounded.h"
#include "codings/bounded_chunk.h"
#include "codings/bounded_contexts.h"
#include "codings/bounded_model.h"
#include "codings/bounded_rows.h"
#include "codings/bounded_values.h"
#include "codings/frame.h"
#include "codings/rans.h"

namespace bitpress::bounded {

inline constexpr std::size_t head_bytes =
    1 + 2 * tap_count + 4 + 8 + 2 * frame_max_varint + max_contexts * (1 + frame_max_varint);

// Behind it stand, for chunks of n elements, tokens and classes, a byte each; then, first, values and the magnitudes
// that are still needed, and when those are not, what coding the tokens takes.
struct EncodeState {
    std::uint32_t counts[class_count][256];
    std::int64_t far[block];
    std::uint32_t magnitude_n[block + 1];
    std::uint32_t magnitude_p[block];
    std::uint8_t head[head_bytes];
};
inline constexpr std::uint8_t exception = 0x80;  // a bit of a class: the element is stored as it is

inline std::size_t up8(std::size_t size) noexcept { return (size + 7) / 8 * 8; }

// Bytes of each piece of the workspace.
struct Room {
    std::size_t elements;    // of the largest chunk
    std::size_t kept_rows;   // whose magnitudes are kept: the last one's, or a plane's
    std::size_t magnitudes;  // kept
    std::size_t coded;       // the contexts' frames

    explicit Room(const Geometry& g) noexcept
        : elements(static_cast<std::size_t>(chunk_start(g, 1))),
          kept_rows(g.chunk_rows > g.plane ? static_cast<std::size_t>(g.plane) : 1),
          magnitudes(g.chunk_rows > 1 ? kept_rows * static_cast<std::size_t>(g.row) : 0),
          coded(elements + elements / 16 + 4096) {}

    std::size_t before() const noexcept { return up8(sizeof(EncodeState)) + 2 * up8(elements); }
    std::size_t first() const noexcept { return up8(4 * elements) + 4 * magnitudes; }
    std::size_t then() const noexcept { return up8(elements) + up8(coded) + rans_encode_workspace(elements, false); }
    std::size_t all() const noexcept { return before() + (first() > then() ? first() : then()); }
};

// One chunk on its way.
struct Work {
    EncodeState* state;
    const Room* room;
    Bytes values;
    unsigned bytes;  // an element
    std::size_t row;
    std::size_t elements;
    Bound bound;
    double limit;
    Restore restore;
    std::size_t exceptions = 0;

    std::size_t rows() const noexcept { return (elements - 1) / row + 1; }
    std::size_t count(std::size_t r) const noexcept { return elements - r * row < row ? elements - r * row : row; }

    std::uint8_t* tokens() const noexcept { return reinterpret_cast<std::uint8_t*>(state) + up8(sizeof *state); }
    std::uint8_t* classes() const noexcept { return tokens() + up8(room->elements); }
    std::uint8_t* after() const noexcept { return classes() + up8(room->elements); }
    std::int32_t* whole() const noexcept { return reinterpret_cast<std::int32_t*>(after()); }
    // Of an element of row r, instead of one that is not needed any more.
    std::uint32_t* magnitudes(std::size_t r) const noexcept {
        return reinterpret_cast<std::uint32_t*>(after() + up8(4 * room->elements)) + r % room->kept_rows * row;
    }
    std::uint8_t* sorted() const noexcept { return after(); }
    std::uint8_t* coded() const noexcept { return sorted() + up8(room->elements); }
    MutableBytes rans_workspace() const noexcept {
        return {coded() + up8(room->coded), rans_encode_workspace(room->elements, false)};
    }
};

// The integers of all elements, at work->whole(), and which elements are exceptions: every element is restored and held
// against the bound.
void quantize(Work* work) noexcept;

}  // namespace bitpress::bounded
