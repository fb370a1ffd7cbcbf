// The head of bounded frames, and their decoder.
#include "codings/bounded.h"

#include "codings/bits.h"
#include "codings/bounded_model.h"
#include "codings/bounded_values.h"
#include "codings/codings.h"
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

namespace {

struct DecodeState {
    std::int32_t values[padded_elements];
    std::uint32_t magnitudes[padded_elements];
    std::uint8_t tokens[2 * max_chunk];
    TokenTable table;
};

// What stands before a chunk's streams.
struct Head {
    Predictor model;
    std::uint64_t base = 0;  // relative: the least grid number that is not 0, less 1
    std::uint64_t exceptions = 0;
    std::uint64_t raw_bytes = 0;
    std::uint64_t context_bytes[max_contexts];
    std::uint8_t context_of[class_count];
    unsigned contexts = 0;
};

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

// Decodes the tokens of every context, one after the other; next[c] is where those of context c begin, next[contexts]
// where the last ones end.
Status read_tokens(Cursor* in, const Head& head, std::size_t elements, DecodeState* state, MutableBytes workspace,
                   const std::uint8_t** next) noexcept {
    std::size_t at = 0;
    for (unsigned c = 0; c < head.contexts; ++c) {
        next[c] = state->tokens + at;
        Bytes part;
        BP_TRY(in->take(head.context_bytes[c], &part));
        std::uint64_t size = 0;
        BP_TRY(rans_coding.decoded_size(part, &size));
        if (size > elements - at) return Status::corrupt;
        const auto count = static_cast<std::size_t>(size);
        BP_TRY(rans_coding.decode(part, MutableBytes(state->tokens + at, count), workspace));
        at += count;
    }
    next[head.contexts] = state->tokens + at;
    if (at != elements) return Status::corrupt;
    std::memset(state->tokens + elements, 0, elements);  // a context that is asked for too much reads into what follows
    return Status::ok;
}

// Rows of `row` elements, the last of which may be shorter.
struct Span {
    std::size_t row;
    std::size_t elements;
    std::size_t rows() const noexcept { return (elements - 1) / row + 1; }
    std::size_t count(std::size_t r) const noexcept { return elements - r * row < row ? elements - r * row : row; }
};

Status read_values(const Head& head, const Rows& rows, const Span& span, Bytes raw, const TokenTable& table,
                   const std::uint8_t** next) noexcept {
    const std::uint8_t* ends[max_contexts];
    for (unsigned c = 0; c < head.contexts; ++c) ends[c] = next[c + 1];
    std::size_t position = 0;
    const std::int16_t w = head.model.weight[0];
    const std::int16_t ww = head.model.weight[1];
    for (std::size_t r = 0; r < span.rows(); ++r) {
        const Rows::Neighbours near = rows.neighbours(r);
        rows.begin_row(r, near);
        std::int32_t* const values = rows.values(r);
        std::uint32_t* const magnitudes = rows.magnitudes(r);
        const std::size_t count = span.count(r);
        std::int32_t value_w = values[-1];
        std::int32_t value_ww = values[-2];
        std::uint32_t magnitude_w = magnitudes[-1];
        for (std::size_t j = 0; j < count; ++j) {
            const auto at = static_cast<std::ptrdiff_t>(j);
            const std::int64_t sum = plus(plus(far_part(head.model, near, at), times(value_ww, ww)), times(value_w, w));
            const unsigned context = head.context_of[activity_class(far_activity(near, at) + 2 * magnitude_w)];
            const std::uint8_t token = *next[context]++;
            const unsigned raw_bits = table.raw_bits[token];
            const std::uint64_t bits = peek_bits(raw, position) & ((std::uint64_t{1} << raw_bits) - 1);
            position += raw_bits;
            const std::int32_t residual = unzigzag(table.base[token] + static_cast<std::uint32_t>(bits));
            magnitude_w = magnitudes[j] = magnitude(residual);
            value_ww = value_w;
            value_w = values[j] = static_cast<std::int32_t>(static_cast<std::uint32_t>(sum >> weight_bits) +
                                                            static_cast<std::uint32_t>(residual));
        }
        rows.end_row(r, count);
    }
    for (unsigned c = 0; c < head.contexts; ++c) {
        if (next[c] != ends[c]) return Status::corrupt;
    }
    return ends_in_last_byte(raw, position) ? Status::ok : Status::corrupt;
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

Status decode_chunk(const Frame& frame, std::uint64_t index, Bytes in, MutableBytes out, DecodeState* state,
                    MutableBytes workspace) noexcept {
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
    const std::uint8_t* next[max_contexts + 1];
    BP_TRY(read_tokens(&cursor, head, elements, state, workspace, next));
    Bytes raw;
    BP_TRY(cursor.take(head.raw_bytes, &raw));
    const Span span{static_cast<std::size_t>(frame.geometry.row), elements};
    const Rows rows(state->values, state->magnitudes, span.row, frame.geometry.plane,
                    index * frame.geometry.chunk_rows);
    BP_TRY(read_values(head, rows, span, raw, state->table, next));
    const Restore restore{frame.step, frame.grid, head.base};
    for (std::size_t r = 0; r < span.rows(); ++r) {
        std::uint8_t* const target = out.data() + r * span.row * bytes;
        if (frame.array.element == Element::f32) {
            restore.row<float>(frame.bound, rows.values(r), span.count(r), target);
        } else {
            restore.row<double>(frame.bound, rows.values(r), span.count(r), target);
        }
    }
    return read_exceptions(&cursor, head.exceptions, elements, bytes, out);
}

}  // namespace

std::size_t decode_workspace() noexcept { return (sizeof(DecodeState) + 7) / 8 * 8 + rans_coding.decode_workspace; }

Status decode(const Frame& frame, std::uint64_t first, std::uint64_t last, MutableBytes out,
              MutableBytes workspace) noexcept {
    const Geometry& g = frame.geometry;
    if (first > last || last > g.chunks) return Status::bad_argument;
    if (last == 0) return out.empty() ? Status::ok : Status::bad_argument;
    const unsigned bytes = frame.array.element_bytes();
    const std::uint64_t begin = chunk_start(g, first);
    BP_TRY(check_decode((chunk_start(g, last) - begin) * bytes, out, workspace, decode_workspace()));
    auto* const state = reinterpret_cast<DecodeState*>(workspace.data());
    state->table = TokenTable();
    const MutableBytes rans_workspace = workspace.subspan((sizeof(DecodeState) + 7) / 8 * 8);
    std::uint64_t at = 0;
    for (std::uint64_t i = 0; i < last; ++i) {
        const std::uint32_t size = load_le<std::uint32_t>(frame.entries.data() + i * chunk_entry_bytes);
        if (i >= first) {
            const std::uint64_t start = chunk_start(g, i) - begin;
            const std::uint64_t count = chunk_start(g, i + 1) - begin - start;
            BP_TRY(decode_chunk(
                frame, i, frame.body.subspan(static_cast<std::size_t>(at), size),
                out.subspan(static_cast<std::size_t>(start * bytes), static_cast<std::size_t>(count * bytes)), state,
                rans_workspace));
        }
        at += size;
    }
    return Status::ok;
}

}  // namespace bitpress::bounded
