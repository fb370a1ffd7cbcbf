// The tables that decode Huffman's codes: as many symbols a lookup as pays.
#include "codings/bits.h"
#include "codings/huffman_code.h"

namespace bitpress {
namespace {

constexpr std::uint64_t least_for_many = 16384;  // decoded bytes that pay for a table of more than one symbol an entry
constexpr unsigned six_bits = 11, two_bits = 12;

// one[i], for i of `bits` bits: length | symbol << 8 of the code word that i begins with.
void fill_one(const HuffmanLengths& lengths, unsigned bits, std::uint16_t* one) noexcept {
    std::uint16_t codes[256];
    huffman_codes(lengths, codes);
    std::uint8_t sorted[256];  // symbols by length
    unsigned begin[huffman_max_bits + 2] = {};
    for (const std::uint8_t length : lengths.of) ++begin[length + 1];
    begin[1] = 0;  // the absent ones
    for (unsigned length = 1; length <= huffman_max_bits; ++length) begin[length + 1] += begin[length];
    unsigned next[huffman_max_bits + 2];
    std::memcpy(next, begin, sizeof next);
    for (unsigned symbol = 0; symbol < 256; ++symbol) {
        const unsigned length = lengths.of[symbol];
        if (length != 0) sorted[next[length]++] = static_cast<std::uint8_t>(symbol);
    }
    one[0] = 0;
    for (unsigned length = 1; length <= bits; ++length) {  // twice what there is, then the words of this length
        std::memcpy(one + (std::size_t{1} << (length - 1)), one, sizeof *one << (length - 1));
        for (unsigned i = begin[length]; i < begin[length + 1]; ++i) {
            one[codes[sorted[i]]] = static_cast<std::uint16_t>(length | sorted[i] << 8);
        }
    }
}

void fill_two(const std::uint16_t* one, std::uint32_t* two) noexcept {
    for (unsigned i = 0; i < 1U << two_bits; ++i) {
        const unsigned first = one[i], used = first & 255;
        const unsigned second = one[i >> used], both = used + (second & 255);
        const unsigned alone = used | 1U << 8 | (first & 0xFF00) << 8;
        const unsigned pair = both | 2U << 8 | (first & 0xFF00) << 8 | (second & 0xFF00) << 16;
        two[i] = both <= two_bits ? pair : alone;
    }
}

// The entry of one symbol followed by the five at most that `rest` holds.
std::uint64_t prepend(unsigned first, std::uint64_t rest) noexcept {
    constexpr std::uint64_t symbols = ~std::uint64_t{0xFFFF};
    return ((rest & symbols) << 8) + (rest & 0xFFFF) + (first & 255) + 256 + ((first & std::uint64_t{0xFF00}) << 8);
}

// The entry without its sixth symbol.
std::uint64_t drop_sixth(std::uint64_t entry, const std::uint8_t* length) noexcept {
    if ((entry >> 8 & 255) < 6) return entry;
    return (entry << 8 >> 8) - 256 - length[entry >> 56];
}

// By the number of bits that are known: what stands in all of them is the first word that fits, then what stands in the
// bits after it, of which five symbols are of use. Level b has its 2^b entries from below[2^b] on, so that the rest of
// entry `node` is entry node >> length; the last level is the table. No word leaves more than six_bits - shortest bits.
// below[0]: no word fits.
void fill_six(const std::uint16_t* one, const std::uint8_t* length, unsigned shortest, std::uint64_t* below,
              std::uint64_t* six) noexcept {
    below[0] = below[1] = 0;
    for (unsigned known = 1; known <= six_bits - shortest; ++known) {
        const std::size_t level = std::size_t{1} << known;
        for (std::size_t i = 0; i < level; ++i) {
            const unsigned first = one[i], used = first & 255;
            below[level + i] = used <= known ? drop_sixth(prepend(first, below[(level + i) >> used]), length) : 0;
        }
    }
    constexpr std::size_t last = std::size_t{1} << six_bits;
    for (std::size_t i = 0; i < last; ++i) six[i] = prepend(one[i], below[(last + i) >> (one[i] & 255)]);
}

// The entry that the low bits of `bits` name, in the form of `six`.
std::uint64_t lookup(const HuffmanTable& table, std::uint64_t bits) noexcept {
    const auto index = static_cast<std::size_t>(bits & ((1U << table.bits) - 1));
    if (table.most == 6) return table.six[index];
    if (table.most == 2) return table.two[index];
    const std::uint64_t one = table.one[index];
    return (one & 255) | 1U << 8 | (one & 0xFF00) << 8;
}

}  // namespace

void make_huffman_table(const HuffmanLengths& lengths, std::uint64_t decoded, HuffmanTable* table,
                        HuffmanTableScratch* scratch) noexcept {
    std::memcpy(table->length, lengths.of, sizeof table->length);
    unsigned longest = 0, shortest = huffman_max_bits;
    std::uint32_t mean = 0;  // bits a symbol where each is as frequent as its length says, times 2^huffman_max_bits
    for (const std::uint8_t length : lengths.of) {
        if (length == 0) continue;
        longest = length > longest ? length : longest;
        shortest = length < shortest ? length : shortest;
        mean += length << (huffman_max_bits - length);
    }
    constexpr std::uint32_t half = 1U << (huffman_max_bits - 1);
    if (decoded >= least_for_many && longest <= six_bits && (mean <= 9 * half || shortest == 1)) {
        table->most = 6;
        table->bits = six_bits;
        fill_one(lengths, six_bits, scratch->one);
        fill_six(scratch->one, table->length, shortest, scratch->below, table->six);
    } else if (decoded >= least_for_many && mean <= 27 * half / 2) {
        table->most = 2;
        table->bits = two_bits;
        fill_one(lengths, two_bits, scratch->one);
        fill_two(scratch->one, table->two);
    } else {
        table->most = 1;
        table->bits = longest <= 11 ? 11 : 12;
        fill_one(lengths, table->bits, table->one);
    }
}

Status finish_huffman_stream(const HuffmanTable& table, HuffmanStream stream) noexcept {
    const Bytes in{stream.in, static_cast<std::size_t>(stream.in_end - stream.in)};
    std::size_t position = stream.shift;
    std::uint8_t* out = stream.out;
    while (out < stream.out_end) {
        std::uint64_t bits = peek_bits(in, position);
        for (unsigned k = 0; k < 56 / huffman_max_bits && out < stream.out_end; ++k) {
            std::uint64_t entry = lookup(table, bits);
            unsigned used = entry & 255;
            const auto count = static_cast<std::size_t>(entry >> 8 & 255);
            const auto room = static_cast<std::size_t>(stream.out_end - out);
            if (count > room) used = 0;
            for (std::size_t i = 0; i < (count > room ? room : count); ++i) {
                const auto symbol = static_cast<std::uint8_t>(entry >> (16 + 8 * i));
                if (count > room) used += table.length[symbol];
                *out++ = symbol;
            }
            bits >>= used;
            position += used;
        }
    }
    return ends_in_last_byte(in, position) ? Status::ok : Status::corrupt;
}

}  // namespace bitpress
