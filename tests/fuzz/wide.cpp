// Any bytes as a stream of wide codes under each coding: refused, or the packed codes, twice the same, which then go
// there and back; and any bytes as packed codes, there and back.
#include "codings/wide.h"

#include "codings_fuzz.h"

namespace {

using namespace bitpress;

constexpr std::size_t most_codes = 4096;  // that go there and back

// Made once for each coding: what one input leaves in them is the next one's old memory.
struct Work {
    explicit Work(const Coding& with)
        : coder(with), encoding(wide_encode_workspace(with, most_codes)), decoding(with.decode_workspace) {}
    const Coding& coder;
    const fuzz::Workspaces encoding, decoding;
};

void there_and_back(const Work& work, Bytes packed, unsigned bits, std::size_t count) {
    const Coding& with = work.coder;
    const fuzz::Memory out(wide_bound(with, count), 0), again(wide_bound(with, count), 0xFF);
    std::size_t written = 0, rewritten = 0;
    fuzz::require(
        encode_wide(with, packed, bits, count, 64, out.span(), work.encoding.one.span(), &written) == Status::ok,
        "cannot encode");
    fuzz::require(
        encode_wide(with, packed, bits, count, 64, again.span(), work.encoding.other.span(), &rewritten) == Status::ok,
        "cannot encode again");
    fuzz::require(fuzz::equal(out.span().first(written), again.span().first(rewritten)), "depends on old memory");
    const fuzz::Memory back(packed.size(), 0xEE);
    fuzz::require(
        decode_wide(with, out.span().first(written), bits, count, back.span(), work.decoding.one.span()) == Status::ok,
        "cannot decode");
    fuzz::require(fuzz::equal(back.span(), packed), "the round trip changed the codes");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    static const Work works[] = {Work(huffman_coding), Work(rans_coding), Work(lzw_coding), Work(planes_coding)};
    const Work& work = works[data[0] & 3];
    const Coding& coder = work.coder;
    const unsigned bits = 9 + (data[0] >> 2 & 7);
    const Bytes in(data + 1, size - 1);
    const std::size_t codes = in.size() * 8 / bits / 8 * 8;
    if ((data[0] & 32) != 0 && size < most_codes) there_and_back(work, in.first(codes / 8 * bits), bits, codes);
    std::uint64_t claimed = 0;
    if (wide_count(coder, in, &claimed) != Status::ok || claimed > 1 << 16) return 0;
    const auto count = static_cast<std::size_t>(claimed);
    const fuzz::Memory out(packed_bytes(count, bits), 0);
    const Status status = fuzz::decode_twice(
        work.decoding, 0, out.span(),
        [&](MutableBytes to, MutableBytes workspace) { return decode_wide(coder, in, bits, count, to, workspace); });
    if (status == Status::ok && count < most_codes) there_and_back(work, out.span(), bits, count);
    return 0;
}
