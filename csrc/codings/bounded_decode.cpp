// The decoder of bounded frames. Whole numbers stand in the output until they are all there, and tokens at its end, for
// nobody is nearer to needing that room than they to not needing it; beside the output it takes 64 KiB.
#include "codings/bounded.h"
#include "codings/bounded_chunk.h"
#include "codings/bounded_values.h"
#include "codings/codings.h"
#include "codings/frame.h"

namespace bitpress::bounded {
namespace {

class Cursor {
  public:
    explicit Cursor(Bytes in) noexcept : in_(in) {}
    Status varint(std::uint64_t limit, std::uint64_t* value) noexcept {
        std::size_t used = 0;
        BP_TRY(read_varint(in_, limit, value, &used));
        in_ = in_.subspan(used);
        return Status::ok;
    }
    Status take(std::uint64_t size, Bytes* part) noexcept {
        if (size > in_.size()) return Status::truncated;
        *part = in_.first(static_cast<std::size_t>(size));
        in_ = in_.subspan(static_cast<std::size_t>(size));
        return Status::ok;
    }
    Bytes rest() const noexcept { return in_; }

  private:
    Bytes in_;
};

Status read_head(Cursor* in, std::size_t elements, bool relative, Head* head) noexcept {
    Bytes part;
    BP_TRY(in->take(2 * tap_count + 4, &part));
    for (unsigned k = 0; k < tap_count; ++k) head->model.weight[k] = load_le<std::int16_t>(part.data() + 2 * k);
    head->model.bias = load_le<std::int32_t>(part.data() + 2 * tap_count);
    if (relative) {
        BP_TRY(in->take(8, &part));
        head->base = load_le<std::uint64_t>(part.data());
    }
    BP_TRY(in->varint(elements, &head->exceptions));
    BP_TRY(in->varint(in->rest().size(), &head->raw_bytes));
    BP_TRY(in->take(1, &part));
    head->contexts = part[0];
    if (head->contexts < 1 || head->contexts > max_contexts) return Status::corrupt;
    BP_TRY(in->take(head->contexts - 1, &part));
    unsigned at = 0;
    for (unsigned c = 0; c < head->contexts; ++c) {
        const unsigned end = c + 1 < head->contexts ? part[c] : class_count;
        if (end <= at || end > class_count) return Status::corrupt;
        for (; at < end; ++at) head->context_of[at] = static_cast<std::uint8_t>(c);
    }
    for (unsigned c = 0; c < head->contexts; ++c) BP_TRY(in->varint(in->rest().size(), &head->context_bytes[c]));
    return Status::ok;
}

constexpr std::size_t rans_workspace = std::size_t{48} << 10;  // enough for rANS, which checks it

struct DecodeState {
    union Parts {
        std::uint64_t rans[rans_workspace / 8];  // until the tokens are there
        ValueState values;
        Parts() noexcept : rans() {}
    } part;
};
static_assert(sizeof(DecodeState) <= 65536, "decoding needs its output and 64 KiB");

// Decodes the tokens of every context, one after the other, into room, which has a byte for each element.
Status read_tokens(Cursor* in, const Head& head, MutableBytes room, DecodeState* state, Bytes* tokens) noexcept {
    const MutableBytes workspace{reinterpret_cast<std::uint8_t*>(state->part.rans), sizeof state->part.rans};
    for (unsigned c = 0; c < head.contexts; ++c) {
        Bytes part;
        BP_TRY(in->take(head.context_bytes[c], &part));
        std::uint64_t size = 0;
        BP_TRY(rans_coding.decoded_size(part, &size));
        if (size > room.size()) return Status::corrupt;
        tokens[c] = room.first(static_cast<std::size_t>(size));
        BP_TRY(rans_coding.decode(part, room.first(tokens[c].size()), workspace));
        room = room.subspan(tokens[c].size());
    }
    return room.empty() ? Status::ok : Status::corrupt;
}

// Values to elements, in place: where elements are larger, from the last to the first.
template <class T>
void restore_all(const Chunk& chunk, const Restore& restore, Bound bound, std::size_t elements,
                 std::uint8_t* out) noexcept {
    const std::size_t pieces = (elements + block - 1) / block;
    for (std::size_t i = 0; i < pieces; ++i) {
        const std::size_t at = (sizeof(T) == 4 ? i : pieces - 1 - i) * block;
        const std::size_t n = elements - at < block ? elements - at : block;
        std::int32_t values[block];
        for (std::size_t k = 0; k < n; ++k) values[k] = chunk.value(at + k);
        restore.row<T>(bound, values, n, out + at * sizeof(T));
    }
}

Status read_exceptions(Cursor* in, std::uint64_t count, std::size_t elements, unsigned bytes,
                       MutableBytes out) noexcept {
    Cursor gaps = *in;
    for (std::uint64_t i = 0; i < count; ++i) {
        std::uint64_t gap = 0;
        BP_TRY(in->varint(elements, &gap));
    }
    if (in->rest().size() != count * bytes) return Status::corrupt;
    const std::uint8_t* stored = in->rest().data();
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i < count; ++i, ++at, stored += bytes) {
        std::uint64_t gap = 0;
        BP_TRY(gaps.varint(elements, &gap));
        at += gap;
        if (at >= elements) return Status::corrupt;
        std::memcpy(out.data() + at * bytes, stored, bytes);
    }
    return Status::ok;
}

Status decode_chunk(const Frame& frame, std::uint64_t index, Bytes in, MutableBytes out, DecodeState* state) noexcept {
    const unsigned bytes = frame.array.element_bytes();
    const std::size_t elements = out.size() / bytes;
    if (in[0] == chunk_raw) {
        if (in.size() != out.size() + 1) return Status::corrupt;
        std::memcpy(out.data(), in.data() + 1, out.size());
        return Status::ok;
    }
    if (in[0] != chunk_coded) return Status::corrupt;
    Cursor cursor(in.subspan(1));
    Head head;
    BP_TRY(read_head(&cursor, elements, frame.bound == Bound::relative, &head));
    Bytes tokens[max_contexts];
    BP_TRY(read_tokens(&cursor, head, out.last(elements), state, tokens));
    Bytes raw;
    BP_TRY(cursor.take(head.raw_bytes, &raw));
    Chunk chunk(head, out, elements, frame.geometry, index * frame.geometry.chunk_rows, &state->part.values);
    BP_TRY(chunk.decode(tokens, raw));
    const Restore restore{frame.step, frame.grid, head.base};
    if (frame.array.element == Element::f32) {
        restore_all<float>(chunk, restore, frame.bound, elements, out.data());
    } else {
        restore_all<double>(chunk, restore, frame.bound, elements, out.data());
    }
    return read_exceptions(&cursor, head.exceptions, elements, bytes, out);
}

}  // namespace

