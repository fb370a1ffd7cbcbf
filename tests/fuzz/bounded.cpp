// Any bytes as a bounded frame, whole and by chunks. The first byte says how the output or the workspace deviates from
// what it should be (bits 0 to 2), what the result is held to (bit 3: its chunks alone; else itself), and how much may
// be decoded.
#include "codings/bounded.h"

#include "codings/bounded_values.h"
#include "codings_fuzz.h"
#include "frame_mutator.h"

namespace {

using namespace bitpress;

// Some chunks alone, in the memory that the others have left, then those others.
void hold_to_parts(const bounded::Frame& frame, Bytes whole, MutableBytes work) {
    const bounded::Geometry& g = frame.geometry;
    const std::uint64_t cut = g.chunks / 2;
    const std::size_t split = static_cast<std::size_t>(bounded::chunk_start(g, cut)) * frame.array.element_bytes();
    const fuzz::Memory parts(whole.size(), 0xFF);
    fuzz::require(bounded::decode(frame, cut, g.chunks, parts.span().subspan(split), work) == Status::ok &&
                      bounded::decode(frame, 0, cut, parts.span().first(split), work) == Status::ok,
                  "chunks cannot be decoded alone");
    fuzz::require(fuzz::equal(parts.span(), whole), "chunks decode to something else alone");
}

void decode(std::uint8_t first, Bytes in) {
    static const fuzz::Workspaces work(bounded::decode_workspace());
    const unsigned deviation = first & 7;
    bounded::Frame frame;
    if (bounded::open(in, &frame) != Status::ok) return;
    const bounded::Geometry& g = frame.geometry;
    if (g.elements > fuzz::most_decoded(first)) return;
    const std::size_t true_size = static_cast<std::size_t>(g.elements) * frame.array.element_bytes();
    const std::size_t size = fuzz::deviating(deviation, true_size);
    const std::size_t less = deviation == 4 ? 1 : 0;
    const fuzz::Memory out(size, 0);
    const auto whole = [&](MutableBytes to, MutableBytes memory) {
        return bounded::decode(frame, 0, g.chunks, to, memory);
    };
    Status status = Status::ok;
    if ((first & 8) == 0) {
        status = fuzz::decode_twice(work, less, out.span(), whole);
    } else {
        status = whole(out.span(), work.one.span().first(work.size - less));
        if (status == Status::ok && g.elements > 0) hold_to_parts(frame, out.span(), work.other.span());
    }
    if (status == Status::ok && g.elements > 0) {
        fuzz::require(size == true_size && less == 0, "decoded into the wrong room");
    }
}

// Decodes the frame, mutates its values, and encodes them within a bound that the seed picks; 0 where it is no frame of
// little enough.
std::size_t mutate_values(MutableBytes room, std::size_t size, unsigned seed) {
    constexpr std::size_t most = 4096;  // bytes of values
    static const fuzz::LastingMemory decoding(bounded::decode_workspace(), 0);
    bounded::Frame frame;
    if (bounded::open(room.first(size), &frame) != Status::ok) return 0;
    const bounded::Geometry& g = frame.geometry;
    if (g.elements == 0 || g.elements > most / frame.array.element_bytes()) return 0;
    const std::size_t bytes = static_cast<std::size_t>(g.elements) * frame.array.element_bytes();
    const fuzz::Memory values(bytes, 0);
    if (bounded::decode(frame, 0, g.chunks, values.span(), decoding.span()) != Status::ok) return 0;
    LLVMFuzzerMutate(values.span().data(), bytes, bytes);
    const double limits[] = {0.5, 1e-3, 1e-7, 1e-30};
    const auto bound = static_cast<bounded::Bound>(seed & 1);
    const fuzz::Memory out(bounded::frame_bound(frame.array), 0), work(bounded::encode_workspace(frame.array), 0);
    std::size_t written = 0;
    const Status status = bounded::encode(one_worker, values.span(), frame.array, bound, limits[seed >> 1 & 3],
                                          out.span(), work.span(), &written);
    fuzz::require(status == Status::ok, "cannot encode");
    if (written > room.size()) return 0;
    std::memcpy(room.data(), out.span().data(), written);
    return written;
}

// The size of the last chunk becomes what is left.
void repair(MutableBytes in) {
    if (in.size() < 2 || in[1] > bounded::max_rank) return;
    bounded::Array array;
    array.rank = in[1];
    in = in.subspan(2);
    for (unsigned k = 0; k < array.rank; ++k) {
        std::size_t used = 0;
        if (read_varint(in, frame_max_decoded, &array.dims[k], &used) != Status::ok) return;
        in = in.subspan(used);
    }
    bounded::Geometry g;
    if (bounded::geometry(array, &g) != Status::ok || g.elements == 0 || in.size() < 8) return;
    in = in.subspan(8);
    if (g.chunks >= in.size() / bounded::chunk_entry_bytes) return;
    const std::size_t entries = static_cast<std::size_t>(g.chunks) * bounded::chunk_entry_bytes;
    std::uint64_t left = in.size() - entries;
    for (std::size_t i = 0; i + bounded::chunk_entry_bytes < entries; i += bounded::chunk_entry_bytes) {
        const std::uint32_t size = load_le<std::uint32_t>(in.data() + i);
        if (size >= left) return;
        left -= size;
    }
    store_le(in.data() + entries - bounded::chunk_entry_bytes, static_cast<std::uint32_t>(left));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 0) decode(data[0], {data + 1, size - 1});
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    if (seed % 64 == 0 && size > 1) {
        const std::size_t written = mutate_values({data + 1, max_size - 1}, size - 1, seed >> 6);
        if (written != 0) return 1 + written;
    }
    const std::size_t changed = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8 != 1 && changed > 1) repair({data + 1, changed - 1});
    return changed;
}
