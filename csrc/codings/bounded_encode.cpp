// The encoder of bounded frames: every element is restored and held against the bound as it is quantized.
#include "codings/bits.h"
#include "codings/bounded.h"
#include "codings/bounded_contexts.h"
#include "codings/bounded_model.h"
#include "codings/bounded_values.h"
#include "codings/codings.h"
#include "codings/frame.h"

namespace bitpress::bounded {
namespace {

constexpr double least_limit = 0x1p-1000;
constexpr double most_limit = 0x1p998;
constexpr std::size_t head_bytes =
    1 + 2 * tap_count + 4 + 8 + 2 * frame_max_varint + max_contexts * (1 + frame_max_varint);

struct EncodeState {
    std::int32_t values[padded_elements];
    std::uint32_t magnitudes[padded_elements];
    std::uint32_t exceptions[max_chunk];
    std::uint32_t counts[class_count][256];
    std::uint8_t tokens[max_chunk];
    std::uint8_t classes[max_chunk];
    std::uint8_t sorted[max_chunk];
    std::uint8_t raw[4 * max_chunk + 16];
    std::uint8_t coded[max_chunk + max_chunk / 16 + 4096];  // the contexts' frames
    std::uint8_t head[head_bytes];
};

// One chunk on its way.
struct Work {
    EncodeState* state;
    MutableBytes rans_workspace;
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
};

template <class T>
bool within(T restored, T value, double limit) noexcept {
    return fabs(static_cast<double>(restored) - static_cast<double>(value)) < limit;
}

// Every element's integer, by quantize(where it stands, value, &whole) -> whether it restores within the bound. An
// element that does not is an exception, and takes the integer before it: that is cheap to predict.
template <class T, class Quantize>
void quantize_rows(Work* work, const Rows& rows, const Quantize& quantize) noexcept {
    for (std::size_t r = 0; r < work->rows(); ++r) {
        std::int32_t* const out = rows.values(r);
        const std::uint8_t* const in = work->values.data() + r * work->row * sizeof(T);
        std::int32_t last = r == 0 ? 0 : rows.values(r - 1)[0];
        for (std::size_t j = 0; j < work->count(r); ++j) {
            std::int32_t whole = 0;
            if (quantize(in + j * sizeof(T), load_float<T>(in + j * sizeof(T)), &whole)) {
                last = whole;
            } else {
                work->state->exceptions[work->exceptions++] = static_cast<std::uint32_t>(r * work->row + j);
            }
            out[j] = last;
        }
    }
}

template <class T>
void quantize_absolute(Work* work, const Rows& rows) noexcept {
    const double inverse = 1.0 / work->restore.step;
    quantize_rows<T>(work, rows, [&](const std::uint8_t*, T value, std::int32_t* whole) noexcept {
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
void quantize_relative(Work* work, const Rows& rows) noexcept {
    const std::uint64_t grid = work->restore.grid;
    std::uint64_t least = ~std::uint64_t{0};
    for (std::size_t i = 0; i < work->elements; ++i) {
        const std::uint64_t number = grid_number<T>(work->values.data() + i * sizeof(T), grid);
        if (number != 0 && number < least) least = number;
    }
    work->restore.base = least == ~std::uint64_t{0} ? 0 : least - 1;
    quantize_rows<T>(work, rows, [&](const std::uint8_t* p, T value, std::int32_t* whole) noexcept {
        const std::uint64_t number = grid_number<T>(p, grid);
        const std::uint64_t size = number == 0 ? 0 : number - work->restore.base;
        *whole = size < most_value ? static_cast<std::int32_t>(size) : 0;
        if (value < 0) *whole = -*whole;
        const double limit = work->limit * fabs(static_cast<double>(value));
        return value == 0 ? *whole == 0 : within(work->restore.relative<T>(*whole), value, limit);
    });
}

// Tokens and classes of all elements in order, counts by class, and the raw bits; returns the end of those.
std::uint8_t* make_tokens(const Work& work, const Rows& rows, const Predictor& model) noexcept {
    EncodeState& state = *work.state;
    std::memset(state.counts, 0, sizeof state.counts);
    BitWriter raw(state.raw, state.raw + sizeof state.raw);
    std::size_t i = 0;
    for (std::size_t r = 0; r < work.rows(); ++r) {
        const Rows::Neighbours near = rows.neighbours(r);
        const std::int32_t* const values = rows.values(r);
        std::uint32_t* const magnitudes = rows.magnitudes(r);
        magnitudes[-1] = near.magnitude_n[0];
        for (std::size_t j = 0; j < work.count(r); ++j, ++i) {
            const auto at = static_cast<std::ptrdiff_t>(j);
            const std::int64_t sum = plus(plus(far_part(model, near, at), times(values[at - 2], model.weight[1])),
                                          times(values[at - 1], model.weight[0]));
            const std::uint32_t difference =
                static_cast<std::uint32_t>(values[j]) - static_cast<std::uint32_t>(sum >> weight_bits);
            const auto residual = static_cast<std::int32_t>(difference);
            const unsigned kind = activity_class(far_activity(near, at) + 2 * magnitudes[at - 1]);
            magnitudes[j] = magnitude(residual);
            const std::uint32_t value = zigzag(residual);
            unsigned raw_bits = 0;
            const unsigned token = token_of(value, &raw_bits);
            raw.put(value & ((1u << raw_bits) - 1), raw_bits);
            raw.flush();
            state.tokens[i] = static_cast<std::uint8_t>(token);
            state.classes[i] = static_cast<std::uint8_t>(kind);
            ++state.counts[kind][token];  // NOLINT(clang-analyzer-security.ArrayBound): activity is below 2^23
        }
        rows.end_row(r, work.count(r));
    }
    return raw.finish();
}

// Rows with their pads, as the decoder will have them.
void pad_rows(const Work& work, const Rows& rows) noexcept {
    for (std::size_t r = 0; r < work.rows(); ++r) {
        rows.begin_row(r, rows.neighbours(r));
        rows.values(r)[work.count(r)] = rows.values(r)[work.count(r) - 1];
    }
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

// The tokens of each context as one frame of rANS; returns the end of the last.
std::uint8_t* code_tokens(const Work& work, unsigned contexts, const std::uint8_t* ends,
                          std::size_t sizes[max_contexts]) noexcept {
    EncodeState& state = *work.state;
    std::uint8_t context_of[class_count];
    std::size_t counts[max_contexts] = {};
    std::uint8_t* next[max_contexts];
    for (unsigned k = 0, c = 0; k < class_count; ++k) {
        if (k >= ends[c]) ++c;
        context_of[k] = static_cast<std::uint8_t>(c);
    }
    for (std::size_t i = 0; i < work.elements; ++i) ++counts[context_of[state.classes[i]]];
    std::uint8_t* start = state.sorted;
    for (unsigned c = 0; c < contexts; start += counts[c], ++c) next[c] = start;
    for (std::size_t i = 0; i < work.elements; ++i) *next[context_of[state.classes[i]]]++ = state.tokens[i];
    std::uint8_t* at = state.coded;
    start = state.sorted;
    for (unsigned c = 0; c < contexts; start += counts[c], ++c) {
        const MutableBytes room(at, static_cast<std::size_t>(state.coded + sizeof state.coded - at));
        if (rans_coding.encode(Bytes(start, counts[c]), room, work.rans_workspace, &sizes[c]) != Status::ok) {
            return nullptr;
        }
        at += sizes[c];
    }
    return at;
}

// Writes the chunk where it takes less than out; returns its size, 0 where it does not.
std::size_t code_chunk(Work* work, std::uint64_t plane, std::uint64_t first_row, MutableBytes out) noexcept {
    EncodeState& state = *work->state;
    const Rows rows(state.values, state.magnitudes, work->row, plane, first_row);
    if (work->bound == Bound::absolute) {
        work->bytes == 4 ? quantize_absolute<float>(work, rows) : quantize_absolute<double>(work, rows);
    } else {
        work->bytes == 4 ? quantize_relative<float>(work, rows) : quantize_relative<double>(work, rows);
    }
    pad_rows(*work, rows);
    Predictor model;
    fit(rows, work->rows() == 1 ? work->elements : work->row, work->rows(), &model);
    const std::uint8_t* const raw_end = make_tokens(*work, rows, model);
    std::uint8_t ends[max_contexts];
    const unsigned contexts = merge_classes(state.counts, ends);
    std::size_t sizes[max_contexts];
    const std::uint8_t* const coded_end = code_tokens(*work, contexts, ends, sizes);
    if (coded_end == nullptr) return 0;

    const auto raw_bytes = static_cast<std::size_t>(raw_end - state.raw);
    const auto coded_bytes = static_cast<std::size_t>(coded_end - state.coded);
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
    std::uint32_t from = 0;
    for (std::size_t i = 0; i < work->exceptions; from = state.exceptions[i++] + 1) {
        total += varint_bytes(state.exceptions[i] - from);
    }
    if (total >= out.size()) return 0;
    Writer to{out.data()};
    const auto put = [&](const std::uint8_t* p, std::size_t size) {
        std::memcpy(to.at, p, size);
        to.at += size;
    };
    put(state.head, head_size);
    put(state.coded, coded_bytes);
    put(state.raw, raw_bytes);
    from = 0;
    for (std::size_t i = 0; i < work->exceptions; from = state.exceptions[i++] + 1) {
        to.varint(state.exceptions[i] - from);
    }
    for (std::size_t i = 0; i < work->exceptions; ++i) {
        put(work->values.data() + std::size_t{state.exceptions[i]} * work->bytes, work->bytes);
    }
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

std::size_t encode_workspace() noexcept { return (sizeof(EncodeState) + 7) / 8 * 8 + rans_coding.encode_workspace; }

Status encode(Bytes values, const Array& array, Bound bound, double limit, MutableBytes out, MutableBytes workspace,
              std::size_t* written) noexcept {
    Geometry g;
    BP_TRY(geometry(array, &g));
    const unsigned bytes = array.element_bytes();
    if (values.size() != g.elements * bytes) return Status::bad_argument;
    if (!(limit >= least_limit) || !(limit <= (bound == Bound::absolute ? most_limit : 0x1.fffffp-1))) {
        return Status::bad_argument;
    }
    BP_TRY(check_encode(frame_bound(array), values, out, workspace, encode_workspace()));
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
    const MutableBytes rans_workspace = workspace.subspan((sizeof(EncodeState) + 7) / 8 * 8);
    std::uint8_t* entry = to.at;
    to.at += g.chunks * chunk_entry_bytes;
    for (std::uint64_t i = 0; i < g.chunks; ++i, entry += chunk_entry_bytes) {
        const std::uint64_t start = chunk_start(g, i);
        const auto elements = static_cast<std::size_t>(chunk_start(g, i + 1) - start);
        const Bytes part = values.subspan(static_cast<std::size_t>(start) * bytes, elements * bytes);
        Work work{state, rans_workspace, part, bytes, static_cast<std::size_t>(g.row), elements, bound, limit, restore};
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
