#include "codings/packed.h"

#include "codings/bounded.h"
#include "codings/wide.h"
#include "kernels/kernels.h"

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

std::uint64_t up8(std::uint64_t size) noexcept { return (size + 7) / 8 * 8; }

bool all_below(Bytes codes, unsigned bits) noexcept {
    std::uint64_t seen = 0;
    std::size_t i = 0;
    for (; codes.size() - i >= 8; i += 8) seen |= load_le<std::uint64_t>(codes.data() + i);
    for (; i < codes.size(); ++i) seen |= codes[i];
    return (seen & ~(0x0101010101010101U * ((1U << bits) - 1U))) == 0;
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

std::uint64_t packed_workspace(const Coding& with, std::uint64_t count) noexcept {
    return up8(with.decode_workspace) + count;
}

Status decode_packed(const Coding& with, Bytes in, unsigned bits, std::uint64_t count, MutableBytes out,
                     MutableBytes workspace) noexcept {
    std::uint64_t claimed = 0;
    BP_TRY(with.decoded_size(in, &claimed));
    if (claimed != count) return Status::corrupt;
    if (workspace.size() < packed_workspace(with, count)) return Status::memory_too_small;
    const MutableBytes codes =
        workspace.subspan(static_cast<std::size_t>(up8(with.decode_workspace)), static_cast<std::size_t>(count));
    BP_TRY(with.decode(in, codes, workspace.first(with.decode_workspace)));
    if (!all_below(codes, bits)) return Status::corrupt;
    kernels()->pack_bits(codes.data(), codes.size(), bits, out.data());
    return Status::ok;
}

Status stored_claim(const Coding& with, Layout layout, Bytes in, std::uint64_t* claim) noexcept {
    if (layout == Layout::wide) return wide_count(with, in, claim);
    if (layout != Layout::bounded) return with.decoded_size(in, claim);
    bounded::Frame frame;
    BP_TRY(bounded::open(in, &frame));
    *claim = frame.geometry.elements * frame.array.element_bytes();
    return Status::ok;
}

std::uint64_t stored_workspace(const Coding& with, Layout layout, std::uint64_t claim) noexcept {
    switch (layout) {
        case Layout::plain:
        case Layout::wide: break;
        case Layout::codes: return packed_workspace(with, claim);
        case Layout::bounded: return with_bounded ? bounded::decode_workspace() : 0;
    }
    return with.decode_workspace;
}

Status decode_stored(const Coding& with, Layout layout, Bytes in, unsigned bits, std::uint64_t claim, MutableBytes out,
                     MutableBytes workspace) noexcept {
    switch (layout) {
        case Layout::plain: break;
        case Layout::codes: return decode_packed(with, in, bits, claim, out, workspace);
        case Layout::wide: return decode_wide(with, in, bits, claim, out, workspace);
        case Layout::bounded: return decode_bounded(in, out, workspace);
    }
    return with.decode(in, out, workspace);
}

}  // namespace bitpress
