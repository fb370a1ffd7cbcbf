// Any bytes as a strip of a TIFF or the image data of a GIF. The first byte picks which, and how the output's size
// deviates from the counted one; counting and decoding agree.
#include "codings/lzw_image.h"

#include "codings_fuzz.h"

namespace {

using namespace bitpress;

void decode(const lzw::Rules& rules, Bytes codes, std::uint8_t first) {
    static const fuzz::Workspaces work(lzw::image_decode_workspace), counting_work(lzw::image_decode_workspace);
    const unsigned deviation = first & 7;
    std::uint64_t counted = 0;
    const std::uint64_t limit = deviation == 5 ? 100 : fuzz::most_decoded(first);
    const Status counting = lzw::image_decoded_size(rules, codes, limit, counting_work.one.span(), &counted);
    const std::size_t size =
        fuzz::deviating(deviation, counting == Status::ok ? static_cast<std::size_t>(counted) : 300);
    const std::size_t less = deviation == 4 ? 1 : 0;
    const fuzz::Memory out(size, 0);
    const Status status = fuzz::decode_twice(work, less, out.span(), [&](MutableBytes to, MutableBytes memory) {
        return lzw::image_decode(rules, codes, to, memory);
    });
    if (counting == Status::ok) {
        fuzz::require((status == Status::ok) == (size <= counted && less == 0), "counting and decoding disagree");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) return 0;
    const Bytes rest(data + 1, size - 1);
    if ((data[0] & 8) == 0) {
        decode(lzw::tiff_rules(rest), rest, data[0]);
        return 0;
    }
    if ((data[0] & 16) == 0) {  // the codes without sub-blocks, so that they are many
        decode(lzw::gif_rules(2 + data[0] % 7), rest, data[0]);
        return 0;
    }
    const fuzz::Memory joined(rest.size(), 0);
    lzw::Gif gif;
    if (lzw::gif_open(rest, joined.span(), &gif) != Status::ok) return 0;
    decode(lzw::gif_rules(gif.min_code_size), gif.codes, data[0]);
    return 0;
}