std::size_t decode_workspace() noexcept { return sizeof(DecodeState); }

Status decode(const Frame& frame, std::uint64_t first, std::uint64_t last, MutableBytes out,
              MutableBytes workspace) noexcept {
    const Geometry& g = frame.geometry;
    if (first > last || last > g.chunks) return Status::bad_argument;
    if (last == 0) return out.empty() ? Status::ok : Status::bad_argument;
    const unsigned bytes = frame.array.element_bytes();
    const std::uint64_t begin = chunk_start(g, first);
    BP_TRY(check_decode((chunk_start(g, last) - begin) * bytes, out, workspace, decode_workspace()));
    auto* const state = reinterpret_cast<DecodeState*>(workspace.data());
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i < last; ++i) {
        const std::uint32_t size = load_le<std::uint32_t>(frame.entries.data() + i * chunk_entry_bytes);
        if (i >= first) {
            const std::uint64_t start = chunk_start(g, i) - begin;
            const std::uint64_t count = chunk_start(g, i + 1) - begin - start;
            BP_TRY(decode_chunk(
                frame, i, frame.body.subspan(static_cast<std::size_t>(at), size),
                out.subspan(static_cast<std::size_t>(start * bytes), static_cast<std::size_t>(count * bytes)), state));
        }
        at += size;
    }
    return Status::ok;
}

}  // namespace bitpress::bounded
