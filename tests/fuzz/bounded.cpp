// Any bytes as a bounded frame, whole and by chunks.
#include "codings/bounded.h"

#include "codings_fuzz.h"

namespace {

using namespace bitpress;

// The first byte picks how the output or the workspace deviates from what it should be; the rest is the frame.
void decode(Bytes data) {
    static const fuzz::Workspaces work(bounded::decode_workspace());
    const unsigned deviation = data[0] & 7;
    const Bytes in = data.subspan(1);
    bounded::Frame frame;
    if (bounded::open(in, &frame) != Status::ok) return;
    const bounded::Geometry& g = frame.geometry;
    if (g.elements > fuzz::most_decoded(data[0])) return;
    const std::size_t true_size = static_cast<std::size_t>(g.elements) * frame.array.element_bytes();
    const std::size_t size = fuzz::deviating(deviation, true_size);
    const std::size_t less = deviation == 4 ? 1 : 0;
    const fuzz::Memory out(size, 0);
    const Status status = fuzz::decode_twice(work, less, out.span(), [&](MutableBytes to, MutableBytes memory) {
        return bounded::decode(frame, 0, g.chunks, to, memory);
    });
    if (status != Status::ok || g.elements == 0) return;
    fuzz::require(size == true_size && less == 0, "decoded into the wrong room");
    const std::uint64_t cut = g.chunks / 2;
    const std::size_t split = static_cast<std::size_t>(bounded::chunk_start(g, cut)) * frame.array.element_bytes();
    const fuzz::Memory parts(size, 0xFF);
    fuzz::require(bounded::decode(frame, cut, g.chunks, parts.span().subspan(split), work.one.span()) == Status::ok &&
                      bounded::decode(frame, 0, cut, parts.span().first(split), work.one.span()) == Status::ok,
                  "chunks cannot be decoded alone");
    fuzz::require(fuzz::equal(parts.span(), out.span()), "chunks decode to something else alone");
}

// The bytes as floats: what is encoded decodes.
void encode(Bytes data) {
    static const fuzz::Workspaces decoding(bounded::decode_workspace());
    bounded::Array array;
    array.element = (data[0] & 1) != 0 ? bounded::Element::f64 : bounded::Element::f32;
    const auto bound = (data[0] & 2) != 0 ? bounded::Bound::relative : bounded::Bound::absolute;
    const double limits[] = {0.5, 1e-3, 1e-7, 1e-30};
    const double limit = limits[data[0] >> 2 & 3];
    const std::uint64_t row = data.size() > 1 ? data[1] % 32 + 1 : 1;
    const std::uint64_t rows = (data.size() - 1) / array.element_bytes() / row;
    array.rank = 2;
    array.dims[0] = rows;
    array.dims[1] = row;
    const Bytes values = data.subspan(1, static_cast<std::size_t>(rows * row) * array.element_bytes());
    const fuzz::Memory out(bounded::frame_bound(array), 0), work(bounded::encode_workspace(array), 0xA5);
    std::size_t written = 0;
    fuzz::require(bounded::encode(values, array, bound, limit, out.span(), work.span(), &written) == Status::ok,
                  "cannot encode");
    bounded::Frame frame;
    fuzz::require(bounded::open(out.span().first(written), &frame) == Status::ok, "cannot open");
    const fuzz::Memory back(values.size(), 0);
    fuzz::require(bounded::decode(frame, 0, frame.geometry.chunks, back.span(), decoding.one.span()) == Status::ok,
                  "cannot decode");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    if ((data[0] & 8) != 0) {
        encode({data, size});
    } else {
        decode({data, size});
    }
    return 0;
}
