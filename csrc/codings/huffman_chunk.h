// What encoding and decoding Huffman's chunks share: how a sequence of bytes is cut into streams.
#pragma once

#include "codings/chunk_rows.h"
#include "codings/frame.h"
#include "codings/huffman_code.h"

namespace bitpress {

inline constexpr unsigned huffman_chunk_log = 18;  // 256 KiB
inline constexpr std::size_t huffman_chunk_bytes = std::size_t{1} << huffman_chunk_log;
inline constexpr unsigned huffman_max_streams = 6;
inline constexpr std::size_t huffman_least_for_streams = 1024;  // fewer bytes are one stream

// Of a chunk of one table; of a sequence of a chunk of rows, which may be shorter.
inline unsigned huffman_stream_count(unsigned streams_log) noexcept { return streams_log == 3 ? 6 : 1u << streams_log; }
inline unsigned huffman_stream_count(unsigned streams_log, std::size_t bytes) noexcept {
    return bytes < huffman_least_for_streams ? 1 : huffman_stream_count(streams_log);
}

// Bytes are cut into equal segments, one a stream; only the last may be shorter. None is empty.
inline std::size_t huffman_segment(std::size_t bytes, unsigned streams) noexcept {
    return (bytes + streams - 1) / streams;
}

}  // namespace bitpress
