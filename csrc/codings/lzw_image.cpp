#include "codings/lzw_image.h"

#include "codings/frame.h"

namespace bitpress::lzw {
namespace {

constexpr std::uint32_t image_words = 1u << image_max_bits;
constexpr std::uint32_t tiff_newest = 4093;  // libtiff's encoder and others' clear here
constexpr std::size_t block_bytes = 255;     // of a GIF's sub-block, at most
constexpr unsigned gif_min_size = 2, gif_max_size = 8;

Rules image_rules(unsigned literal_bits) noexcept {
    Rules rules;
    rules.literals = rules.clear = 1u << literal_bits;
    rules.end = rules.clear + 1;
    rules.first = rules.clear + 2;
    rules.last = image_words;
    rules.min_width = literal_bits + 1;
    rules.max_width = image_max_bits;
    return rules;
}

// clear_at: the newest word after which a clear is written. Bytes are below rules.literals.
template <bool high_first>
std::uint8_t* encode_codes(const Rules& rules, std::uint32_t clear_at, Bytes in, std::uint8_t* out,
                           EncodeDictionary& dictionary) noexcept {
    CodeWriter<high_first> writer(out);
    std::uint32_t newest = rules.first - 1;
    unsigned width = rules.min_width;
    writer.put(rules.clear, width);
    dictionary.clear(rules.last);
    std::uint32_t string = in.empty() ? 0 : dictionary.id(in[0]);
    for (std::size_t i = 1; i < in.size(); ++i) {
        EncodeDictionary::Place place;
        if (dictionary.extend(&string, in[i], &place)) continue;
        writer.put(dictionary.word(string), width);
        writer.flush();
        dictionary.insert(place, ++newest);
        if (rules.wider(newest, width)) ++width;
        if (newest == clear_at) {
            writer.put(rules.clear, width);
            writer.flush();
            newest = rules.first - 1;
            width = rules.min_width;
            dictionary.clear(rules.last);
        }
        string = dictionary.id(in[i]);
    }
    if (!in.empty()) {
        writer.put(dictionary.word(string), width);
        if (rules.wider(++newest, width)) ++width;
    }
    writer.put(rules.end, width);
    return writer.finish();
}

// Bits of n bytes: each at most a code, each clear after more than 3800 codes, a clear and an end.
std::size_t codes_bound(std::size_t n) noexcept { return (n + n / 3800 + 3) / 2 * 3 + 3 + code_slack; }

// A GIF's codes go to the end of out and are moved down, a sub-block at a time.
MutableBytes gif_codes(std::size_t n, MutableBytes out) noexcept { return out.last(codes_bound(n)); }

// Returns how many bytes there are of the whole.
std::size_t put_blocks(unsigned min_code_size, Bytes codes, MutableBytes out) noexcept {
    std::uint8_t* to = out.data();
    *to++ = static_cast<std::uint8_t>(min_code_size);
    while (!codes.empty()) {
        const std::size_t size = codes.size() < block_bytes ? codes.size() : block_bytes;
        *to++ = static_cast<std::uint8_t>(size);
        std::memmove(to, codes.data(), size);
        to += size;
        codes = codes.subspan(size);
    }
    *to++ = 0;
    return static_cast<std::size_t>(to - out.data());
}

bool has_pixels(Bytes in, unsigned bits) noexcept {
    std::uint8_t all = 0;
    for (const std::uint8_t byte : in) all |= byte;
    return all >> bits == 0;
}

// Each worker has a run of pieces and lanes of its own.
Status encode_pieces(const Workers& workers, const Rules& rules, std::uint32_t clear_at, std::span<Piece> pieces,
                     MutableBytes workspace) noexcept {
    BP_TRY(check_encode(0, {}, {}, workspace, workers_need(image_lanes_workspace, workers)));
    const unsigned parts = part_count(workers, pieces.size());
    each_part(workers, parts, [&](unsigned i) noexcept {
        const auto begin = static_cast<std::size_t>(part_begin(pieces.size(), parts, i));
        const auto end = static_cast<std::size_t>(part_begin(pieces.size(), parts, i + 1));
        auto* const lanes = reinterpret_cast<Lane*>(workspace.data() + i * worker_stride(image_lanes_workspace));
        encode_lanes(rules, clear_at, pieces.data() + begin, end - begin, lanes);
    });
    return Status::ok;
}

}  // namespace

Rules tiff_rules(Bytes in) noexcept {
    Rules rules = image_rules(8);
    const bool old = in.size() >= 2 && in[0] == 0 && (in[1] & 1) != 0;
    rules.high_first = !old;
    rules.early = old ? 0 : 1;
    return rules;
}

Rules gif_rules(unsigned min_code_size) noexcept { return image_rules(min_code_size); }

Status gif_open(Bytes in, MutableBytes joined, Gif* gif) noexcept {
    if (in.empty()) return Status::truncated;
    if (in[0] < gif_min_size || in[0] > gif_max_size) return Status::corrupt;
    if (joined.size() < in.size()) return Status::memory_too_small;
    std::size_t total = 0;
    for (std::size_t at = 1;;) {
        if (at == in.size()) return Status::truncated;
        const std::size_t size = in[at++];
        if (size == 0) {
            *gif = {in[0], joined.first(total)};
            return at == in.size() ? Status::ok : Status::corrupt;
        }
        if (size > in.size() - at) return Status::truncated;
        std::memcpy(joined.data() + total, in.data() + at, size);
        total += size;
        at += size;
    }
}

Status image_decoded_size(const Rules& rules, Bytes codes, std::uint64_t limit, MutableBytes workspace,
                          std::uint64_t* size) noexcept {
    BP_TRY(check_decode(0, {}, workspace, image_decode_workspace));
    Decoded result;
    BP_TRY(count_codes(rules, codes, limit, *reinterpret_cast<DecodeDictionary*>(workspace.data()), &result));
    *size = result.bytes;
    return result.ended ? Status::ok : Status::truncated;
}

Status image_decode(const Rules& rules, Bytes codes, MutableBytes out, MutableBytes workspace) noexcept {
    BP_TRY(check_decode(out.size(), out, workspace, image_decode_workspace));
    Decoded result;
    DecodeDictionary& dictionary = *reinterpret_cast<DecodeDictionary*>(workspace.data());
    BP_TRY(decode_codes(rules, codes, out, Room::clipped, dictionary, &result));
    return result.bytes == out.size() ? Status::ok : Status::truncated;
}

std::size_t tiff_bound(std::size_t n) noexcept { return codes_bound(n); }

std::size_t gif_bound(std::size_t n) noexcept {
    const std::size_t bytes = codes_bound(n);
    return 1 + bytes + bytes / block_bytes + 2;
}

Status tiff_encode(Bytes in, MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept {
    BP_TRY(check_encode(tiff_bound(in.size()), in, out, workspace, image_encode_workspace));
    EncodeDictionary& dictionary = *reinterpret_cast<EncodeDictionary*>(workspace.data());
    const std::uint8_t* const end = encode_codes<true>(tiff_rules({}), tiff_newest, in, out.data(), dictionary);
    *written = static_cast<std::size_t>(end - out.data());
    return Status::ok;
}

Status gif_encode(Bytes in, unsigned min_code_size, MutableBytes out, MutableBytes workspace,
                  std::size_t* written) noexcept {
    if (min_code_size < gif_min_size || min_code_size > gif_max_size) return Status::bad_argument;
    BP_TRY(check_encode(gif_bound(in.size()), in, out, workspace, image_encode_workspace));
    if (!has_pixels(in, min_code_size)) return Status::bad_argument;
    const MutableBytes codes = gif_codes(in.size(), out);
    EncodeDictionary& dictionary = *reinterpret_cast<EncodeDictionary*>(workspace.data());
    const std::uint8_t* const end =
        encode_codes<false>(gif_rules(min_code_size), image_words - 1, in, codes.data(), dictionary);
    *written = put_blocks(min_code_size, codes.first(static_cast<std::size_t>(end - codes.data())), out);
    return Status::ok;
}

Status tiff_encode_many(const Workers& workers, std::span<Piece> pieces, MutableBytes workspace) noexcept {
    for (Piece& piece : pieces) {
        BP_TRY(check_encode(tiff_bound(piece.in.size()), piece.in, piece.out, {}, 0));
        piece.codes = piece.out;
    }
    return encode_pieces(workers, tiff_rules({}), tiff_newest, pieces, workspace);
}

Status gif_encode_many(const Workers& workers, unsigned min_code_size, std::span<Piece> pieces,
                       MutableBytes workspace) noexcept {
    if (min_code_size < gif_min_size || min_code_size > gif_max_size) return Status::bad_argument;
    for (Piece& piece : pieces) {
        BP_TRY(check_encode(gif_bound(piece.in.size()), piece.in, piece.out, {}, 0));
        if (!has_pixels(piece.in, min_code_size)) return Status::bad_argument;
        piece.codes = gif_codes(piece.in.size(), piece.out);
    }
    BP_TRY(encode_pieces(workers, gif_rules(min_code_size), image_words - 1, pieces, workspace));
    for (Piece& piece : pieces) {
        piece.written = put_blocks(min_code_size, piece.codes.first(piece.written), piece.out);
    }
    return Status::ok;
}

}  // namespace bitpress::lzw
