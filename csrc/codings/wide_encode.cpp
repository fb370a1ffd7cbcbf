// Wide codes to symbols and raw bits: the middle is the median, the split the one that costs least.
#include "codings/bits.h"
#include "codings/encode_rows.h"
#include "codings/frame.h"
#include "codings/rans_model.h"
#include "codings/wide.h"

namespace bitpress {
namespace {

constexpr std::size_t piece = 1024;  // codes that are unpacked at a time; a multiple of 8
constexpr std::size_t block = std::size_t{1} << wide_block_log;
constexpr unsigned most_codes = 1U << wide_max_bits;

constexpr std::size_t most_counted = std::size_t{1} << 30;  // before the parts are added: none overflows
constexpr unsigned counters = 4;                            // side by side, for runs of equal codes

// How often each code occurs.
struct WideCounts {
    std::uint64_t all[most_codes];
    std::uint32_t part[counters][most_codes];  // of them, not added yet
};

// What each code becomes.
struct WideMaps {
    std::uint8_t symbol[most_codes];
    std::uint16_t raw[most_codes];  // its raw bits
    std::uint8_t raw_count[256];    // of each symbol
};
static_assert(sizeof(WideMaps) <= sizeof(WideCounts));

std::size_t blocks_of(std::size_t count) noexcept { return (count >> wide_block_log) + (count % block != 0); }

void count_codes(Bytes packed, unsigned bits, std::size_t count, WideCounts* counts) noexcept {
    const std::size_t size = std::size_t{1} << bits;
    std::memset(counts->all, 0, size * sizeof *counts->all);
    std::uint16_t codes[piece];
    for (std::size_t first = 0; first < count; first += most_counted) {
        const std::size_t end = count - first > most_counted ? first + most_counted : count;
        for (auto& part : counts->part) std::memset(part, 0, size * sizeof *part);
        for (std::size_t i = first; i < end; i += piece) {
            const std::size_t n = end - i < piece ? end - i : piece;
            kernels()->unpack_wide(packed.data(), packed.size(), i, n, bits, codes);
            for (std::size_t j = 0; j < n; ++j) ++counts->part[j % counters][codes[j]];
        }
        for (const auto& part : counts->part) {
            for (std::size_t code = 0; code < size; ++code) counts->all[code] += part[code];
        }
    }
}

// The least code such that it and those below it are at least half of all.
unsigned median_of(const std::uint64_t* counts, std::size_t count) noexcept {
    std::uint64_t seen = counts[0];
    unsigned code = 0;
    while (seen < count - seen) seen += counts[++code];
    return code;
}

unsigned value_of(unsigned code, unsigned middle, unsigned bits) noexcept {
    const unsigned most = (1U << bits) - 1U;
    const unsigned difference = (code - middle) & most;
    return difference >> (bits - 1U) != 0 ? 2 * (most - difference) + 1 : 2 * difference;
}

unsigned symbol_of(unsigned value, unsigned split, unsigned* raw_count) noexcept {
    *raw_count = 0;
    if (value < wide_direct) return value;
    const unsigned log = 31U - static_cast<unsigned>(__builtin_clz(value));
    *raw_count = log - split;
    return wide_direct + ((log - 7) << split) + ((value >> *raw_count) & ((1U << split) - 1U));
}

// Bits of symbols, under rANS' frequencies of the whole stream, and of raw bits, times 65536.
std::uint64_t cost_of(const std::uint64_t* counts, unsigned middle, unsigned bits, unsigned split) noexcept {
    std::uint64_t symbols[256] = {};
    std::uint64_t raw = 0;
    for (unsigned code = 0; code < 1U << bits; ++code) {
        if (counts[code] == 0) continue;
        unsigned raw_count = 0;
        symbols[symbol_of(value_of(code, middle, bits), split, &raw_count)] += counts[code];
        raw += counts[code] * raw_count;
    }
    RansFrequencies frequencies;
    rans_frequencies(symbols, &frequencies);
    return rans_cost(symbols, frequencies) + (raw << 16);
}

void make_maps(unsigned middle, unsigned bits, unsigned split, WideMaps* maps) noexcept {
    for (unsigned code = 0; code < 1U << bits; ++code) {
        unsigned raw_count = 0;
        const unsigned value = value_of(code, middle, bits);
        const unsigned symbol = symbol_of(value, split, &raw_count);
        maps->symbol[code] = static_cast<std::uint8_t>(symbol);
        maps->raw[code] = static_cast<std::uint16_t>(value & ((1U << raw_count) - 1U));
        maps->raw_count[symbol] = static_cast<std::uint8_t>(raw_count);
    }
}

// Calls use(codes, where the first one stands, how many) for pieces of [first, end), in order.
template <class Use>
void each_piece(Bytes packed, unsigned bits, std::size_t first, std::size_t end, const Use& use) noexcept {
    std::uint16_t codes[piece];
    for (std::size_t i = first; i < end; i += piece) {
        const std::size_t n = end - i < piece ? end - i : piece;
        kernels()->unpack_wide(packed.data(), packed.size(), i, n, bits, codes);
        use(codes, i, n);
    }
}

// The raw bits of n codes, four at a time: those have 56 at most.
void put_raw(const WideMaps& maps, const std::uint16_t* codes, std::size_t n, BitWriter* writer) noexcept {
    for (std::size_t i = 0; i < n; i += 4) {
        const std::size_t end = n - i < 4 ? n : i + 4;
        unsigned seen = 0;
        for (std::size_t j = i; j < end; ++j) seen |= maps.symbol[codes[j]];
        if (seen < wide_direct) continue;
        for (std::size_t j = i; j < end; ++j) writer->put(maps.raw[codes[j]], maps.raw_count[maps.symbol[codes[j]]]);
        writer->flush();
    }
}

// The raw bits of all codes, block by block, behind a table of the bytes of each, at `entry`. Returns the end.
std::uint8_t* write_raw(const WideMaps& maps, Bytes packed, unsigned bits, std::size_t count, std::uint8_t* entry,
                        std::uint8_t* out_end) noexcept {
    std::uint8_t* raw = entry + 3 * blocks_of(count);
    for (std::size_t first = 0; first < count; first += block, entry += 3) {
        const std::size_t end = count - first > block ? first + block : count;
        BitWriter writer(raw, out_end);
        each_piece(packed, bits, first, end, [&](const std::uint16_t* codes, std::size_t, std::size_t n) noexcept {
            put_raw(maps, codes, n, &writer);
        });
        std::uint8_t* const next = writer.finish();
        const auto size = static_cast<std::size_t>(next - raw);
        for (unsigned k = 0; k < 3; ++k) entry[k] = static_cast<std::uint8_t>(size >> 8 * k);
        raw = next;
    }
    return raw;
}

// The middle and the split that cost least, of one code or more.
void choose_maps(Bytes packed, unsigned bits, std::size_t count, WideCounts* counts, unsigned* middle,
                 unsigned* split) noexcept {
    count_codes(packed, bits, count, counts);
    *middle = median_of(counts->all, count);
    std::uint64_t least = cost_of(counts->all, *middle, bits, *split);
    for (unsigned other = *split + 1; other <= wide_max_split; ++other) {
        const std::uint64_t cost = cost_of(counts->all, *middle, bits, other);
        if (cost >= least) continue;
        least = cost;
        *split = other;
    }
}

}  // namespace

std::size_t wide_bound(const Coding& with, std::size_t count) noexcept {
    // A code has 14 raw bits at most. The frame is written behind room for the longest varint.
    return 3 + frame_max_varint + with.bound(count) + 3 * blocks_of(count) + 2 * count + 8;
}

std::size_t wide_encode_workspace(const Coding& with) noexcept {
    return with.encode_workspace > sizeof(WideCounts) ? with.encode_workspace : sizeof(WideCounts);
}

// Counts, maps and what the coding needs take turns in the workspace: maps are made again when it has done. The symbols
// stand at the end of out, which the raw bits, written last, reach when they are not needed any more.
Status encode_wide(const Coding& with, Bytes packed, unsigned bits, std::size_t count, std::size_t row,
                   MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept {
    if (bits < wide_min_bits || bits > wide_max_bits || packed.size() != packed_bytes(count, bits)) {
        return Status::bad_argument;
    }
    if (std::uint64_t{count} >> 40 != 0) return Status::too_large;  // rans_frequencies' limit
    if (out.size() < wide_bound(with, count)) return Status::output_too_small;
    if (workspace.size() < wide_encode_workspace(with)) return Status::memory_too_small;
    WideMaps& maps = *reinterpret_cast<WideMaps*>(workspace.data());
    const MutableBytes symbols = out.last(count);
    unsigned middle = 0;
    unsigned split = 1;
    if (count != 0) {
        choose_maps(packed, bits, count, reinterpret_cast<WideCounts*>(workspace.data()), &middle, &split);
        make_maps(middle, bits, split, &maps);
        each_piece(packed, bits, 0, count, [&](const std::uint16_t* codes, std::size_t i, std::size_t n) noexcept {
            for (std::size_t j = 0; j < n; ++j) symbols[i + j] = maps.symbol[codes[j]];
        });
    }
    std::uint8_t* at = out.data();
    *at++ = static_cast<std::uint8_t>(split);
    store_le(at, static_cast<std::uint16_t>(middle));
    at += 2;
    std::size_t frame = 0;
    const MutableBytes room = out.subspan(3 + frame_max_varint, with.bound(count));
    BP_TRY(encode_rows(with, one_worker, row, symbols, room, workspace.first(with.encode_workspace), &frame));
    at += write_varint(at, frame);
    std::memmove(at, room.data(), frame);
    at += frame;
    make_maps(middle, bits, split, &maps);
    *written = static_cast<std::size_t>(write_raw(maps, packed, bits, count, at, out.data() + out.size()) - out.data());
    return Status::ok;
}

}  // namespace bitpress
