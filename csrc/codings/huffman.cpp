// Huffman's code (Huffman 1952): canonical, at most 12 bits, over independent chunks of up to six streams.
#include <stddef.h>

#include "codings/codings.h"
#include "codings/frame.h"
#include "codings/huffman_code.h"
#include "kernels/kernels.h"

namespace bitpress {
namespace {

constexpr unsigned chunk_log = 18;  // 256 KiB
constexpr unsigned max_streams = 6;
constexpr std::size_t least_for_streams = 1024;  // a chunk of fewer bytes is one stream

unsigned stream_count(const ChunkEntry& entry) noexcept { return entry.streams_log == 3 ? 6 : 1u << entry.streams_log; }

// A chunk is cut into equal segments, one a stream; only the last may be shorter. None is empty.
std::size_t segment_bytes(std::size_t chunk, unsigned streams) noexcept { return (chunk + streams - 1) / streams; }

Bytes segment(Bytes chunk, std::size_t size, unsigned stream) noexcept {
    const Bytes rest = chunk.subspan(stream * size);
    return rest.first(rest.size() < size ? rest.size() : size);
}

// ---- encoding

struct EncodeTable {
    HuffmanLengths lengths;
    std::uint8_t table[huffman_max_table_bytes];
    std::size_t table_bytes;
};

constexpr std::size_t counted_chunks = 128;  // of the first pass, whose counts are kept for the second

struct EncodeState {
    PackageMergeScratch scratch;
    std::uint64_t counts[256];
    std::uint64_t words[256], pairs[256];  // as huffman_encode wants them
    bool has_pairs;
    EncodeTable shared, own;
    const std::uint8_t* begin;                        // of the whole input
    std::size_t counted;                              // chunks in chunk_counts, from the first
    std::uint32_t chunk_counts[counted_chunks][256];  // not there where there is one chunk
};
constexpr std::size_t one_chunk_workspace = offsetof(EncodeState, chunk_counts);

unsigned streams_log_for(std::size_t chunk) noexcept { return chunk < least_for_streams ? 0 : chunk < 16384 ? 2 : 3; }

// The best code for state->counts of n bytes, and its compact form; returns the bits that the bytes take. Short codes
// are limited to 11 bits, which decode more symbols at once.
std::uint64_t make_code(EncodeState* state, std::uint64_t n, EncodeTable* code) noexcept {
    std::uint64_t bits = huffman_lengths(state->counts, huffman_max_bits, &code->lengths, &state->scratch);
    if (2 * bits < 9 * n) bits = huffman_lengths(state->counts, 11, &code->lengths, &state->scratch);
    code->table_bytes = write_huffman_table(code->lengths, code->table);
    return bits;
}

void make_words(const HuffmanLengths& lengths, EncodeState* state) noexcept {
    std::uint16_t codes[256];
    huffman_codes(lengths, codes);
    state->has_pairs = true;
    for (unsigned i = 0; i < 256; ++i) {
        const unsigned length = lengths.of[i];
        state->words[i] = length == 0 ? 0 : static_cast<std::uint64_t>(codes[i]) << (64 - length) | length;
        state->has_pairs = state->has_pairs && (length == 0 || i < 16);
    }
    for (unsigned i = 0; state->has_pairs && i < 256; ++i) {
        const std::uint64_t first = state->words[i & 15], second = state->words[i >> 4];
        state->pairs[i] = ((first >> (second & 63) | second) & ~std::uint64_t{63}) | ((first + second) & 63);
    }
}

void count_chunk(Bytes chunk, EncodeState* state) noexcept {
    const auto index = static_cast<std::size_t>(chunk.data() - state->begin) >> chunk_log;
    std::memset(state->counts, 0, sizeof state->counts);
    if (index >= state->counted) {
        kernels()->histogram(chunk.data(), chunk.size(), state->counts);
        return;
    }
    for (unsigned i = 0; i < 256; ++i) state->counts[i] = state->chunk_counts[index][i];
}

// Writes the streams and, before them, the bytes of all but the last; returns the end. There is room.
std::uint8_t* write_streams(Bytes chunk, unsigned streams, const EncodeState& state, MutableBytes out) noexcept {
    std::uint8_t* const end = out.data() + out.size();
    std::uint8_t* const begin = out.data() + 3 * std::size_t{streams - 1};  // no stream has 2^21 bytes
    const std::size_t size = segment_bytes(chunk.size(), streams);
    std::uint8_t* lengths = out.data();
    std::uint8_t* at = begin;
    for (unsigned s = 0; s < streams; ++s) {
        const Bytes source = segment(chunk, size, s);
        std::uint8_t* const stop = kernels()->huffman_encode(state.words, state.has_pairs ? state.pairs : nullptr,
                                                             source.data(), source.size(), at, end);
        if (s + 1 < streams) lengths += write_varint(lengths, static_cast<std::size_t>(stop - at));
        at = stop;
    }
    if (lengths == begin) return at;
    std::memmove(lengths, begin, static_cast<std::size_t>(at - begin));
    return at - (begin - lengths);
}

bool encode_chunk(void* opaque, bool may_share, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept {
    EncodeState& state = *static_cast<EncodeState*>(opaque);
    entry->streams_log = streams_log_for(chunk.size());
    const unsigned streams = stream_count(*entry);
    count_chunk(chunk, &state);
    std::uint64_t bits = make_code(&state, chunk.size(), &state.own);
    const EncodeTable* code = &state.own;
    entry->kind = ChunkKind::coded;
    if (may_share) {
        std::uint64_t shared = 0;
        for (unsigned i = 0; i < 256; ++i) shared += state.counts[i] * state.shared.lengths.of[i];
        if (shared <= bits + 8 * state.own.table_bytes) {
            bits = shared;
            code = &state.shared;
            entry->kind = ChunkKind::coded_shared;
        }
    }
    const std::size_t table_bytes = code == &state.own ? state.own.table_bytes : 0;
    const std::size_t most = streams == 1 ? (bits + 7) / 8 : bits / 8 + 4 * std::size_t{streams} - 3;
    if (table_bytes + most > out.size()) return false;
    if (table_bytes != 0) std::memcpy(out.data(), code->table, table_bytes);
    make_words(code->lengths, &state);
    entry->size = static_cast<std::size_t>(write_streams(chunk, streams, state, out.subspan(table_bytes)) - out.data());
    return true;
}

std::size_t bound(std::size_t n) noexcept { return frame_bound(n, chunk_log); }

// Counts all bytes into the first state, and keeps the counts of the first chunks there.
void count_all(Bytes in, const States& states) noexcept {
    EncodeState& first = *static_cast<EncodeState*>(states.of(0));
    const std::size_t chunks = ((in.size() - 1) >> chunk_log) + 1;
    const std::size_t kept = chunks < counted_chunks ? chunks : counted_chunks;
    const unsigned parts = part_count(*states.workers, chunks);
    each_part(*states.workers, parts, [&](unsigned part) noexcept {
        std::uint64_t* const total = static_cast<EncodeState*>(states.of(part))->counts;
        std::memset(total, 0, sizeof first.counts);
        const std::size_t end = part_begin(chunks, parts, part + 1);
        for (std::size_t i = part_begin(chunks, parts, part); i < end; ++i) {
            const Bytes rest = in.subspan(i << chunk_log);
            const Bytes chunk = rest.first(rest.size() >> chunk_log == 0 ? rest.size() : std::size_t{1} << chunk_log);
            std::uint64_t counts[256] = {};
            kernels()->histogram(chunk.data(), chunk.size(), counts);
            for (unsigned v = 0; v < 256; ++v) {
                total[v] += counts[v];
                if (i < kept) first.chunk_counts[i][v] = static_cast<std::uint32_t>(counts[v]);
            }
        }
    });
    for (unsigned part = 1; part < parts; ++part) {
        const EncodeState& other = *static_cast<EncodeState*>(states.of(part));
        for (unsigned v = 0; v < 256; ++v) first.counts[v] += other.counts[v];
    }
    first.counted = kept;
}

Status encode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace,
              std::size_t* written) noexcept {
    const bool several = in.size() > std::size_t{1} << chunk_log;
    const std::size_t need = several ? sizeof(EncodeState) : one_chunk_workspace;
    BP_TRY(check_encode(bound(in.size()), in, out, workspace, workers_need(need, workers)));
    EncodeState& state = *reinterpret_cast<EncodeState*>(workspace.data());
    const States states = {&workers, workspace.data(), need};
    state.begin = in.data();
    state.counted = 0;
    Bytes table;
    if (several) {
        count_all(in, states);
        unsigned distinct = 0;
        for (const std::uint64_t count : state.counts) distinct += count != 0;
        if (distinct > 1) {
            make_code(&state, in.size(), &state.shared);
            table = Bytes(state.shared.table, state.shared.table_bytes);
        }
    }
    encode_chunks(in, chunk_log, table, out, states, encode_chunk, written);
    return Status::ok;
}

// ---- decoding

struct DecodeState {
    HuffmanTable shared, own;
    HuffmanTableScratch scratch;
};
static_assert(sizeof(DecodeState) <= 65536, "decoding needs its output and 64 KiB");

Status read_table(Bytes in, std::uint64_t decoded, DecodeState* state, HuffmanTable* table,
                  std::size_t* used) noexcept {
    HuffmanLengths lengths;
    BP_TRY(read_huffman_table(in, &lengths, used));
    make_huffman_table(lengths, decoded, table, &state->scratch);
    return Status::ok;
}

unsigned side_by_side(unsigned streams) noexcept { return streams >= 6 ? 6 : streams >= 4 ? 4 : streams >= 2 ? 2 : 1; }

// Where the kernel leaves a stream to the caller.
bool is_near_end(const HuffmanStream& stream) noexcept {
    return stream.in_end - stream.in < 15 || stream.out_end - stream.out < 38;
}

// Decodes all streams, as many side by side as can still go on: streams of unlike contents end at unlike times.
Status decode_streams(const HuffmanTable& table, HuffmanStream* stream, unsigned streams) noexcept {
    while (streams > 0) {
        kernels()->huffman_decode(&table, stream, side_by_side(streams));
        unsigned left = 0;
        for (unsigned s = 0; s < streams; ++s) {
            if (is_near_end(stream[s])) {
                BP_TRY(finish_huffman_stream(table, stream[s]));
            } else {
                stream[left++] = stream[s];
            }
        }
        streams = left;
    }
    return Status::ok;
}

// A stream of packed codes: what it has decoded waits in a tile until it goes to its place.
struct TiledStream {
    std::uint8_t* tile;
    std::size_t at;   // the place of the tile's first code in the chunk
    std::size_t end;  // of the stream
};
constexpr std::size_t tile_codes = sizeof(HuffmanTableScratch) / max_streams;

// Puts what a stream has decoded into its place, but for what would end inside a byte, and gives it room for more.
bool empty_tile(const CodeRoom& room, TiledStream* tiled, HuffmanStream* stream) noexcept {
    auto done = static_cast<std::size_t>(stream->out - tiled->tile);
    const std::size_t to = tiled->at + done;
    const std::size_t kept = to == tiled->end || to % 8 >= done ? 0 : to % 8;
    done -= kept;
    if (!room.put(tiled->at, {tiled->tile, done})) return false;
    std::memmove(tiled->tile, tiled->tile + done, kept);
    tiled->at += done;
    const std::size_t left = tiled->end - tiled->at;
    stream->out = tiled->tile + kept;
    stream->out_end = tiled->tile + (left < tile_codes ? left : tile_codes);
    return true;
}

// As decode_streams, tile after tile.
Status decode_tiled(const HuffmanTable& table, HuffmanStream* stream, TiledStream* tiled, unsigned streams,
                    const CodeRoom& room) noexcept {
    while (streams > 0) {
        kernels()->huffman_decode(&table, stream, side_by_side(streams));
        unsigned left = 0;
        for (unsigned s = 0; s < streams; ++s) {
            if (!is_near_end(stream[s])) {
                stream[left] = stream[s];
                tiled[left++] = tiled[s];
                continue;
            }
            if (!empty_tile(room, &tiled[s], &stream[s])) return Status::corrupt;
            if (!is_near_end(stream[s])) {
                stream[left] = stream[s];
                tiled[left++] = tiled[s];
                continue;
            }
            // What is left of the input is too short for more codes than a tile has room for.
            const auto codes = static_cast<std::size_t>(stream[s].out_end - tiled[s].tile);
            if (codes != tiled[s].end - tiled[s].at) return Status::corrupt;
            BP_TRY(finish_huffman_stream(table, stream[s]));
            if (!room.put(tiled[s].at, {tiled[s].tile, codes})) return Status::corrupt;
        }
        streams = left;
    }
    return Status::ok;
}

Status decode_chunk(void* opaque, bool has_table, const ChunkEntry& entry, Bytes payload,
                    const CodeRoom& room) noexcept {
    DecodeState& state = *static_cast<DecodeState*>(opaque);
    const HuffmanTable* table = &state.shared;
    if (entry.kind == ChunkKind::coded) {
        std::size_t used = 0;
        BP_TRY(read_table(payload, room.count(), &state, &state.own, &used));
        payload = payload.subspan(used);
        table = &state.own;
    } else if (!has_table) {
        return Status::corrupt;
    }
    const unsigned streams = stream_count(entry);
    if (streams > 1 && room.count() < least_for_streams) return Status::corrupt;
    std::size_t sizes[max_streams];
    for (unsigned s = 0; s + 1 < streams; ++s) {
        std::uint64_t size = 0;
        std::size_t used = 0;
        if (read_varint(payload, payload.size(), &size, &used) != Status::ok) return Status::corrupt;
        sizes[s] = static_cast<std::size_t>(size);
        payload = payload.subspan(used);
    }
    HuffmanStream stream[max_streams];
    TiledStream tiled[max_streams];
    const std::size_t size = segment_bytes(room.count(), streams);
    for (unsigned s = 0; s < streams; ++s) {
        if (s + 1 == streams) sizes[s] = payload.size();
        if (sizes[s] > payload.size()) return Status::corrupt;
        stream[s] = {payload.data(), payload.data() + sizes[s], nullptr, nullptr, 0};
        payload = payload.subspan(sizes[s]);
        const std::size_t begin = s * size;
        const std::size_t end = s + 1 < streams ? begin + size : room.count();
        if (room.packed()) {  // the tables are made: their scratch is free
            tiled[s] = {reinterpret_cast<std::uint8_t*>(&state.scratch) + s * tile_codes, begin, end};
            stream[s].out = tiled[s].tile;
            empty_tile(room, &tiled[s], &stream[s]);
        } else {
            stream[s].out = room.bytes().data() + begin;
            stream[s].out_end = room.bytes().data() + end;
        }
    }
    return room.packed() ? decode_tiled(*table, stream, tiled, streams, room) : decode_streams(*table, stream, streams);
}

Status decode_as(const Workers& workers, unsigned bits, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame));
    const std::size_t need = workers_need(sizeof(DecodeState), workers);
    BP_TRY(check_decode(packed_bytes(frame.decoded, bits), out, workspace, need));
    DecodeState& state = *reinterpret_cast<DecodeState*>(workspace.data());
    std::size_t used = 0;
    if (frame.has_table) BP_TRY(read_table(frame.body, frame.decoded, &state, &state.shared, &used));
    const States states = {&workers, workspace.data(), sizeof(DecodeState)};
    return decode_chunks(frame, frame.body.subspan(used), bits, out, states, decode_chunk);
}

Status decode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    return decode_as(workers, 8, in, out, workspace);
}

Status decode_codes(unsigned bits, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    return decode_as(one_worker, bits, in, out, workspace);
}

}  // namespace

const Coding huffman_coding{CodingId::huffman,   "huffman",          bound,  sizeof(EncodeState), sizeof(DecodeState),
                            if_encoding(encode), frame_decoded_size, decode, decode_codes};

}  // namespace bitpress
