// The frame that huffman and lzw share (docs/format.md, section 5): decoded length, chunk size, chunk table, chunks.
#pragma once

#include "bytes.h"
#include "codings/code_room.h"
#include "status.h"
#include "workers.h"

namespace bitpress {

inline constexpr unsigned frame_min_chunk_log = 12;
inline constexpr unsigned frame_max_chunk_log = 20;
inline constexpr std::uint64_t frame_max_decoded = (std::uint64_t{1} << 48) - 1;
inline constexpr std::size_t frame_entry_bytes = 3;
inline constexpr std::size_t frame_max_varint = 7;

enum class ChunkKind : std::uint8_t { stored = 0, fill = 1, coded = 2, coded_shared = 3 };

// One entry of the chunk table.
struct ChunkEntry {
    ChunkKind kind = ChunkKind::stored;
    unsigned streams_log = 0;  // huffman: log2 of the number of bit streams
    std::size_t size = 0;      // stored bytes, at least 1
    std::size_t at = 0;        // encoding only: where they begin in the room that was given
    bool shared = false;       // encoding only: refers to the frame's table, though the kind does not say so
};

// A frame's head, read and checked against the frame's length.
struct Frame {
    std::uint64_t decoded = 0;  // 0: an empty frame, nothing else is set
    std::uint64_t chunks = 0;
    unsigned chunk_log = 0;
    bool has_table = false;
    bool has_pair = false;  // of shared tables, rANS only
    Bytes entries;          // frame_entry_bytes a chunk
    Bytes body;             // the table where there is one, then the chunks

    std::size_t chunk_bytes(std::uint64_t index) const noexcept {
        const std::uint64_t start = index << chunk_log;
        const std::uint64_t most = std::uint64_t{1} << chunk_log;
        return static_cast<std::size_t>(decoded - start < most ? decoded - start : most);
    }
};

// Base 128, low groups first; one way to write each number. False where the bytes end or the number is over the limit.
std::size_t varint_bytes(std::uint64_t value) noexcept;
std::size_t write_varint(std::uint8_t* out, std::uint64_t value) noexcept;
Status read_varint(Bytes in, std::uint64_t limit, std::uint64_t* value, std::size_t* used) noexcept;

// Reads the head. Constant time: a claim that the length cannot hold (4 bytes a chunk at least) is refused here.
Status open_frame(Bytes in, Frame* frame, bool may_have_pair = false) noexcept;

// Bytes that a frame of n bytes in chunks of 2^chunk_log needs to be written: its most, and those of a table.
std::size_t frame_bound(std::size_t n, unsigned chunk_log, std::size_t table = 0) noexcept;

// Decodes one coded chunk, all its symbols, with the coding's own state.
using DecodeChunk = Status (*)(void* state, bool has_table, const ChunkEntry& entry, Bytes payload,
                               const CodeRoom& out) noexcept;

// The states of a frame's workers: the first stands at the front of the caller's workspace and is made by the coding,
// the others, each worker_stride(bytes) on, become copies of its first `made` bytes; the rest is scratch.
struct States {
    const Workers* workers;
    std::uint8_t* first;
    std::size_t bytes;
    std::size_t made;

    void* of(unsigned worker) const noexcept { return first + worker * worker_stride(bytes); }
    void copy(unsigned parts) const noexcept;
};

// Decodes every chunk of body (the frame's body after its table) into symbols of `bits` bits, of which out has as many
// as the frame says; stored and filled chunks are done here. decode_mostly, where it is not null, decodes the filled
// ones of more than one stored byte.
Status decode_chunks(const Frame& frame, Bytes body, unsigned bits, MutableBytes out, const States& states,
                     DecodeChunk decode, DecodeChunk decode_mostly = nullptr) noexcept;

// What a frame claims to decode to; `decoded_size` of every coding with frames.
Status frame_decoded_size(Bytes in, std::uint64_t* size) noexcept;

// Codes one chunk into out, anywhere in it (entry->at), whose size is one less than the chunk's: returns false where
// the result does not fit.
using EncodeChunk = bool (*)(void* state, bool may_share, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept;

inline constexpr std::uint8_t frame_table_flag = 0x10;  // in the head
inline constexpr std::uint8_t frame_pair_flag = 0x20;

// Writes a frame; out has frame_bound bytes. The table (may be empty) is left out where the chunks that refer to it do
// not save its own bytes; they are then coded again without it.
void encode_chunks(Bytes in, unsigned chunk_log, Bytes table, MutableBytes out, const States& states,
                   EncodeChunk encode, std::size_t* written, std::uint8_t table_flag = frame_table_flag) noexcept;

// What every decode checks first: the sizes of out and workspace.
Status check_decode(std::uint64_t decoded, MutableBytes out, MutableBytes workspace, std::size_t need) noexcept;
Status check_encode(std::size_t bound, Bytes in, MutableBytes out, MutableBytes workspace, std::size_t need) noexcept;

}  // namespace bitpress
