// Data made from the input go through every coding and LZW's framings, and come back; sizes keep to the stated bounds.
#include <map>

#include "codings/lzw_image.h"
#include "codings/lzw_z.h"
#include "codings/rans.h"

#include "codings_fuzz.h"

namespace {

using namespace bitpress;

// One pair of each size.
const fuzz::Workspaces& workspaces(std::size_t size) {
    static std::map<std::size_t, fuzz::Workspaces> made;
    return made.try_emplace(size, size).first->second;
}

void through(const Coding& coder, Bytes data) {
    const fuzz::Workspaces& encoding = workspaces(coder.encode_workspace);
    const fuzz::Workspaces& decoding = workspaces(coder.decode_workspace);
    const std::size_t bound = coder.bound(data.size());
    const fuzz::Memory out(bound, 0);
    std::size_t written = 0;
    fuzz::require(coder.encode(data, out.span(), encoding.one.span(), &written) == Status::ok, "cannot encode");
    fuzz::require(written <= bound && written <= data.size() + 8 + 3 * (data.size() / 4096 + 1),
                  "longer than it may be");
    const Bytes frame = out.span().first(written);
    const fuzz::Memory again(bound, 0xFF);
    std::size_t written_again = 0;
    const MutableBytes their_work = workspaces(workers_need(coder.encode_workspace, fuzz::several)).other.span();
    fuzz::require(coder.encode_by(fuzz::several, data, again.span(), their_work, &written_again) == Status::ok,
                  "cannot encode");
    fuzz::require(fuzz::equal(frame, again.span().first(written_again)),
                  "the frame depends on old memory or on how many workers there are");
    std::uint64_t size = 0;
    fuzz::require(coder.decoded_size(frame, &size) == Status::ok && size == data.size(), "a wrong size");
    const fuzz::Memory back(data.size(), 0xEE);
    fuzz::require(coder.decode(frame, back.span(), decoding.one.span()) == Status::ok, "cannot decode");
    fuzz::require(fuzz::equal(back.span(), data), "the round trip changed the data");
}

// Rows give another frame of the same data, never a longer one.
void through_rows(Bytes data, std::size_t row) {
    const fuzz::Workspaces& encoding = workspaces(rans_coding.encode_workspace);
    const fuzz::Memory plain(rans_coding.bound(data.size()), 0), out(rans_coding.bound(data.size()), 0xFF);
    std::size_t without = 0, with = 0;
    fuzz::require(rans_coding.encode(data, plain.span(), encoding.one.span(), &without) == Status::ok, "cannot encode");
    fuzz::require(rans_encode(one_worker, row, data, out.span(), encoding.other.span(), &with) == Status::ok,
                  "cannot encode rows");
    fuzz::require(with <= without + 8, "longer with rows");
    const fuzz::Memory back(data.size(), 0xEE);
    const MutableBytes work = workspaces(rans_coding.decode_workspace).one.span();
    fuzz::require(rans_coding.decode(out.span().first(with), back.span(), work) == Status::ok, "cannot decode rows");
    fuzz::require(fuzz::equal(back.span(), data), "rows changed the data");
}

void through_z(Bytes data, unsigned bits) {
    const fuzz::Memory out(lzw::z_bound(data.size()), 0);
    const MutableBytes work = workspaces(lzw::z_encode_workspace).one.span();
    std::size_t written = 0;
    fuzz::require(lzw::z_encode(data, bits, out.span(), work, &written) == Status::ok, "cannot encode");
    const Bytes file = out.span().first(written);
    const fuzz::Memory back(data.size(), 0xEE);
    const MutableBytes back_work = workspaces(lzw::z_decode_workspace).one.span();
    std::uint64_t size = 0;
    fuzz::require(lzw::z_decoded_size(file, data.size(), back_work, &size) == Status::ok, "cannot count");
    fuzz::require(size == data.size(), "a wrong size");
    fuzz::require(lzw::z_decode(file, back.span(), back_work) == Status::ok, "cannot decode");
    fuzz::require(fuzz::equal(back.span(), data), "the round trip changed the data");
}

// bits: of a GIF's pixel; 0: TIFF.
void through_image(Bytes data, unsigned bits) {
    const fuzz::Memory pixels(data.size(), 0), joined(lzw::gif_bound(data.size()), 0);
    for (std::size_t i = 0; i < data.size(); ++i) {
        pixels.span()[i] = static_cast<std::uint8_t>(data[i] & (bits == 0 ? 255 : (1u << bits) - 1));
    }
    const fuzz::Memory out(bits == 0 ? lzw::tiff_bound(data.size()) : lzw::gif_bound(data.size()), 0);
    const MutableBytes work = workspaces(lzw::image_encode_workspace).one.span();
    std::size_t written = 0;
    const Status status = bits == 0 ? lzw::tiff_encode(pixels.span(), out.span(), work, &written)
                                    : lzw::gif_encode(pixels.span(), bits, out.span(), work, &written);
    fuzz::require(status == Status::ok, "cannot encode");
    lzw::Gif gif;
    gif.codes = out.span().first(written);
    if (bits != 0) {
        fuzz::require(lzw::gif_open(gif.codes, joined.span(), &gif) == Status::ok, "cannot open");
        fuzz::require(gif.min_code_size == bits, "another code size");
    }
    const lzw::Rules rules = bits == 0 ? lzw::tiff_rules(gif.codes) : lzw::gif_rules(bits);
    const MutableBytes back_work = workspaces(lzw::image_decode_workspace).one.span();
    std::uint64_t size = 0;
    fuzz::require(lzw::image_decoded_size(rules, gif.codes, data.size(), back_work, &size) == Status::ok,
                  "cannot count");
    fuzz::require(size == data.size(), "a wrong size");
    const fuzz::Memory back(data.size(), 0xEE);
    fuzz::require(lzw::image_decode(rules, gif.codes, back.span(), back_work) == Status::ok, "cannot decode");
    fuzz::require(fuzz::equal(back.span(), pixels.span()), "the round trip changed the data");
}

}  // namespace

// Byte 0: which coding, which width of .Z, or which image; byte 1: how many times the rest is repeated, each time with
// another byte added to it, and over which alphabet.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    const std::size_t rest = size - 2;
    const std::size_t repeats = std::size_t{1} << (data[1] & 7);
    const std::uint8_t mask = static_cast<std::uint8_t>(0xFF >> (data[1] >> 5));
    const fuzz::Memory expanded(rest * repeats, 0);
    for (std::size_t i = 0; i < rest * repeats; ++i) {
        const std::size_t shift = (data[1] & 8) != 0 ? i / rest * 3 : 0;
        expanded.span()[i] = static_cast<std::uint8_t>((data[2 + i % rest] + shift) & mask);
    }
    const auto all = codings();
    const std::size_t which = data[0] % (all.size() + 16);
    if (which < all.size()) {
        through(*all[which], expanded.span());
        if (all[which]->id == CodingId::rans) through_rows(expanded.span(), 1 + data[1] * rest / 64);
    } else if (which < all.size() + 8) {
        through_z(expanded.span(), static_cast<unsigned>(lzw::min_bits + which - all.size()));
    } else {
        const unsigned bits = static_cast<unsigned>(which - all.size() - 8);
        through_image(expanded.span(), bits < 7 ? bits + 2 : 0);
    }
    return 0;
}
