// The encoder of Huffman's chunks.
#pragma once

#include "codings/huffman_chunk.h"
#include "codings/row_groups.h"

namespace bitpress {

struct HuffmanEncodeTable {
    HuffmanLengths lengths;
    std::uint8_t table[huffman_max_table_bytes];
    std::size_t table_bytes;
};

// Where rows are known.
struct HuffmanRows {
    RansModel plain;
    HuffmanEncodeTable map;
    HuffmanEncodeTable table[rows_max_tables];
    std::uint8_t gathered[huffman_chunk_bytes];  // the rows of one table
};

// Behind it stand HuffmanRows and RowGroups, where rows are known, then the counts of the first chunks, where there is
// more than one chunk.
struct HuffmanEncoder {
    PackageMergeScratch scratch;
    std::uint64_t counts[256];
    std::uint64_t words[256], pairs[256];  // as huffman_encode wants them
    bool has_pairs;
    HuffmanEncodeTable shared, own;
    const std::uint8_t* begin;  // of the whole input
    std::size_t row;            // bytes; 0: not known
    std::size_t counted;        // chunks in chunk_counts, from the first
    const std::uint32_t (*chunk_counts)[256];

    HuffmanRows& rows() noexcept { return *reinterpret_cast<HuffmanRows*>(this + 1); }
    RowGroups& groups() noexcept { return *reinterpret_cast<RowGroups*>(&rows() + 1); }
};

inline std::size_t huffman_bound(std::size_t n) noexcept {
    return frame_bound(n, huffman_chunk_log, huffman_max_table_bytes);
}

inline constexpr std::size_t huffman_counted_chunks = 128;

// Bytes of an encoder of one chunk or of more, in rows or not.
constexpr std::size_t huffman_encoder_bytes(bool several, bool rows) noexcept {
    return sizeof(HuffmanEncoder) + (rows ? sizeof(HuffmanRows) + row_groups_bytes(huffman_chunk_bytes) : 0) +
           (several ? huffman_counted_chunks * 256 * sizeof(std::uint32_t) : 0);
}

}  // namespace bitpress
