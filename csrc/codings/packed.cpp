#include "codings/packed.h"

#include "codings/bounded.h"
#include "codings/wide.h"

#ifndef BITPRESS_CHOSEN_CODINGS
#define BITPRESS_CHOSEN_CODINGS "codings/codings.def"
#endif

namespace bitpress {
namespace {

// A library without rANS has no use for bounded frames either, and does not link their decoder.
constexpr CodingId chosen[] = {
#define BP_CODING(name, number) CodingId::name,
#include BITPRESS_CHOSEN_CODINGS
#undef BP_CODING
};
constexpr bool has_rans() noexcept {
    for (const CodingId id : chosen) {
        if (id == CodingId::rans) return true;
    }
    return false;
}
constexpr bool with_bounded = has_rans();

// A frame of another length, or that holds a byte of 2^bits or more, is corrupt.
Status decode_packed(const Coding& with, Bytes in, unsigned bits, std::uint64_t count, MutableBytes out,
                     MutableBytes workspace) noexcept {
    std::uint64_t claimed = 0;
    BP_TRY(with.decoded_size(in, &claimed));
    if (with.decode_codes == nullptr || claimed != count) return Status::corrupt;
    return with.decode_codes(bits, in, out, workspace);
}

Status decode_bounded(Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    if constexpr (with_bounded) {
        bounded::Frame frame;
        BP_TRY(bounded::open(in, &frame));
        return bounded::decode(frame, 0, frame.geometry.chunks, out, workspace);
    }
    return Status::unsupported;
}

}  // namespace

Status stored_claim(const Coding& with, Layout layout, Bytes in, std::uint64_t* claim) noexcept {
    if (layout == Layout::wide) return wide_count(with, in, claim);
    if (layout != Layout::bounded) return with.decoded_size(in, claim);
    bounded::Frame frame;
    BP_TRY(bounded::open(in, &frame));
    *claim = frame.geometry.elements * frame.array.element_bytes();
    return Status::ok;
}

std::uint64_t stored_workspace(const Coding& with, Layout layout) noexcept {
    if (layout == Layout::bounded) return with_bounded ? bounded::decode_workspace() : 0;
    return with.decode_workspace;
}

Status decode_stored(const Coding& with, Layout layout, Bytes in, unsigned bits, std::uint64_t claim, MutableBytes out,
                     MutableBytes workspace) noexcept {
    switch (layout) {
        case Layout::plain:
        case Layout::row_panels:
        case Layout::column_panels: break;
        case Layout::codes: return decode_packed(with, in, bits, claim, out, workspace);
        case Layout::wide: return decode_wide(with, in, bits, claim, out, workspace);
        case Layout::bounded: return decode_bounded(in, out, workspace);
    }
    return with.decode(in, out, workspace);
}

}  // namespace bitpress
