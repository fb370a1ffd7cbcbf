#include "codings/wide.h"

#include "codings/frame.h"

namespace bitpress {
namespace {

constexpr std::size_t head_bytes = 3;  // split, middle
constexpr std::size_t block = std::size_t{1} << wide_block_log;
constexpr std::size_t entry_bytes = 3;
constexpr std::size_t piece = 1024;  // codes that are joined and packed at a time; a multiple of 8

std::uint64_t blocks_of(std::uint64_t count) noexcept { return (count >> wide_block_log) + (count % block != 0); }

// A stream, its parts told apart.
struct Parts {
    unsigned split = 0;
    unsigned middle = 0;
    Bytes frame;
    Bytes rest;  // the table of raw bytes, then they
};

Status open_parts(Bytes in, Parts* parts) noexcept {
    if (in.size() < head_bytes + 1) return Status::truncated;
    parts->split = in[0];
    if (parts->split < 1 || parts->split > wide_max_split) return Status::corrupt;
    parts->middle = load_le<std::uint16_t>(in.data() + 1);
    in = in.subspan(head_bytes);
    std::uint64_t size = 0;
    std::size_t used = 0;
    BP_TRY(read_varint(in, frame_max_decoded, &size, &used));
    in = in.subspan(used);
    if (size > in.size()) return Status::truncated;
    parts->frame = in.first(static_cast<std::size_t>(size));
    parts->rest = in.subspan(static_cast<std::size_t>(size));
    return Status::ok;
}

bool all_below(Bytes symbols, unsigned limit) noexcept {
    // A byte that is `limit` (128 to 200) or more has its highest bit, and carries into it when the rest is added.
    const std::uint64_t ones = 0x0101010101010101U;
    std::uint64_t seen = 0;
    for (; symbols.size() >= 8; symbols = symbols.subspan(8)) {
        const auto eight = load_le<std::uint64_t>(symbols.data());
        seen |= eight & ((eight & ones * 127) + ones * (256 - limit));
    }
    bool below = (seen & ones * 128) == 0;
    for (const std::uint8_t symbol : symbols) below = below && symbol < limit;
    return below;
}

// The codes of one block, whose raw bits are `raw` exactly, packed at out.
Status join_block(const WideTable& table, unsigned bits, Bytes symbols, Bytes raw, std::uint8_t* out) noexcept {
    const Kernels& k = *kernels();
    std::uint16_t codes[piece];
    std::size_t position = 0;
    while (!symbols.empty()) {
        const std::size_t n = symbols.size() < piece ? symbols.size() : piece;
        position = k.join_wide(&table, symbols.data(), n, raw.data(), raw.size(), position, codes);
        k.pack_wide(codes, n, bits, out);
        out += n / 8 * bits;
        symbols = symbols.subspan(n);
    }
    if (position == 0) return raw.empty() ? Status::ok : Status::corrupt;
    if (position > 8 * raw.size()) return Status::truncated;
    const bool whole = (position + 7) / 8 == raw.size();
    return whole && (position % 8 == 0 || raw.back() >> position % 8 == 0) ? Status::ok : Status::corrupt;
}

}  // namespace

void make_wide_table(unsigned bits, unsigned middle, unsigned split, WideTable* table) noexcept {
    *table = WideTable{};
    table->middle = static_cast<std::uint16_t>(middle);
    table->most = static_cast<std::uint16_t>((1U << bits) - 1U);
    table->split = split;
    for (unsigned s = 0; s < wide_direct; ++s) table->base[s] = static_cast<std::uint16_t>(s);
    for (unsigned s = wide_direct; s < wide_symbols(bits, split); ++s) {
        const unsigned log = 7 + ((s - wide_direct) >> split);  // of the values' highest bit
        const unsigned part = (s - wide_direct) & ((1U << split) - 1U);
        table->base[s] = static_cast<std::uint16_t>((1U << log) + (part << (log - split)));
        table->raw[s] = static_cast<std::uint16_t>((1U << (log - split)) - 1U);
    }
}

Status wide_count(const Coding& with, Bytes in, std::uint64_t* count) noexcept {
    Parts parts;
    BP_TRY(open_parts(in, &parts));
    return with.decoded_size(parts.frame, count);
}

Status decode_wide(const Coding& with, Bytes in, unsigned bits, std::uint64_t count, MutableBytes out,
                   MutableBytes workspace) noexcept {
    if (bits < wide_min_bits || bits > wide_max_bits) return Status::bad_argument;
    Parts parts;
    BP_TRY(open_parts(in, &parts));
    std::uint64_t claimed = 0;
    BP_TRY(with.decoded_size(parts.frame, &claimed));
    if (claimed != count || parts.middle >> bits != 0) return Status::corrupt;
    if (out.size() != packed_bytes(count, bits)) return Status::bad_argument;
    if (blocks_of(count) > parts.rest.size() / entry_bytes) return Status::truncated;
    // The symbols stand at the end of out and are packed from its front: a code takes more than a byte, so that there
    // is always room for those that are left.
    MutableBytes symbols = out.last(static_cast<std::size_t>(count));
    BP_TRY(with.decode(parts.frame, symbols, workspace));
    if (!all_below(symbols, wide_symbols(bits, parts.split))) return Status::corrupt;
    WideTable table;
    make_wide_table(bits, parts.middle, parts.split, &table);
    const std::uint8_t* entry = parts.rest.data();
    Bytes raw = parts.rest.subspan(static_cast<std::size_t>(blocks_of(count)) * entry_bytes);
    std::uint8_t* to = out.data();
    for (; !symbols.empty(); entry += entry_bytes, to += block / 8 * bits) {
        const std::size_t n = symbols.size() < block ? symbols.size() : block;
        const std::size_t size = entry[0] | std::size_t{entry[1]} << 8 | std::size_t{entry[2]} << 16;
        if (size > raw.size()) return Status::truncated;
        BP_TRY(join_block(table, bits, symbols.first(n), raw.first(size), to));
        raw = raw.subspan(size);
        symbols = symbols.subspan(n);
    }
    return raw.empty() ? Status::ok : Status::corrupt;
}

}  // namespace bitpress
