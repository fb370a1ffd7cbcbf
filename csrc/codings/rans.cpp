// rANS (Duda 2009): one range over the whole alphabet, so that a symbol may take less than a bit. 32-bit states of at
// least 2^16, renewed by 16 bits at a time, 12-bit frequencies; a chunk's symbols go round 1, 8, 32 or 128 states
// (Giesen 2014).
#include "codings/rans.h"

#include "codings/frame.h"
#include "codings/rans_chunk.h"
#include "codings/rans_rows.h"

namespace bitpress {
namespace {

std::size_t bound(std::size_t n) noexcept { return frame_bound(n, rans_chunk_log, 2 * rans_max_table_bytes); }

}  // namespace

std::size_t rans_encode_workspace(std::size_t n, bool rows) noexcept {
    return rans_encoder_bytes(n < rans_chunk_bytes ? n : rans_chunk_bytes, rows);
}

Status rans_encode(const Workers& workers, std::size_t row, Bytes in, MutableBytes out, MutableBytes workspace,
                   std::size_t* written) noexcept {
    const std::size_t chunk = std::size_t{1} << rans_chunk_log;
    const std::size_t need = rans_encode_workspace(in.size(), row != 0);
    BP_TRY(check_encode(bound(in.size()), in, out, workspace, workers_need(need, workers)));
    RansEncoder& encoder = *reinterpret_cast<RansEncoder*>(workspace.data());
    begin_rans(in.data(), row, in.size() < chunk ? in.size() : chunk, &encoder);
    Bytes table;
    std::uint8_t flag = frame_table_flag;
    if (in.size() > chunk) {
        table = share_rans_tables(&encoder, in.first(chunk));
        if (encoder.shared_split) flag = frame_pair_flag;
    }
    const States states = {&workers, workspace.data(), need, sizeof encoder};
    encode_chunks(in, rans_chunk_log, table, out, states, encode_rans_chunk, written, flag);
    return Status::ok;
}

namespace {

Status encode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace,
              std::size_t* written) noexcept {
    return rans_encode(workers, 0, in, out, workspace, written);
}

Status decoded_size(Bytes in, std::uint64_t* size) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame, true));
    *size = frame.decoded;
    return Status::ok;
}

struct DecodeState {
    RansTable table[2];  // of a plain chunk; or of survivors and of the map
    enum class Held : std::uint8_t { other, shared, shared_pair } held;
    RansFrequencies shared, shared_pair[2];
    std::uint8_t piece[rans_piece];

    // Rows need one table at a time: their map stands where the second one is.
    RansRowsState* rows() noexcept { return reinterpret_cast<RansRowsState*>(&table[1]); }
};
static_assert(sizeof(RansRowsState) <= sizeof(RansTable));
static_assert(sizeof(DecodeState) <= 65536, "decoding needs its output and 64 KiB");

// Reads frequencies from the front of in and takes them away.
Status take_frequencies(Bytes* in, RansFrequencies* frequencies) noexcept {
    std::size_t used = 0;
    BP_TRY(read_rans_table(*in, frequencies, &used));
    *in = in->subspan(used);
    return Status::ok;
}

// Makes the tables that a chunk uses, the shared ones where they are not there any more.
Status take_tables(DecodeState& state, Bytes* in, const RansFrequencies* shared, DecodeState::Held kind,
                   unsigned tables) noexcept {
    if (shared != nullptr && state.held == kind) return Status::ok;
    state.held = shared != nullptr ? kind : DecodeState::Held::other;
    for (unsigned i = 0; i < tables; ++i) {
        RansFrequencies own;
        if (shared == nullptr) BP_TRY(take_frequencies(in, &own));
        make_rans_table(shared != nullptr ? shared[i] : own, &state.table[i]);
    }
    return Status::ok;
}

// Decodes a whole sequence into the chunk: where codes are packed, piece by piece.
Status read_plain(RansReader* reader, const RansTable& table, std::uint8_t* piece, const CodeRoom& out) noexcept {
    if (!out.packed()) return reader->read(table, out.bytes());
    for (std::size_t at = 0; at < out.count(); at += rans_piece) {
        const std::size_t n = out.count() - at < rans_piece ? out.count() - at : rans_piece;
        BP_TRY(reader->read(table, {piece, n}));
        if (!out.put(at, {piece, n})) return Status::corrupt;
    }
    return Status::ok;
}

