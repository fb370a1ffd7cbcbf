// Any bytes as a stream of wide codes under each coding: refused, or the packed codes, twice the same.
#include "codings/wide.h"

#include "codings_fuzz.h"
#include "frame_mutator.h"

namespace {

using namespace bitpress;

constexpr std::size_t before = 2;  // bytes of the fuzzer's own: the coding and the codes' bits, how much there may be
constexpr std::size_t head_bytes = 3;   // of a stream
constexpr std::size_t entry_bytes = 3;  // of a block

const Coding& coding_of(std::uint8_t first) {
    const Coding* const all[] = {&huffman_coding, &rans_coding, &lzw_coding, &planes_coding};
    return *all[first & 3];
}

// The size of the frame and, where there is one block, of its raw bits are set right.
void repair(const Coding& coder, MutableBytes stream) {
    if (stream.size() < head_bytes) return;
    std::uint64_t size = 0;
    std::size_t used = 0;
    const MutableBytes in = stream.subspan(head_bytes);
    if (read_varint(in, frame_max_decoded, &size, &used) != Status::ok) return;
    if (size > in.size() - used) return;
    const MutableBytes frame = in.subspan(used, static_cast<std::size_t>(size));
    if (coder.id == CodingId::planes) {
        fuzz::repair_planes(frame);
    } else {
        fuzz::repair_frame(coder.id, frame);
    }
    const MutableBytes rest = in.subspan(used + frame.size());
    if (rest.size() < entry_bytes) return;
    const std::size_t raw = rest.size() - entry_bytes;
    for (unsigned i = 0; i < entry_bytes; ++i) rest[i] = static_cast<std::uint8_t>(raw >> 8 * i);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::Workspaces works[] = {
        fuzz::Workspaces(coding_of(0).decode_workspace), fuzz::Workspaces(coding_of(1).decode_workspace),
        fuzz::Workspaces(coding_of(2).decode_workspace), fuzz::Workspaces(coding_of(3).decode_workspace)};
    if (size < before) return 0;
    const Coding& coder = coding_of(data[0]);
    const unsigned bits = wide_min_bits + (data[0] >> 2 & 7);
    const Bytes in(data + before, size - before);
    std::uint64_t claimed = 0;
    if (wide_count(coder, in, &claimed) != Status::ok || claimed > fuzz::most_decoded(data[1])) return 0;
    const auto count = static_cast<std::size_t>(claimed);
    const std::size_t right = static_cast<std::size_t>(packed_bytes(count, bits));
    const std::size_t out_bytes = fuzz::deviating(data[1] & 7, right);
    const fuzz::Memory out(out_bytes, 0);
    const Status status = fuzz::decode_twice(
        works[data[0] & 3], 0, out.span(),
        [&](MutableBytes to, MutableBytes workspace) { return decode_wide(coder, in, bits, count, to, workspace); });
    if (status == Status::ok) fuzz::require(out_bytes == right, "decoded into the wrong room");
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    const std::size_t changed = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8 != 0 && changed > before) repair(coding_of(data[0]), {data + before, changed - before});
    return changed;
}
