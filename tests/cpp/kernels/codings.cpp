// rANS, Huffman and wide codes: equal bytes, equal states.
#include "codings/huffman_code.h"
#include "codings/rans_model.h"
#include "codings/wide.h"
#include "trial.h"

namespace bitpress::test {
namespace {

// Counts of 2 to `most` of the values below `limit`, from even to skewed.
void draw_counts(const Trial& t, unsigned limit, unsigned most, std::uint64_t counts[256]) {
    std::memset(counts, 0, 256 * sizeof *counts);
    const std::size_t symbols = 2 + t.random.below(most - 1);
    const std::size_t skew = t.random.below(30);
    for (std::size_t i = 0; i < symbols; ++i)
        counts[t.random.below(limit)] += 1 + (t.random.next() & ((1U << skew) - 1U));
    counts[0] += 1;
    counts[limit - 1] += 1;
}

// A symbol that occurs.
std::uint8_t draw_symbol(const Trial& t, const std::uint64_t counts[256]) {
    for (;;) {
        const std::size_t s = t.random.below(256);
        if (counts[s] != 0) return static_cast<std::uint8_t>(s);
    }
}

unsigned draw_state_count(const Trial& t) {
    static constexpr unsigned counts[] = {1, 8, 32, 32, 128};
    return counts[t.random.below(5)];
}

struct RansTables {
    RansTable decode;
    RansEncodeTable encode;
};
RansTables rans_tables;

const RansTables& draw_rans(const Trial& t, std::uint64_t counts[256]) {
    const bool few = t.random.one_in(2);
    draw_counts(t, t.random.one_in(2) && few ? 16 : 256, few ? 13 : 300, counts);
    RansFrequencies frequencies;
    rans_frequencies(counts, &frequencies);
    make_rans_table(frequencies, &rans_tables.decode);
    RansEncodeTable& encode = rans_tables.encode;
    encode = RansEncodeTable{};
    std::uint64_t start = 0;
    std::uint64_t starts[256];
    for (unsigned s = 0; s < 256; ++s) {
        const std::uint64_t f = frequencies.of[s];
        starts[s] = start;
        if (f == 0) continue;
        encode.symbol[s] = (f == 1 ? 0xFFFFFFFFU : (std::uint64_t{1} << 32) / f) | f << 32 | start << 48;
        start += 2 * f;
    }
    for (unsigned slot = 0; slot < 4096; ++slot) {
        const std::uint32_t entry = rans_tables.decode.entry[slot];
        std::uint16_t* of = encode.slot + starts[entry & 255] + (entry >> 8 & 4095);
        of[0] = static_cast<std::uint16_t>(slot);
        of[entry >> 20] = static_cast<std::uint16_t>(slot + 4096);  // for a quotient that is one too small
    }
    return rans_tables;
}

Two<std::uint32_t> draw_states(const Trial& t, unsigned count) {
    const auto states = t.out<std::uint32_t>(count);
    for (unsigned k = 0; k < count; ++k) {
        states.plain[k] |= 65536U;
        if (t.random.one_in(3)) states.plain[k] = 65536U + (states.plain[k] & 0xFFFFU);
        states.isa[k] = states.plain[k];
    }
    return states;
}

struct HuffmanCode {
    HuffmanLengths lengths;
    std::uint16_t codes[256];
};

HuffmanCode draw_huffman(const Trial& t, unsigned limit, std::uint64_t counts[256]) {
    static PackageMergeScratch scratch;
    draw_counts(t, limit, limit < 20 ? limit : 200, counts);
    HuffmanCode code;
    huffman_lengths(counts, huffman_max_bits - static_cast<unsigned>(t.random.below(2)), &code.lengths, &scratch);
    huffman_codes(code.lengths, code.codes);
    return code;
}

}  // namespace

void check_rans_decode(const Trial& t) noexcept {
    std::uint64_t counts[256];
    const RansTables& tables = draw_rans(t, counts);
    const unsigned state_count = draw_state_count(t);
    const std::size_t rounds = t.random.below(20);
    const std::size_t n_bytes = t.random.below(4 * state_count * (rounds + 1));
    const std::uint8_t* words = t.bytes(n_bytes);
    const auto states = draw_states(t, state_count);
    const auto out = t.out<std::uint8_t>(rounds * state_count);
    std::size_t used[2];
    const std::size_t done =
        t.plain.rans_decode(&tables.decode, states.plain, state_count, words, n_bytes, used, out.plain, rounds);
    t.same_number(
        "rounds", done,
        t.isa.rans_decode(&tables.decode, states.isa, state_count, words, n_bytes, used + 1, out.isa, rounds));
    t.same_number("used", used[0], used[1]);
    t.same("out", out, done * state_count);
    t.same("states", states, state_count);
}

void check_rans_encode(const Trial& t) noexcept {
    std::uint64_t counts[256];
    const RansTables& tables = draw_rans(t, counts);
    const unsigned state_count = draw_state_count(t);
    const std::size_t rounds = t.random.below(20);
    std::uint8_t* in = t.bytes(rounds * state_count);
    const bool one = t.random.one_in(4);  // the same symbol all along
    for (std::size_t i = 0; i < rounds * state_count; ++i) in[i] = one && i > 0 ? in[0] : draw_symbol(t, counts);
    const std::size_t room =
        t.random.one_in(4) ? t.random.below(2 * state_count * rounds + 1) : 2 * state_count * (rounds + 1);
    const auto states = draw_states(t, state_count);
    const auto out = t.out<std::uint8_t>(room);
    const std::uint8_t* a =
        t.plain.rans_encode(&tables.encode, states.plain, state_count, in, rounds, out.plain, out.plain + room);
    const std::uint8_t* b =
        t.isa.rans_encode(&tables.encode, states.isa, state_count, in, rounds, out.isa, out.isa + room);
    t.same_number("room", a == nullptr, b == nullptr);
    if (a == nullptr) return;
    const auto at = static_cast<std::size_t>(a - out.plain);
    t.same_number("written", at, static_cast<std::size_t>(b - out.isa));
    t.same("words", out.plain + at, out.isa + at, room - at);
    t.same("states", states, state_count);
}

void check_huffman_decode(const Trial& t) noexcept {
    static HuffmanTable table;
    static HuffmanTableScratch scratch;
    static constexpr unsigned stream_counts[] = {1, 2, 4, 6};
    std::uint64_t counts[256];
    const HuffmanCode code = draw_huffman(t, t.random.one_in(2) ? 16 : 256, counts);
    make_huffman_table(code.lengths, t.random.one_in(2) ? 1U << 20 : 100, &table, &scratch);
    const unsigned streams = stream_counts[t.random.below(4)];
    HuffmanStream two[2][6];
    const std::uint8_t* out[2][6];
    for (unsigned s = 0; s < streams; ++s) {
        const std::size_t n = t.size(300);
        const std::size_t room = t.size(1500);
        const std::uint8_t* in = t.bytes(n);
        // All outputs behind each other in one piece a side would need more pieces than there are.
        two[0][s] = {in, in + n, t.room<std::uint8_t>(2 * room), nullptr,
                     static_cast<unsigned>(t.random.below(n == 0 ? 1 : 8))};
        two[1][s] = two[0][s];
        two[1][s].out += room;
        two[0][s].out_end = two[0][s].out + room;
        two[1][s].out_end = two[1][s].out + room;
        out[0][s] = two[0][s].out;
        out[1][s] = two[1][s].out;
    }
    t.plain.huffman_decode(&table, two[0], streams);
    t.isa.huffman_decode(&table, two[1], streams);
    for (unsigned s = 0; s < streams; ++s) {
        const auto done = static_cast<std::size_t>(two[0][s].out - out[0][s]);
        t.same_number("read", static_cast<std::size_t>(two[0][s].in_end - two[0][s].in),
                      static_cast<std::size_t>(two[1][s].in_end - two[1][s].in));
        t.same_number("shift", two[0][s].shift, two[1][s].shift);
        t.same_number("written", done, static_cast<std::size_t>(two[1][s].out - out[1][s]));
        t.same("out", out[0][s], out[1][s], done);
    }
}

void check_huffman_encode(const Trial& t) noexcept {
    std::uint64_t counts[256];
    const bool few = t.random.one_in(2);
    const HuffmanCode code = draw_huffman(t, few ? 16 : 256, counts);
    std::uint64_t words[256] = {};
    std::uint64_t pairs[256] = {};
    for (unsigned s = 0; s < 256; ++s) {
        const std::uint64_t length = code.lengths.of[s];
        if (length != 0) words[s] = std::uint64_t{code.codes[s]} << (64 - length) | length;
    }
    for (unsigned s = 0; s < 256; ++s) {
        const std::uint64_t a = words[s & 15], b = words[s >> 4];
        pairs[s] = (a & ~std::uint64_t{63}) >> (b & 63) | (b & ~std::uint64_t{63}) | ((a & 63) + (b & 63));
    }
    const std::size_t n = t.size(t.random.one_in(2) ? 500 : 3000);
    std::uint8_t* in = t.bytes(n);
    std::size_t bits = 0;
    for (std::size_t i = 0; i < n; ++i) {
        in[i] = draw_symbol(t, counts);
        bits += code.lengths.of[in[i]];
    }
    const std::size_t room = (bits + 7) / 8 + t.random.below(20);
    const auto out = t.out<std::uint8_t>(room);
    const std::uint64_t* of_pairs = few && t.random.one_in(2) ? pairs : nullptr;
    const std::uint8_t* a = t.plain.huffman_encode(words, of_pairs, in, n, out.plain, out.plain + room);
    const std::uint8_t* b = t.isa.huffman_encode(words, of_pairs, in, n, out.isa, out.isa + room);
    const auto written = static_cast<std::size_t>(a - out.plain);
    t.same_number("written", written, static_cast<std::size_t>(b - out.isa));
    t.same_number("bytes", written, (bits + 7) / 8);
    t.same("out", out, written);
}

void check_join_wide(const Trial& t) noexcept {
    const auto bits = static_cast<unsigned>(9 + t.random.below(8));
    const auto split = static_cast<unsigned>(1 + t.random.below(3));
    WideTable table;
    make_wide_table(bits, static_cast<unsigned>(t.random.below(std::size_t{1} << bits)), split, &table);
    const std::size_t n = t.size(300);
    std::uint8_t* symbols = t.bytes(n, 128);
    const std::size_t rare = t.random.one_in(3) ? 1 : 1 + t.random.below(30);
    for (std::size_t i = 0; i < n; ++i) {
        if (t.random.one_in(rare)) symbols[i] = static_cast<std::uint8_t>(t.random.below(wide_symbols(bits, split)));
    }
    const std::size_t raw_bytes = t.size(600);
    const std::uint8_t* raw = t.bytes(raw_bytes);
    const std::size_t position = t.random.below(t.random.one_in(2) ? 8 : 300);
    const auto codes = t.out<std::uint16_t>(n);
    const std::size_t a = t.plain.join_wide(&table, symbols, n, raw, raw_bytes, position, codes.plain);
    t.same_number("position", a, t.isa.join_wide(&table, symbols, n, raw, raw_bytes, position, codes.isa));
    t.same("codes", codes, n);
}

void check_histogram(const Trial& t) noexcept {
    const std::size_t n = t.random.one_in(4) ? t.random.below(100000) : t.size(500);
    const std::uint8_t* in = t.bytes(n, t.random.one_in(2) ? 16 : 1 + t.random.below(256));
    const auto counts = t.out<std::uint64_t>(256);
    t.plain.histogram(in, n, counts.plain);
    t.isa.histogram(in, n, counts.isa);
    t.same("counts", counts, 256);
}

void check_select_bytes(const Trial& t) noexcept {
    const std::size_t n = t.size(500);
    const std::uint8_t* in = t.bytes(n);
    std::uint8_t* values = t.bytes(32);
    const std::size_t rare = 1 + t.random.below(8);  // of the values' bytes
    for (std::size_t i = 0; i < 32; ++i) {
        if (!t.random.one_in(rare)) values[i] = 0;
    }
    const auto out = t.out<std::uint8_t>(n);
    const std::size_t taken = t.plain.select_bytes(in, n, values, out.plain);
    t.same_number("taken", taken, t.isa.select_bytes(in, n, values, out.isa));
    t.same("out", out, taken);
}

}  // namespace bitpress::test