Status decode_chunk(void* opaque, bool has_table, const ChunkEntry& entry, Bytes payload,
                    const CodeRoom& out) noexcept {
    DecodeState& state = *static_cast<DecodeState*>(opaque);
    const bool shares = entry.kind == ChunkKind::coded_shared;
    if (shares && !has_table) return Status::corrupt;
    BP_TRY(take_tables(state, &payload, shares ? &state.shared : nullptr, DecodeState::Held::shared, 1));
    RansReader reader;
    BP_TRY(reader.open(payload, entry.streams_log));
    BP_TRY(read_plain(&reader, state.table[0], state.piece, out));
    return reader.close();
}

Status take_varint(Bytes* in, std::uint64_t limit, std::size_t* value) noexcept {
    std::uint64_t wide = 0;
    std::size_t used = 0;
    BP_TRY(read_varint(*in, frame_max_decoded, &wide, &used));
    if (wide > limit) return Status::corrupt;
    *in = in->subspan(used);
    *value = static_cast<std::size_t>(wide);
    return Status::ok;
}

Status decode_split(void* opaque, bool has_pair, const ChunkEntry& entry, Bytes payload, const CodeRoom& out) noexcept {
    DecodeState& state = *static_cast<DecodeState*>(opaque);
    const std::uint8_t fill = payload[0];
    const std::uint8_t how = payload[1];  // there are two bytes at least
    if (how == rows_how) {
        state.held = DecodeState::Held::other;
        return read_rows(payload, entry.streams_log, &state.table[0], state.piece, state.rows(), out);
    }
    payload = payload.subspan(2);
    const auto map = static_cast<RansMap>(how & 1);
    const bool shares = (how & 2) != 0;
    if (how > 3 || (shares && !has_pair)) return Status::corrupt;
    std::size_t survivors = 0;
    std::size_t map_bytes = (out.count() + 7) / 8;
    BP_TRY(take_varint(&payload, out.count(), &survivors));
    if (survivors == 0) return Status::corrupt;
    if (map == RansMap::gaps) {
        BP_TRY(take_varint(&payload, survivors + out.count() / rans_gap_escape, &map_bytes));
        if (map_bytes < survivors) return Status::corrupt;
    }
    BP_TRY(take_tables(state, &payload, shares ? state.shared_pair : nullptr, DecodeState::Held::shared_pair, 2));
    RansReader reader;
    BP_TRY(reader.open(payload, entry.streams_log));
    return read_split(&reader, state.table[0], state.table[1], map, fill, survivors, map_bytes, state.piece, out);
}

Status decode_as(const Workers& workers, unsigned bits, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame, true));
    const std::size_t need = workers_need(sizeof(DecodeState), workers);
    BP_TRY(check_decode(packed_bytes(frame.decoded, bits), out, workspace, need));
    DecodeState& state = *reinterpret_cast<DecodeState*>(workspace.data());
    state.held = DecodeState::Held::other;
    Bytes body = frame.body;
    if (frame.has_table) BP_TRY(take_frequencies(&body, &state.shared));
    if (frame.has_pair) {
        BP_TRY(take_frequencies(&body, &state.shared_pair[0]));
        BP_TRY(take_frequencies(&body, &state.shared_pair[1]));
    }
    const States states = {&workers, workspace.data(), sizeof state, sizeof state};
    return decode_chunks(frame, body, bits, out, states, decode_chunk, decode_split);
}

Status decode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    return decode_as(workers, 8, in, out, workspace);
}

Status decode_codes(unsigned bits, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    return decode_as(one_worker, bits, in, out, workspace);
}

}  // namespace

extern const Coding rans_coding{CodingId::rans,
                                "rans",
                                bound,
                                rans_encoder_bytes(rans_chunk_bytes, true),
                                sizeof(DecodeState),
                                if_encoding(encode),
                                decoded_size,
                                decode,
                                decode_codes};

}  // namespace bitpress
