// Any bytes as a .Z file. The first byte picks the flags' byte, or how the output deviates from the counted size.
#include "codings/lzw_z.h"

#include "codings_fuzz.h"

namespace {

using namespace bitpress;

void decode(Bytes file, std::uint8_t first) {
    const unsigned deviation = first & 7;
    static const fuzz::Workspaces work(lzw::z_decode_workspace), counting_work(lzw::z_decode_workspace);
    std::uint64_t counted = 0;
    const std::uint64_t limit = deviation == 5 ? 100 : fuzz::most_decoded(first);
    const Status counting = lzw::z_decoded_size(file, limit, counting_work.one.span(), &counted);
    const std::size_t size =
        fuzz::deviating(deviation, counting == Status::ok ? static_cast<std::size_t>(counted) : 300);
    const std::size_t less = deviation == 4 ? 1 : 0;
    const fuzz::Memory out(size, 0);
    const Status status = fuzz::decode_twice(
        work, less, out.span(), [&](MutableBytes to, MutableBytes memory) { return lzw::z_decode(file, to, memory); });
    const bool right = counting == Status::ok && size == counted && less == 0;
    // Beyond the limit nothing was counted: a size that was guessed may be right.
    if (counting != Status::too_large) fuzz::require((status == Status::ok) == right, "counting and decoding disagree");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    if (data[0] < 128) {
        decode({data + 1, size - 1}, data[0]);  // the header is the input's own
        return 0;
    }
    const std::size_t rest = size - 2;
    const fuzz::Memory file(3 + rest, 0);
    file.span()[0] = 0x1f;
    file.span()[1] = 0x9d;
    file.span()[2] = static_cast<std::uint8_t>((data[1] & 0x80) | (9 + data[1] % 8));
    if (rest > 0) std::memcpy(file.span().data() + 3, data + 2, rest);
    decode(file.span(), data[0]);
    return 0;
}
