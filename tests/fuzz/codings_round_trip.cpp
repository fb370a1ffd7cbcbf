// Data made from the input go through every coding and LZW's framings, and come back; sizes keep to the stated bounds.
#include <map>

#include "codings/bounded.h"
#include "codings/encode_rows.h"
#include "codings/lzw_image.h"
#include "codings/lzw_z.h"
#include "codings/planes.h"
#include "codings/wide.h"

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
void through_rows(const Coding& coder, Bytes data, std::size_t row) {
    const fuzz::Workspaces& encoding = workspaces(coder.encode_workspace);
    const fuzz::Memory plain(coder.bound(data.size()), 0), out(coder.bound(data.size()), 0xFF);
    std::size_t without = 0, with = 0;
    fuzz::require(coder.encode(data, plain.span(), encoding.one.span(), &without) == Status::ok, "cannot encode");
    fuzz::require(encode_rows(coder, one_worker, row, data, out.span(), encoding.other.span(), &with) == Status::ok,
                  "cannot encode rows");
    fuzz::require(with <= without + 8, "longer with rows");
    const fuzz::Memory back(data.size(), 0xEE);
    const MutableBytes work = workspaces(coder.decode_workspace).one.span();
    fuzz::require(coder.decode(out.span().first(with), back.span(), work) == Status::ok, "cannot decode rows");
    fuzz::require(fuzz::equal(back.span(), data), "rows changed the data");
}

// Elements of a kind that the bytes alone do not tell.
void through_planes(Bytes data, PlaneKind kind) {
    const Bytes elements = data.first(data.size() / plane_count(kind) * plane_count(kind));
    const fuzz::Memory out(planes_bound(kind, elements.size()), 0), back(elements.size(), 0xEE);
    const MutableBytes work = workspaces(planes_coding.encode_workspace).one.span();
    std::size_t written = 0;
    fuzz::require(planes_encode(one_worker, kind, elements, out.span(), work, &written) == Status::ok, "cannot encode");
    const std::size_t entries = 3 * plane_count(kind) * (elements.size() / (std::size_t{1} << 18) + 1);
    fuzz::require(written <= elements.size() + 8 + entries, "longer than it may be");
    const MutableBytes back_work = workspaces(planes_coding.decode_workspace).one.span();
    fuzz::require(planes_coding.decode(out.span().first(written), back.span(), back_work) == Status::ok,
                  "cannot decode");
    fuzz::require(fuzz::equal(back.span(), elements), "the round trip changed the elements");
}

// The bytes as packed codes of 9 to 16 bits.
void through_wide(const Coding& with, Bytes data, unsigned bits, std::size_t row) {
    const std::size_t count = data.size() / bits * 8;
    const Bytes packed = data.first(count / 8 * bits);
    const fuzz::Memory out(wide_bound(with, count), 0), again(wide_bound(with, count), 0xFF);
    const fuzz::Memory work(wide_encode_workspace(with), 0), other(wide_encode_workspace(with), 0xA5);
    std::size_t written = 0, rewritten = 0;
    fuzz::require(encode_wide(with, packed, bits, count, row, out.span(), work.span(), &written) == Status::ok &&
                      encode_wide(with, packed, bits, count, row, again.span(), other.span(), &rewritten) == Status::ok,
                  "cannot encode");
    const Bytes stream = out.span().first(written);
    fuzz::require(fuzz::equal(stream, again.span().first(rewritten)), "depends on old memory");
    const fuzz::Memory back(packed.size(), 0xEE);
    const MutableBytes back_work = workspaces(with.decode_workspace).one.span();
    fuzz::require(decode_wide(with, stream, bits, count, back.span(), back_work) == Status::ok, "cannot decode");
    fuzz::require(fuzz::equal(back.span(), packed), "the round trip changed the codes");
}

// The bytes as floats in rows of 1 to 32: what is encoded decodes. `how` picks the bound.
void through_bounded(Bytes data, bounded::Element element, unsigned how) {
    bounded::Array array;
    array.element = element;
    array.rank = 2;
    array.dims[1] = how % 32 + 1;
    array.dims[0] = data.size() / array.element_bytes() / array.dims[1];
    const auto bound = static_cast<bounded::Bound>(how >> 5 & 1);
    const double limits[] = {0.5, 1e-3, 1e-7, 1e-30};
    const auto bytes = static_cast<std::size_t>(array.dims[0] * array.dims[1]) * array.element_bytes();
    const fuzz::Memory out(bounded::frame_bound(array), 0), work(bounded::encode_workspace(array), 0xA5);
    std::size_t written = 0;
    fuzz::require(bounded::encode(one_worker, data.first(bytes), array, bound, limits[how >> 6 & 3], out.span(),
                                  work.span(), &written) == Status::ok,
                  "cannot encode");
    bounded::Frame frame;
    fuzz::require(bounded::open(out.span().first(written), &frame) == Status::ok, "cannot open");
    const fuzz::Memory back(bytes, 0);
    const MutableBytes back_work = workspaces(bounded::decode_workspace()).one.span();
    fuzz::require(bounded::decode(frame, 0, frame.geometry.chunks, back.span(), back_work) == Status::ok,
                  "cannot decode");
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

// Data go through coding number `which`, then .Z of each width, images of each, planes of each kind, wide codes under
// each coding, floats of both sizes.
void through(unsigned which, unsigned how, Bytes data) {
    const auto all = codings();
    const auto codings = static_cast<unsigned>(all.size());
    const unsigned ends[] = {codings, codings + 8, codings + 16, codings + 16 + plane_kinds,
                             2 * codings + 16 + plane_kinds};
    which %= ends[4] + 2;
    if (which < ends[0]) {
        through(*all[which], data);
        through_rows(*all[which], data, 1 + how * data.size() / 4096);
    } else if (which < ends[1]) {
        through_z(data, static_cast<unsigned>(lzw::min_bits) + which - ends[0]);
    } else if (which < ends[2]) {
        const unsigned bits = which - ends[1];
        through_image(data, bits < 7 ? bits + 2 : 0);
    } else if (which < ends[3]) {
        through_planes(data, static_cast<PlaneKind>(which - ends[2]));
    } else if (which < ends[4]) {
        through_wide(*all[which - ends[3]], data, wide_min_bits + how % 8, how);
    } else {
        through_bounded(data, static_cast<bounded::Element>(which - ends[4]), how);
    }
}

}  // namespace

// Byte 0: what the data go through; byte 1: how, and how many times the rest is repeated, each time with another byte
// added to it, and over which alphabet.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 2) return 0;
    constexpr std::size_t most = std::size_t{1} << 16;
    const std::size_t rest = size - 2 < most ? size - 2 : most;
    std::size_t repeats = std::size_t{1} << (data[1] & 7);
    while (rest * repeats > most) repeats /= 2;
    const std::uint8_t mask = static_cast<std::uint8_t>(0xFF >> (data[1] >> 5));
    const fuzz::Memory expanded(rest * repeats, 0);
    for (std::size_t i = 0; i < rest * repeats; ++i) {
        const std::size_t shift = (data[1] & 8) != 0 ? i / rest * 3 : 0;
        expanded.span()[i] = static_cast<std::uint8_t>((data[2 + i % rest] + shift) & mask);
    }
    through(data[0], data[1], expanded.span());
    return 0;
}
