// The head of bounded frames.
#include "codings/bounded.h"

#include "codings/bounded_model.h"
#include "codings/bounded_values.h"
#include "codings/frame.h"

namespace bitpress::bounded {

Status geometry(const Array& array, Geometry* out) noexcept {
    *out = Geometry{};
    if (array.rank > max_rank) return Status::bad_argument;
    std::uint64_t elements = 1;
    std::uint64_t last[2] = {1, 1};  // the last two dims that are not 1
    for (unsigned k = 0; k < array.rank; ++k) {
        if (array.dims[k] == 0) return Status::ok;
    }
    for (unsigned k = 0; k < array.rank; ++k) {
        if (!checked_mul(elements, array.dims[k], &elements) || elements > max_elements) return Status::too_large;
        if (array.dims[k] == 1) continue;
        last[0] = last[1];
        last[1] = array.dims[k];
    }
    Geometry g;
    g.elements = elements;
    if (last[1] == elements || last[1] > max_chunk) {
        g.row = elements < max_chunk ? elements : max_chunk;
        g.rows = (elements - 1) / g.row + 1;
        g.plane = g.chunk_rows = 1;
    } else {
        g.row = last[1];
        g.rows = elements / g.row;
        g.plane = last[0];
        g.chunk_rows = max_chunk / g.row < max_chunk_rows ? max_chunk / g.row : max_chunk_rows;
        if (g.chunk_rows > g.rows) g.chunk_rows = g.rows;
        if (g.chunk_rows > g.plane) g.chunk_rows -= g.chunk_rows % g.plane;
    }
    g.chunks = (g.rows - 1) / g.chunk_rows + 1;
    *out = g;
    return Status::ok;
}

std::uint64_t chunk_start(const Geometry& g, std::uint64_t chunk) noexcept {
    const std::uint64_t start = chunk * g.chunk_rows * g.row;
    return start < g.elements ? start : g.elements;
}

Status open(Bytes in, Frame* frame) noexcept {
    *frame = Frame{};
    if (in.size() < 2) return Status::truncated;
    const std::uint8_t kind = in[0];
    if (kind > 3) return Status::corrupt;
    frame->array.element = static_cast<Element>(kind & 1);
    frame->bound = static_cast<Bound>(kind >> 1);
    if (in[1] > max_rank) return Status::corrupt;
    frame->array.rank = in[1];
    in = in.subspan(2);
    for (unsigned k = 0; k < frame->array.rank; ++k) {
        std::size_t used = 0;
        BP_TRY(read_varint(in, frame_max_decoded, &frame->array.dims[k], &used));
        in = in.subspan(used);
    }
    Geometry& g = frame->geometry;
    BP_TRY(geometry(frame->array, &g));
    if (g.elements == 0) return in.empty() ? Status::ok : Status::corrupt;
    if (in.size() < 8) return Status::truncated;
    if (frame->bound == Bound::absolute) {
        frame->step = load_le<double>(in.data());
        if (!(frame->step > 0) || !(frame->step <= most_step)) return Status::corrupt;
    } else {
        frame->grid = load_le<std::uint64_t>(in.data());
        if (frame->grid == 0 || frame->grid >> 53 != 0) return Status::corrupt;
    }
    in = in.subspan(8);
    if (g.chunks > in.size() / (chunk_entry_bytes + least_chunk)) return Status::truncated;
    const std::size_t entries = static_cast<std::size_t>(g.chunks) * chunk_entry_bytes;
    frame->entries = in.first(entries);
    frame->body = in.subspan(entries);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < entries; i += chunk_entry_bytes) {
        const std::uint32_t size = load_le<std::uint32_t>(in.data() + i);
        if (size < least_chunk) return Status::corrupt;
        total += size;
    }
    if (total > frame->body.size()) return Status::truncated;
    return total == frame->body.size() ? Status::ok : Status::corrupt;
}

}  // namespace bitpress::bounded
