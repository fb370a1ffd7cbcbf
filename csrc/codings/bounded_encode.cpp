// The encoder of bounded frames: every element is restored and held against the bound as it is quantized.
#include "codings/bits.h"
#include "codings/bounded.h"
#include "codings/bounded_contexts.h"
#include "codings/bounded_rows.h"
#include "codings/bounded_values.h"
#include "codings/codings.h"
#include "codings/frame.h"
#include "codings/rans.h"

namespace bitpress::bounded {
namespace {

constexpr double least_limit = 0x1p-1000;
constexpr double most_limit = 0x1p998;
constexpr std::size_t head_bytes =
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
constexpr std::uint8_t exception = 0x80;  // a bit of a class: the element is stored as it is

std::size_t up8(std::size_t size) noexcept { return (size + 7) / 8 * 8; }

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

template <class T>
bool within(T restored, T value, double limit) noexcept {
    return fabs(static_cast<double>(restored) - static_cast<double>(value)) < limit;
}

// Every element's integer, by quantize(where it stands, value, &whole) -> whether it restores within the bound. An
// element that does not is an exception, and takes the integer before it: that is cheap to predict.
template <class T, class Quantize>
void quantize_rows(Work* work, const Quantize& quantize) noexcept {
    std::int32_t* const out = work->whole();
    std::memset(work->classes(), 0, work->elements);
    for (std::size_t r = 0; r < work->rows(); ++r) {
        const std::size_t start = r * work->row;
        const std::uint8_t* const in = work->values.data() + start * sizeof(T);
        std::int32_t last = r == 0 ? 0 : out[start - work->row];
        for (std::size_t j = 0; j < work->count(r); ++j) {
            std::int32_t whole = 0;
            if (quantize(in + j * sizeof(T), load_float<T>(in + j * sizeof(T)), &whole)) {
                last = whole;
            } else {
                work->classes()[start + j] = exception;
                ++work->exceptions;
            }
            out[start + j] = last;
        }
    }
}

template <class T>
void quantize_absolute(Work* work) noexcept {
    const double inverse = 1.0 / work->restore.step;
    quantize_rows<T>(work, [&](const std::uint8_t*, T value, std::int32_t* whole) noexcept {
        const double scaled = static_cast<double>(value) * inverse;
        if (!(fabs(scaled) < most_value)) return false;
        *whole = static_cast<std::int32_t>(scaled + (scaled < 0 ? -0.5 : 0.5));
        return within(work->restore.absolute<T>(*whole), value, work->limit);
    });
}

// The grid number of a value's magnitude: 0 for zero, and for what is nearest to zero.
template <class T>
std::uint64_t grid_number(const std::uint8_t* p, std::uint64_t grid) noexcept {
    using Int = typename FloatBits<T>::Int;
    constexpr Int no_sign = static_cast<Int>(~Int{0}) >> 1;
    return ((std::uint64_t{load_le<Int>(p)} & no_sign) + grid / 2) / grid;
}

template <class T>
void quantize_relative(Work* work) noexcept {
    const std::uint64_t grid = work->restore.grid;
    std::uint64_t least = ~std::uint64_t{0};
    for (std::size_t i = 0; i < work->elements; ++i) {
        const std::uint64_t number = grid_number<T>(work->values.data() + i * sizeof(T), grid);
        if (number != 0 && number < least) least = number;
    }
    work->restore.base = least == ~std::uint64_t{0} ? 0 : least - 1;
    quantize_rows<T>(work, [&](const std::uint8_t* p, T value, std::int32_t* whole) noexcept {
        const std::uint64_t number = grid_number<T>(p, grid);
        const std::uint64_t size = number == 0 ? 0 : number - work->restore.base;
        *whole = size < most_value ? static_cast<std::int32_t>(size) : 0;
        if (value < 0) *whole = -*whole;
        const double limit = work->limit * fabs(static_cast<double>(value));
        return value == 0 ? *whole == 0 : within(work->restore.relative<T>(*whole), value, limit);
    });
}

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
    if (work->bound == Bound::absolute) {
        work->bytes == 4 ? quantize_absolute<float>(work) : quantize_absolute<double>(work);
    } else {
        work->bytes == 4 ? quantize_relative<float>(work) : quantize_relative<double>(work);
    }
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

Status encode(Bytes values, const Array& array, Bound bound, double limit, MutableBytes out, MutableBytes workspace,
              std::size_t* written) noexcept {
    Geometry g;
    BP_TRY(geometry(array, &g));
    const unsigned bytes = array.element_bytes();
    if (values.size() != g.elements * bytes) return Status::bad_argument;
    if (!(limit >= least_limit) || !(limit <= (bound == Bound::absolute ? most_limit : 0x1.fffffp-1))) {
        return Status::bad_argument;
    }
    BP_TRY(check_encode(frame_bound(array), values, out, workspace, encode_workspace(array)));
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
    auto* const state = reinterpret_cast<EncodeState*>(workspace.data());
    const Room room(g);
    std::uint8_t* entry = to.at;
    to.at += g.chunks * chunk_entry_bytes;
    for (std::uint64_t i = 0; i < g.chunks; ++i, entry += chunk_entry_bytes) {
        const std::uint64_t start = chunk_start(g, i);
        const auto elements = static_cast<std::size_t>(chunk_start(g, i + 1) - start);
        const Bytes part = values.subspan(static_cast<std::size_t>(start) * bytes, elements * bytes);
        Work work{state, &room, part, bytes, static_cast<std::size_t>(g.row), elements, bound, limit, restore};
        std::size_t size = code_chunk(&work, g.plane, i * g.chunk_rows, MutableBytes(to.at, part.size() + 1));
        if (size == 0) {
            to.at[0] = chunk_raw;
            std::memcpy(to.at + 1, part.data(), part.size());
            size = part.size() + 1;
        }
        store_le(entry, static_cast<std::uint32_t>(size));
        to.at += size;
    }
    *written = static_cast<std::size_t>(to.at - out.data());
    return Status::ok;
}

}  // namespace bitpress::bounded
