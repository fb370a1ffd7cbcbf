// The encoder of bounded frames.
#include "codings/bounded_encode.h"

#include "codings/bits.h"
#include "codings/codings.h"

namespace bitpress::bounded {
namespace {

constexpr double least_limit = 0x1p-1000;
constexpr double most_limit = 0x1p998;

// Magnitudes of other rows around n elements from column j of row r on, of `count`.
void gather(const Work& work, const Values::Near& near, std::size_t j, std::size_t n, std::size_t count) noexcept {
    EncodeState& state = *work.state;
    std::memset(state.magnitude_n, 0, (n + 1) * sizeof *state.magnitude_n);
    std::memset(state.magnitude_p, 0, n * sizeof *state.magnitude_p);
    if (near.any) {
        const std::size_t known = j + n < count ? n + 1 : n;
        std::memcpy(state.magnitude_n, work.magnitudes(near.rows.n) + j, known * sizeof *state.magnitude_n);
        if (known == n) state.magnitude_n[n] = state.magnitude_n[n - 1];
    }
    if (near.has_p) std::memcpy(state.magnitude_p, work.magnitudes(near.rows.p) + j, n * sizeof *state.magnitude_p);
}

// Tokens and classes of n elements from column j of row r on, counts by class, and the raw bits; before: the magnitude
// of the element before them, and then of the last one.
void make_block(const Work& work, const Values::Near& near, const Predictor& model, std::size_t r, std::size_t j,
                std::size_t n, std::uint32_t* before, BitWriter* raw) noexcept {
    EncodeState& state = *work.state;
    const std::size_t start = r * work.row + j;
    const std::int32_t* const own = work.whole() + start;
    std::uint32_t last = *before;
    std::uint32_t* const kept = work.room->magnitudes == 0 ? nullptr : work.magnitudes(r) + j;
    for (std::size_t k = 0; k < n; ++k) {
        const std::int32_t w = j + k >= 1 ? own[static_cast<std::ptrdiff_t>(k) - 1] : near.left;
        const std::int32_t ww = j + k >= 2 ? own[static_cast<std::ptrdiff_t>(k) - 2] : near.left;
        const std::int64_t sum = plus(plus(state.far[k], times(ww, model.weight[1])), times(w, model.weight[0]));
        const std::uint32_t difference =
            static_cast<std::uint32_t>(own[k]) - static_cast<std::uint32_t>(sum >> weight_bits);
        const auto residual = static_cast<std::int32_t>(difference);
        const unsigned kind =
            activity_class(state.magnitude_n[k] + state.magnitude_n[k + 1] + state.magnitude_p[k] + 2 * last);
        last = magnitude(residual);
        if (kept != nullptr) kept[k] = last;
        const std::uint32_t value = zigzag(residual);
        unsigned raw_bits = 0;
        const unsigned token = token_of(value, &raw_bits);
        raw->put(value & ((1u << raw_bits) - 1), raw_bits);
        raw->flush();
        work.tokens()[start + k] = static_cast<std::uint8_t>(token);
        work.classes()[start + k] |= static_cast<std::uint8_t>(kind);
        ++state.counts[kind][token];  // NOLINT(clang-analyzer-security.ArrayBound): activity is below 2^23
    }
    *before = last;
}

// Tokens and classes of all elements in order, counts by class, and the raw bits at `raw`; returns how many bytes of
// those there are.
std::size_t make_tokens(const Work& work, const Values& values, const Predictor& model, MutableBytes raw) noexcept {
    EncodeState& state = *work.state;
    std::memset(state.counts, 0, sizeof state.counts);
    BitWriter writer(raw.data(), raw.data() + raw.size());
    for (std::size_t r = 0; r < work.rows(); ++r) {
        const Values::Near near = values.neighbours(r);
        const std::size_t count = work.count(r);
        std::uint32_t before = 0;
        for (std::size_t j = 0; j < count; j += block) {
            const std::size_t n = count - j < block ? count - j : block;
            gather(work, near, j, n, count);
            values.far_sums(model, near, j, n, count, state.far);
            if (j == 0) before = state.magnitude_n[0];
            make_block(work, near, model, r, j, n, &before, &writer);
        }
    }
    return static_cast<std::size_t>(writer.finish() - raw.data());
}

struct Writer {
    std::uint8_t* at;
    void varint(std::uint64_t value) noexcept { at += write_varint(at, value); }
    template <class T>
    void number(T value) noexcept {
        store_le(at, value);
        at += sizeof value;
    }
};

// The tokens of each context as one frame of rANS; returns the bytes of all, 0 where they do not fit.
std::size_t code_tokens(const Work& work, unsigned contexts, const std::uint8_t* ends,
                        std::size_t sizes[max_contexts]) noexcept {
    std::uint8_t context_of[class_count];
    std::size_t counts[max_contexts] = {};
    std::uint8_t* next[max_contexts];
    for (unsigned k = 0, c = 0; k < class_count; ++k) {
        if (k >= ends[c]) ++c;
        context_of[k] = static_cast<std::uint8_t>(c);
    }
    const auto context = [&](std::size_t i) noexcept { return context_of[work.classes()[i] & ~exception]; };
    for (std::size_t i = 0; i < work.elements; ++i) ++counts[context(i)];
    std::uint8_t* start = work.sorted();
    for (unsigned c = 0; c < contexts; start += counts[c], ++c) next[c] = start;
    for (std::size_t i = 0; i < work.elements; ++i) *next[context(i)]++ = work.tokens()[i];
    std::size_t coded = 0;
    start = work.sorted();
    for (unsigned c = 0; c < contexts; start += counts[c], ++c) {
        const MutableBytes room(work.coded() + coded, work.room->coded - coded);
        const Bytes tokens(start, counts[c]);
        if (rans_coding.encode(tokens, room, work.rans_workspace(), &sizes[c]) != Status::ok) return 0;
        coded += sizes[c];
    }
    return coded;
}

// Calls use(element) for each that is stored as it is, in order.
template <class Use>
void each_exception(const Work& work, const Use& use) noexcept {
    for (std::size_t i = 0, left = work.exceptions; left != 0; ++i) {
        if ((work.classes()[i] & exception) == 0) continue;
        use(i);
        --left;
    }
}

// Writes the chunk where it takes less than out; returns its size, 0 where it does not.
std::size_t code_chunk(Work* work, std::uint64_t plane, std::uint64_t first_row, MutableBytes out) noexcept {
    EncodeState& state = *work->state;
    quantize(work);
    const Values values(reinterpret_cast<const std::uint8_t*>(work->whole()), work->row, plane, first_row);
    Predictor model;
    fit(values, work->rows() == 1 ? work->elements : work->row, work->rows(), &model);
    const std::size_t raw_bytes = make_tokens(*work, values, model, out);
    std::uint8_t ends[max_contexts];
    const unsigned contexts = merge_classes(state.counts, ends);
    std::size_t sizes[max_contexts];
    const std::size_t coded_bytes = code_tokens(*work, contexts, ends, sizes);
    if (coded_bytes == 0) return 0;

    Writer head{state.head};
    head.number(chunk_coded);
    for (const std::int16_t weight : model.weight) head.number(weight);
    head.number(model.bias);
    if (work->bound == Bound::relative) head.number(work->restore.base);
    head.varint(work->exceptions);
    head.varint(raw_bytes);
    head.number(static_cast<std::uint8_t>(contexts));
    for (unsigned c = 0; c + 1 < contexts; ++c) head.number(ends[c]);
    for (unsigned c = 0; c < contexts; ++c) head.varint(sizes[c]);
    const auto head_size = static_cast<std::size_t>(head.at - state.head);
    std::size_t total = head_size + coded_bytes + raw_bytes + work->exceptions * work->bytes;
    std::size_t from = 0;
    each_exception(*work, [&](std::size_t i) noexcept {
        total += varint_bytes(i - from);
        from = i + 1;
    });
    if (total >= out.size()) return 0;
    Writer to{out.data() + head_size + coded_bytes + raw_bytes};
    std::memmove(to.at - raw_bytes, out.data(), raw_bytes);
    std::memcpy(out.data(), state.head, head_size);
    std::memcpy(out.data() + head_size, work->coded(), coded_bytes);
    from = 0;
    each_exception(*work, [&](std::size_t i) noexcept {
        to.varint(i - from);
        from = i + 1;
    });
    each_exception(*work, [&](std::size_t i) noexcept {
        std::memcpy(to.at, work->values.data() + i * work->bytes, work->bytes);
        to.at += work->bytes;
    });
    return total;
}

// The largest finite magnitude.
template <class T>
double largest(Bytes values) noexcept {
    double most = 0;
    for (std::size_t i = 0; i < values.size(); i += sizeof(T)) {
        const double size = fabs(static_cast<double>(load_float<T>(values.data() + i)));
        most = size > most && size <= 0x1.fffffffffffffp1023 ? size : most;
    }
    return most;
}

// Twice the limit, a little less: so much that rounding a restored value to its type seldom breaks the bound.
double pick_step(Bytes values, const Array& array, double limit) noexcept {
    const bool single = array.element == Element::f32;
    const double most = single ? largest<float>(values) : largest<double>(values);
    double margin = most * (single ? 0x1.8p-24 : 0x1.8p-53) / limit;
    margin = margin < 0x1p-30 ? 0x1p-30 : margin;
    margin = margin < 0.0625 ? margin : 0.0625;
    return 2 * limit * (1 - margin);
}

// What all chunks of an array have in common.
struct Frames {
    Bytes values;
    const Geometry& g;
    unsigned bytes;  // an element
    Bound bound;
    double limit;
    Restore restore;
    std::uint8_t* entries;

