// Huffman's code (Huffman 1952): canonical, at most 12 bits, over independent chunks of up to six streams, or of rows
// with a table for each group of them.
#include "codings/huffman.h"

#include "codings/huffman_encode.h"
#include "codings/huffman_streams.h"

namespace bitpress {
namespace {

struct DecodeState {
    HuffmanTable shared, own;
    HuffmanTableScratch scratch;
    std::uint8_t map[most_rows(huffman_chunk_bytes)];  // of each row of a chunk, its table
};
static_assert(sizeof(DecodeState) <= 65536, "decoding needs its output and 64 KiB");

// Takes a code table off the front of in and makes it one that decodes so many bytes.
Status take_table(Bytes* in, std::uint64_t decoded, DecodeState* state, HuffmanTable* table) noexcept {
    HuffmanLengths lengths;
    std::size_t used = 0;
    BP_TRY(read_huffman_table(*in, &lengths, &used));
    *in = in->subspan(used);
    make_huffman_table(lengths, decoded, table, &state->scratch);
    return Status::ok;
}

Status decode_chunk(void* opaque, bool has_table, const ChunkEntry& entry, Bytes payload,
                    const CodeRoom& room) noexcept {
    DecodeState& state = *static_cast<DecodeState*>(opaque);
    const HuffmanTable* table = &state.shared;
    if (entry.kind == ChunkKind::coded) {
        BP_TRY(take_table(&payload, room.count(), &state, &state.own));
        table = &state.own;
    } else if (!has_table) {
        return Status::corrupt;
    }
    const unsigned streams = huffman_stream_count(entry.streams_log);
    if (streams > 1 && room.count() < huffman_least_for_streams) return Status::corrupt;
    HuffmanStream stream[huffman_max_streams];
    BP_TRY(take_huffman_streams(&payload, streams, false, stream));
    if (!room.packed()) return decode_huffman(*table, stream, streams, room.bytes());
    const ChunkRows whole = {room.count(), room.count(), room.count()};
    state.map[0] = 0;
    return decode_huffman(*table, stream, streams, RowBytes(whole, state.map, 0, room.count()), &state.scratch, room);
}

// Takes the table and the streams of a sequence of so many bytes.
Status take_sequence(Bytes* payload, unsigned streams, std::size_t bytes, DecodeState* state,
                     HuffmanStream* stream) noexcept {
    BP_TRY(take_table(payload, bytes, state, &state->own));
    return take_huffman_streams(payload, streams, true, stream);
}

Status decode_rows(void* opaque, bool, const ChunkEntry& entry, Bytes payload, const CodeRoom& room) noexcept {
    DecodeState& state = *static_cast<DecodeState*>(opaque);
    if (room.count() > huffman_chunk_bytes) return Status::corrupt;
    unsigned tables = 0;
    ChunkRows rows{};
    BP_TRY(take_rows_head(&payload, room.count(), huffman_chunk_bytes, &tables, &rows));
    HuffmanStream stream[huffman_max_streams];
    const std::size_t count = rows.count();
    unsigned streams = huffman_stream_count(entry.streams_log, count);
    BP_TRY(take_sequence(&payload, streams, count, &state, stream));
    BP_TRY(decode_huffman(state.own, stream, streams, {state.map, count}));
    std::size_t bytes[rows_max_tables];
    BP_TRY(sum_rows(rows, state.map, tables, bytes));
    for (unsigned t = 0; t < tables; ++t) {
        if (bytes[t] == 0) return Status::corrupt;
        streams = huffman_stream_count(entry.streams_log, bytes[t]);
        BP_TRY(take_sequence(&payload, streams, bytes[t], &state, stream));
        const RowBytes places(rows, state.map, t, bytes[t]);
        BP_TRY(decode_huffman(state.own, stream, streams, places, &state.scratch, room));
    }
    return payload.empty() ? Status::ok : Status::corrupt;
}

Status decode_as(const Workers& workers, unsigned bits, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame));
    const std::size_t need = workers_need(sizeof(DecodeState), workers);
    BP_TRY(check_decode(packed_bytes(frame.decoded, bits), out, workspace, need));
    DecodeState& state = *reinterpret_cast<DecodeState*>(workspace.data());
    Bytes body = frame.body;
    if (frame.has_table) BP_TRY(take_table(&body, frame.decoded, &state, &state.shared));
    const States states = {&workers, workspace.data(), sizeof state, sizeof state};
    return decode_chunks(frame, body, bits, out, states, decode_chunk, decode_rows);
}

Status decode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    return decode_as(workers, 8, in, out, workspace);
}

Status decode_codes(unsigned bits, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    return decode_as(one_worker, bits, in, out, workspace);
}

Status encode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace,
              std::size_t* written) noexcept {
    return huffman_encode(workers, 0, in, out, workspace, written);
}

std::size_t bound(std::size_t n) noexcept { return huffman_bound(n); }

}  // namespace

extern const Coding huffman_coding{CodingId::huffman,
                                   "huffman",
                                   bound,
                                   huffman_encoder_bytes(true, true),
                                   sizeof(DecodeState),
                                   if_encoding(encode),
                                   frame_decoded_size,
                                   decode,
                                   decode_codes};

}  // namespace bitpress
