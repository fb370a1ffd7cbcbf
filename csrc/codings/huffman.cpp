// Huffman's code (Huffman 1952): canonical, at most 11 bits, over independent chunks of up to eight interleaved
// streams.
#include "codings/bits.h"
#include "codings/codings.h"
#include "codings/frame.h"
#include "codings/huffman_code.h"

namespace bitpress {
namespace {

constexpr unsigned chunk_log = 17;  // 128 KiB
constexpr unsigned max_streams = 8;
constexpr std::size_t count_at_once = std::size_t{1} << 30;  // below what a stream's 32-bit counters hold
constexpr std::size_t least_for_streams = 1024;              // a chunk of fewer bytes is one stream

// A chunk is cut into equal segments, one a stream; only the last may be shorter. None is empty.
std::size_t segment_bytes(std::size_t chunk, unsigned streams) noexcept { return (chunk + streams - 1) / streams; }

Bytes segment(Bytes chunk, std::size_t size, unsigned stream) noexcept {
    const Bytes rest = chunk.subspan(stream * size);
    return rest.first(rest.size() < size ? rest.size() : size);
}

// ---- encoding

struct EncodeTable {
    HuffmanLengths lengths;
    std::uint16_t word[256];  // code << 4 | length
    std::uint8_t table[huffman_max_table_bytes];
    std::size_t table_bytes;
};

struct EncodeState {
    PackageMergeScratch scratch;
    std::uint64_t counts[256];
    std::uint32_t stream_counts[max_streams][256];
    EncodeTable shared, own;
};

unsigned streams_log_for(std::size_t chunk) noexcept { return chunk < least_for_streams ? 0 : chunk < 16384 ? 2 : 3; }

// Counts the chunk's bytes, stream by stream, and adds them to counts. The streams take turns: a counter is then seldom
// needed twice in a row.
void count_streams(Bytes chunk, unsigned streams, EncodeState* state) noexcept {
    std::memset(state->stream_counts, 0, sizeof state->stream_counts);
    const std::size_t size = segment_bytes(chunk.size(), streams);
    const std::size_t common = segment(chunk, size, streams - 1).size();
    for (std::size_t i = 0; i < common; ++i) {
        for (unsigned s = 0; s < streams; ++s) ++state->stream_counts[s][chunk[s * size + i]];
    }
    for (unsigned s = 0; s + 1 < streams; ++s) {
        for (std::size_t i = common; i < size; ++i) ++state->stream_counts[s][chunk[s * size + i]];
    }
    for (unsigned s = 0; s < streams; ++s) {
        for (unsigned i = 0; i < 256; ++i) state->counts[i] += state->stream_counts[s][i];
    }
}

struct Layout {
    std::size_t streams[max_streams];  // bytes of each
    std::size_t total = 0;             // of the payload: table, sizes of all streams but the last, streams
};

Layout layout(const EncodeState& state, const HuffmanLengths& lengths, unsigned streams, std::size_t table) noexcept {
    Layout result;
    result.total = table;
    for (unsigned s = 0; s < streams; ++s) {
        std::size_t bits = 0;
        for (unsigned i = 0; i < 256; ++i) bits += std::size_t{state.stream_counts[s][i]} * lengths.of[i];
        result.streams[s] = (bits + 7) / 8;
        result.total += result.streams[s] + (s + 1 < streams ? varint_bytes(result.streams[s]) : 0);
    }
    return result;
}

// The best code for state->counts, and its compact form.
void make_code(EncodeState* state, EncodeTable* code) noexcept {
    huffman_lengths(state->counts, &code->lengths, &state->scratch);
    code->table_bytes = write_huffman_table(code->lengths, code->table);
}

void make_words(EncodeTable* code) noexcept {
    std::uint16_t codes[256];
    huffman_codes(code->lengths, codes);
    for (unsigned i = 0; i < 256; ++i) {
        const unsigned length = code->lengths.of[i];
        code->word[i] = static_cast<std::uint16_t>(length == 0 ? 0 : codes[i] << 4 | length);
    }
}

void write_stream(Bytes source, const std::uint16_t word[256], std::uint8_t* begin, std::uint8_t* end) noexcept {
    BitWriter bits(begin, end);
    const auto put = [&bits, word](std::uint8_t byte) { bits.put(word[byte] >> 4, word[byte] & 15u); };
    std::size_t i = 0;
    for (; i + 4 <= source.size(); i += 4) {
        for (unsigned k = 0; k < 4; ++k) put(source[i + k]);
        bits.flush();
    }
    for (; i < source.size(); ++i) put(source[i]);
    bits.finish();
}

bool encode_chunk(void* opaque, bool may_share, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept {
    EncodeState& state = *static_cast<EncodeState*>(opaque);
    entry->streams_log = streams_log_for(chunk.size());
    const unsigned streams = 1u << entry->streams_log;
    std::memset(state.counts, 0, sizeof state.counts);
    count_streams(chunk, streams, &state);
    make_code(&state, &state.own);
    Layout best = layout(state, state.own.lengths, streams, state.own.table_bytes);
    entry->kind = ChunkKind::coded;
    if (may_share) {
        const Layout shared = layout(state, state.shared.lengths, streams, 0);
        if (shared.total <= best.total) {
            best = shared;
            entry->kind = ChunkKind::coded_shared;
        }
    }
    if (best.total > out.size()) return false;
    entry->size = best.total;

    std::uint8_t* at = out.data();
    const EncodeTable* code = &state.shared;
    if (entry->kind == ChunkKind::coded) {
        make_words(&state.own);
        code = &state.own;
        std::memcpy(at, code->table, code->table_bytes);
        at += code->table_bytes;
    }
    for (unsigned s = 0; s + 1 < streams; ++s) at += write_varint(at, best.streams[s]);
    const std::size_t size = segment_bytes(chunk.size(), streams);
    for (unsigned s = 0; s < streams; ++s) {
        write_stream(segment(chunk, size, s), code->word, at, out.data() + best.total);
        at += best.streams[s];
    }
    return true;
}

std::size_t bound(std::size_t n) noexcept { return frame_bound(n, chunk_log); }

Status encode(Bytes in, MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept {
    BP_TRY(check_encode(bound(in.size()), in, out, workspace, sizeof(EncodeState)));
    EncodeState& state = *reinterpret_cast<EncodeState*>(workspace.data());
    Bytes table;
    if (in.size() > std::size_t{1} << chunk_log) {
        std::memset(state.counts, 0, sizeof state.counts);
        for (Bytes rest = in; !rest.empty();) {
            const Bytes some = rest.first(rest.size() < count_at_once ? rest.size() : count_at_once);
            count_streams(some, 1u << streams_log_for(some.size()), &state);
            rest = rest.subspan(some.size());
        }
        unsigned distinct = 0;
        for (const std::uint64_t count : state.counts) distinct += count != 0;
        if (distinct > 1) {
            make_code(&state, &state.shared);
            make_words(&state.shared);
            table = Bytes(state.shared.table, state.shared.table_bytes);
        }
    }
    encode_chunks(in, chunk_log, table, out, &state, encode_chunk, written);
    return Status::ok;
}

// ---- decoding

// Indexed by the next huffman_max_bits bits: symbol << 8 | length.
struct DecodeTable {
    std::uint16_t entry[1u << huffman_max_bits];
};

struct DecodeState {
    DecodeTable shared, own;
    HuffmanLengths lengths;
    std::uint16_t codes[256];
};

Status read_table(Bytes in, DecodeState* state, DecodeTable* table, std::size_t* used) noexcept {
    BP_TRY(read_huffman_table(in, &state->lengths, used));
    huffman_codes(state->lengths, state->codes);
    for (unsigned symbol = 0; symbol < 256; ++symbol) {
        const unsigned length = state->lengths.of[symbol];
        if (length == 0) continue;
        const auto entry = static_cast<std::uint16_t>(symbol << 8 | length);
        for (unsigned i = state->codes[symbol]; i < 1u << huffman_max_bits; i += 1u << length) table->entry[i] = entry;
    }
    return Status::ok;
}

constexpr unsigned symbols_a_refill = 5;  // 5 * 11 bits <= the 57 that a refill gives
constexpr std::size_t index_mask = (std::size_t{1} << huffman_max_bits) - 1;

// Decodes one stream from bit `position` on, to the end of out, and checks that it ends where it must.
Status finish_stream(const DecodeTable& table, Bytes stream, std::size_t position, MutableBytes out) noexcept {
    std::size_t i = 0;
    while (i < out.size()) {
        std::uint64_t bits = peek_bits(stream, position);
        for (unsigned k = 0; k < symbols_a_refill && i < out.size(); ++k) {
            const std::uint16_t entry = table.entry[bits & index_mask];
            out[i++] = static_cast<std::uint8_t>(entry >> 8);
            bits >>= entry & 63;
            position += entry & 63;
        }
    }
    return ends_in_last_byte(stream, position) ? Status::ok : Status::corrupt;
}

// Decodes the streams side by side, symbols_a_refill symbols of each at a time, while every stream has 8 bytes to load
// and room for as many symbols; then each to its end. A stream that runs over its own end is noticed there.
template <unsigned streams>
Status decode_streams(const DecodeTable& table, const Bytes* stream, std::size_t segment_size,
                      MutableBytes out) noexcept {
    const std::uint8_t* in[streams];
    const std::uint8_t* last_load[streams];
    unsigned shift[streams];
    bool loadable = true;
    for (unsigned s = 0; s < streams; ++s) {
        loadable = loadable && stream[s].size() >= 8;
        in[s] = stream[s].data();
        last_load[s] = loadable ? in[s] + stream[s].size() - 8 : in[s];
        shift[s] = 0;
    }
    const std::size_t common = out.size() - (streams - 1) * segment_size;
    std::size_t done = 0;
    while (loadable && done + symbols_a_refill <= common) {
        for (unsigned s = 0; s < streams; ++s) {
            std::uint64_t bits = load_le<std::uint64_t>(in[s]) >> shift[s];
            std::uint8_t* const target = out.data() + s * segment_size + done;
            for (unsigned k = 0; k < symbols_a_refill; ++k) {
                const std::uint16_t entry = table.entry[bits & index_mask];
                target[k] = static_cast<std::uint8_t>(entry >> 8);
                bits >>= entry & 63;
                shift[s] += entry & 63;
            }
            in[s] += shift[s] >> 3;
            shift[s] &= 7;
        }
        for (unsigned s = 0; s < streams; ++s) loadable = loadable && in[s] <= last_load[s];
        done += symbols_a_refill;
    }
    for (unsigned s = 0; s < streams; ++s) {
        const MutableBytes target = out.subspan(s * segment_size);
        const std::size_t position = static_cast<std::size_t>(in[s] - stream[s].data()) * 8 + shift[s];
        const std::size_t size = s + 1 < streams ? segment_size : target.size();
        BP_TRY(finish_stream(table, stream[s], position, target.first(size).subspan(done)));
    }
    return Status::ok;
}

Status decode_chunk(void* opaque, bool has_table, const ChunkEntry& entry, Bytes payload, MutableBytes out) noexcept {
    DecodeState& state = *static_cast<DecodeState*>(opaque);
    const DecodeTable* table = &state.shared;
    if (entry.kind == ChunkKind::coded) {
        std::size_t used = 0;
        BP_TRY(read_table(payload, &state, &state.own, &used));
        payload = payload.subspan(used);
        table = &state.own;
    } else if (!has_table) {
        return Status::corrupt;
    }
    const unsigned streams = 1u << entry.streams_log;
    if (streams > 1 && out.size() < least_for_streams) return Status::corrupt;
    std::size_t sizes[max_streams];
    for (unsigned s = 0; s + 1 < streams; ++s) {
        std::uint64_t size = 0;
        std::size_t used = 0;
        if (read_varint(payload, payload.size(), &size, &used) != Status::ok) return Status::corrupt;
        sizes[s] = static_cast<std::size_t>(size);
        payload = payload.subspan(used);
    }
    Bytes stream[max_streams];
    for (unsigned s = 0; s + 1 < streams; ++s) {
        if (sizes[s] > payload.size()) return Status::corrupt;
        stream[s] = payload.first(sizes[s]);
        payload = payload.subspan(sizes[s]);
    }
    stream[streams - 1] = payload;
    const std::size_t size = segment_bytes(out.size(), streams);
    switch (streams) {
        case 1: return decode_streams<1>(*table, stream, size, out);
        case 2: return decode_streams<2>(*table, stream, size, out);
        case 4: return decode_streams<4>(*table, stream, size, out);
        default: return decode_streams<8>(*table, stream, size, out);
    }
}

Status decode(Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame));
    BP_TRY(check_decode(frame.decoded, out, workspace, sizeof(DecodeState)));
    DecodeState& state = *reinterpret_cast<DecodeState*>(workspace.data());
    std::size_t used = 0;
    if (frame.has_table) BP_TRY(read_table(frame.body, &state, &state.shared, &used));
    return decode_chunks(frame, frame.body.subspan(used), out, &state, decode_chunk);
}

}  // namespace

const Coding huffman_coding{CodingId::huffman,  "huffman", bound, sizeof(EncodeState), sizeof(DecodeState), encode,
                            frame_decoded_size, decode};

}  // namespace bitpress