    std::size_t start(std::uint64_t chunk) const noexcept {
        return static_cast<std::size_t>(chunk_start(g, chunk)) * bytes;
    }
};

// Writes chunk i at `at`, and its entry; returns its size.
std::size_t write_chunk(const Frames& frames, const Room& room, std::uint64_t i, EncodeState* state,
                        std::uint8_t* at) noexcept {
    const Geometry& g = frames.g;
    const Bytes part = frames.values.subspan(frames.start(i), frames.start(i + 1) - frames.start(i));
    Work work{state,
              &room,
              part,
              frames.bytes,
              static_cast<std::size_t>(g.row),
              part.size() / frames.bytes,
              frames.bound,
              frames.limit,
              frames.restore};
    std::size_t size = code_chunk(&work, g.plane, i * g.chunk_rows, MutableBytes(at, part.size() + 1));
    if (size == 0) {
        at[0] = chunk_raw;
        std::memcpy(at + 1, part.data(), part.size());
        size = part.size() + 1;
    }
    store_le(frames.entries + i * chunk_entry_bytes, static_cast<std::uint32_t>(size));
    return size;
}

// Each worker writes its chunks where they would stand as they are; then they are moved together. Returns the end.
std::uint8_t* write_chunks(const Frames& frames, const Workers& workers, std::size_t need, MutableBytes workspace,
                           std::uint8_t* body) noexcept {
    const Room room(frames.g);
    const unsigned parts = part_count(workers, frames.g.chunks);
    const auto begin = [&](unsigned p) noexcept { return part_begin(frames.g.chunks, parts, p); };
    const auto place = [&](unsigned p) noexcept { return body + frames.start(begin(p)) + begin(p); };
    std::size_t used[max_workers] = {};
    each_part(workers, parts, [&](unsigned p) noexcept {
        auto* const state = reinterpret_cast<EncodeState*>(workspace.data() + p * worker_stride(need));
        for (std::uint64_t i = begin(p); i < begin(p + 1); ++i)
            used[p] += write_chunk(frames, room, i, state, place(p) + used[p]);
    });
    std::uint8_t* end = body;
    for (unsigned p = 0; p < parts; ++p) {
        std::memmove(end, place(p), used[p]);
        end += used[p];
    }
    return end;
}

}  // namespace

std::size_t frame_bound(const Array& array) noexcept {
    Geometry g;
    if (geometry(array, &g) != Status::ok) return 0;
    return static_cast<std::size_t>(2 + max_rank * frame_max_varint + 8 + g.elements * array.element_bytes() +
                                    g.chunks * (chunk_entry_bytes + 1 + 4));
}

std::size_t encode_workspace(const Array& array) noexcept {
    Geometry g;
    return geometry(array, &g) == Status::ok && g.elements != 0 ? Room(g).all() : 0;
}

Status encode(const Workers& workers, Bytes values, const Array& array, Bound bound, double limit, MutableBytes out,
              MutableBytes workspace, std::size_t* written) noexcept {
    Geometry g;
    BP_TRY(geometry(array, &g));
    const unsigned bytes = array.element_bytes();
    if (values.size() != g.elements * bytes) return Status::bad_argument;
    if (!(limit >= least_limit) || !(limit <= (bound == Bound::absolute ? most_limit : 0x1.fffffp-1))) {
        return Status::bad_argument;
    }
    const std::size_t need = encode_workspace(array);
    BP_TRY(check_encode(frame_bound(array), values, out, workspace, workers_need(need, workers)));
    Writer to{out.data()};
    to.number(static_cast<std::uint8_t>(static_cast<unsigned>(array.element) | static_cast<unsigned>(bound) << 1));
    to.number(static_cast<std::uint8_t>(array.rank));
    for (unsigned k = 0; k < array.rank; ++k) to.varint(array.dims[k]);
    *written = static_cast<std::size_t>(to.at - out.data());
    if (g.elements == 0) return Status::ok;
    Restore restore{0, 0, 0};
    if (bound == Bound::absolute) {
        restore.step = pick_step(values, array, limit);
        to.number(restore.step);
    } else {
        const double grid = 2 * limit * (array.element == Element::f32 ? 0x1p23 : 0x1p52);
        restore.grid = grid < 1 ? 1 : static_cast<std::uint64_t>(grid);
        to.number(restore.grid);
    }
    const Frames frames{values, g, bytes, bound, limit, restore, to.at};
    to.at += g.chunks * chunk_entry_bytes;
    *written = static_cast<std::size_t>(write_chunks(frames, workers, need, workspace, to.at) - out.data());
    return Status::ok;
}

}  // namespace bitpress::bounded
