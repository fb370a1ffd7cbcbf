#include "codings/huffman_code.h"

#include <algorithm>

#include "codings/bits.h"

namespace bitpress {
namespace {

constexpr std::uint32_t whole = 1u << huffman_max_bits;  // Kraft's sum of a complete code
constexpr unsigned first_previous = 8;                   // what the first length is told relative to

// One level of package-merge: leaves and the packages of the level below, by weight; a leaf first on ties. Both lists
// end with more than any weight.
void merge_level(const std::uint64_t* leaves, const std::uint64_t* packages, std::size_t items, std::uint64_t* weights,
                 std::uint8_t* is_leaf) noexcept {
    for (std::size_t i = 0; i < items; ++i) {  // without a branch: it would be guessed wrong half of the time
        const bool leaf = *leaves <= *packages;
        weights[i] = leaf ? *leaves : *packages;
        is_leaf[i] = leaf;
        leaves += leaf ? 1 : 0;
        packages += leaf ? 0 : 1;
    }
}

}  // namespace

std::uint64_t huffman_lengths(const std::uint64_t counts[256], unsigned limit, HuffmanLengths* lengths,
                              PackageMergeScratch* scratch) noexcept {
    PackageMergeScratch& at = *scratch;
    std::size_t leaves = 0;
    for (unsigned symbol = 0; symbol < 256; ++symbol) {
        lengths->of[symbol] = 0;
        if (counts[symbol] != 0) at.order[leaves++] = counts[symbol] << 8 | symbol;
    }
    std::sort(at.order, at.order + leaves);
    for (std::size_t i = 0; i < leaves; ++i) at.leaves[i] = at.order[i] >> 8;
    at.leaves[leaves] = UINT64_MAX - 1;
    std::size_t items = 0;
    for (unsigned level = 0; level < limit; ++level) {
        const std::size_t packages = items / 2;
        for (std::size_t i = 0; i < packages; ++i) at.packages[i] = at.weights[2 * i] + at.weights[2 * i + 1];
        at.packages[packages] = UINT64_MAX;
        items = leaves + packages;
        merge_level(at.leaves, at.packages, items, at.weights, at.is_leaf[level]);
    }
    // The 2 * leaves - 2 lightest items of the last level make the code: a symbol is as long as it is among them often.
    std::size_t take = 2 * leaves - 2;
    std::uint64_t cost = 0;
    for (unsigned level = limit; level-- > 0;) {
        std::size_t taken = 0;
        for (std::size_t i = 0; i < take; ++i) taken += at.is_leaf[level][i];
        for (std::size_t i = 0; i < taken; ++i) {
            ++lengths->of[at.order[i] & 255];
            cost += at.leaves[i];
        }
        take = 2 * (take - taken);
    }
    return cost;
}

void huffman_codes(const HuffmanLengths& lengths, std::uint16_t codes[256]) noexcept {
    std::uint32_t next[huffman_max_bits + 2] = {};  // of each length: how many there are, then the next code word
    for (const std::uint8_t length : lengths.of) ++next[length + 1];
    next[1] = 0;  // symbols that do not occur
    std::uint32_t word = 0;
    for (unsigned bits = 1; bits <= huffman_max_bits; ++bits) {
        const std::uint32_t count = next[bits + 1];
        next[bits] = word;
        word = (word + count) << 1;
    }
    for (unsigned symbol = 0; symbol < 256; ++symbol) {
        const unsigned length = lengths.of[symbol];
        if (length == 0) continue;
        std::uint32_t reversed = next[length]++;  // of 16 bits
        reversed = (reversed & 0x5555) << 1 | (reversed >> 1 & 0x5555);
        reversed = (reversed & 0x3333) << 2 | (reversed >> 2 & 0x3333);
        reversed = (reversed & 0x0F0F) << 4 | (reversed >> 4 & 0x0F0F);
        reversed = (reversed & 0x00FF) << 8 | reversed >> 8;
        codes[symbol] = static_cast<std::uint16_t>(reversed >> (16 - length));
    }
}

std::size_t write_huffman_table(const HuffmanLengths& lengths, std::uint8_t* out) noexcept {
    BitWriter bits(out, out + huffman_max_table_bytes);
    std::uint32_t sum = 0;
    unsigned previous = first_previous;
    for (unsigned symbol = 0; sum < whole && symbol < 256; bits.flush()) {
        const unsigned length = lengths.of[symbol];
        if (length == 0) {
            unsigned run = 1, log = 0;
            while (symbol + run < 256 && lengths.of[symbol + run] == 0) ++run;
            while (run >> (log + 1) != 0) ++log;
            bits.put(7, 3);                          // 1 1 1
            bits.put(1u << log, log + 1);            // log zeros, then a one
            bits.put(run & ((1u << log) - 1), log);  // the run without its highest bit
            symbol += run;
            continue;
        }
        if (length == previous) {
            bits.put(0, 1);
        } else if (length == previous + 1) {
            bits.put(1, 3);  // 1 0 0
        } else if (length + 1 == previous) {
            bits.put(5, 3);  // 1 0 1
        } else {
            bits.put(3 | length << 3, 7);  // 1 1 0, then four bits
        }
        previous = length;
        sum += whole >> length;
        ++symbol;
    }
    return static_cast<std::size_t>(bits.finish() - out);
}

Status read_huffman_table(Bytes in, HuffmanLengths* lengths, std::size_t* used) noexcept {
    std::memset(lengths->of, 0, sizeof lengths->of);
    std::uint32_t sum = 0;
    unsigned previous = first_previous, symbol = 0;
    std::size_t position = 0;
    while (sum < whole) {
        const std::uint64_t bits = peek_bits(in, position);
        if ((bits & 7) == 7) {
            unsigned log = 0;
            while (log < 8 && (bits >> (3 + log) & 1) == 0) ++log;
            if (log == 8) return Status::corrupt;
            symbol += 1u << log | (static_cast<unsigned>(bits >> (4 + log)) & ((1u << log) - 1));
            position += 4 + 2 * log;
            if (symbol > 255) return Status::corrupt;
            continue;
        }
        if ((bits & 1) == 0) {
            position += 1;
        } else if ((bits & 3) == 3) {
            previous = static_cast<unsigned>(bits >> 3) & 15;
            position += 7;
        } else {
            previous = (bits & 4) == 0 ? previous + 1 : previous - 1;
            position += 3;
        }
        if (symbol > 255 || previous < 1 || previous > huffman_max_bits) return Status::corrupt;
        lengths->of[symbol++] = static_cast<std::uint8_t>(previous);
        sum += whole >> previous;
    }
    *used = (position + 7) / 8;
    if (*used > in.size()) return Status::truncated;
    return sum == whole && ends_in_last_byte(in.first(*used), position) ? Status::ok : Status::corrupt;
}

}  // namespace bitpress
