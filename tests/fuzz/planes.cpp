// Any bytes as a frame of planes; then the same bytes as elements of a kind that the first one picks, there and back.
#include "codings/planes.h"

#include "codings_fuzz.h"

namespace {

using namespace bitpress;

void there_and_back(Bytes data) {
    static const fuzz::Workspaces encoding(planes_coding.encode_workspace);
    static const fuzz::Workspaces decoding(planes_coding.decode_workspace);
    const auto kind = static_cast<PlaneKind>(data[0] % plane_kinds);
    const Bytes elements = data.subspan(1, (data.size() - 1) / plane_count(kind) * plane_count(kind));
    const fuzz::Memory out(planes_bound(kind, elements.size()), 0);
    std::size_t written = 0;
    fuzz::require(planes_encode(one_worker, kind, elements, out.span(), encoding.one.span(), &written) == Status::ok,
                  "cannot encode");
    fuzz::require(written <= elements.size() + 8 + 3 * plane_count(kind), "longer than it may be");
    const fuzz::Memory back(elements.size(), 0xEE);
    fuzz::require(planes_coding.decode(out.span().first(written), back.span(), decoding.one.span()) == Status::ok,
                  "cannot decode");
    fuzz::require(fuzz::equal(back.span(), elements), "the round trip changed the elements");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::decode_frame(planes_coding, {data, size});
    if (size > 0 && size < 65536) there_and_back({data, size});
    return 0;
}
