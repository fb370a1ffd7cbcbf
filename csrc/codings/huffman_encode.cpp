#include "codings/huffman_encode.h"

#include "codings/huffman.h"

namespace bitpress {
namespace {

unsigned streams_log_for(std::size_t chunk) noexcept {
    return chunk < huffman_least_for_streams ? 0 : chunk < 16384 ? 2 : 3;
}

// The best code for encoder->counts, of two symbols at least, and its compact form; returns the bits that they take.
// Short codes are limited to 11 bits, which decode more symbols at once.
std::uint64_t make_code(HuffmanEncoder* encoder, HuffmanEncodeTable* code) noexcept {
    std::uint64_t n = 0;
    for (const std::uint64_t count : encoder->counts) n += count;
    std::uint64_t bits = huffman_lengths(encoder->counts, huffman_max_bits, &code->lengths, &encoder->scratch);
    if (2 * bits < 9 * n) bits = huffman_lengths(encoder->counts, 11, &code->lengths, &encoder->scratch);
    code->table_bytes = write_huffman_table(code->lengths, code->table);
    return bits;
}

void make_words(const HuffmanLengths& lengths, HuffmanEncoder* encoder) noexcept {
    std::uint16_t codes[256];
    huffman_codes(lengths, codes);
    encoder->has_pairs = true;
    for (unsigned i = 0; i < 256; ++i) {
        const unsigned length = lengths.of[i];
        encoder->words[i] = length == 0 ? 0 : static_cast<std::uint64_t>(codes[i]) << (64 - length) | length;
        encoder->has_pairs = encoder->has_pairs && (length == 0 || i < 16);
    }
    for (unsigned i = 0; encoder->has_pairs && i < 256; ++i) {
        const std::uint64_t first = encoder->words[i & 15], second = encoder->words[i >> 4];
        encoder->pairs[i] = ((first >> (second & 63) | second) & ~std::uint64_t{63}) | ((first + second) & 63);
    }
}

void count_chunk(Bytes chunk, HuffmanEncoder* encoder) noexcept {
    const auto index = static_cast<std::size_t>(chunk.data() - encoder->begin) >> huffman_chunk_log;
    std::memset(encoder->counts, 0, sizeof encoder->counts);
    if (index >= encoder->counted) {
        kernels()->histogram(chunk.data(), chunk.size(), encoder->counts);
        return;
    }
    for (unsigned i = 0; i < 256; ++i) encoder->counts[i] = encoder->chunk_counts[index][i];
}

// Writes the streams by encoder's words and, before them, the bytes of all, or of all but the last; returns the end.
// There is room.
std::uint8_t* write_streams(Bytes bytes, unsigned streams, bool tell_last, const HuffmanEncoder& encoder,
                            MutableBytes out) noexcept {
    std::uint8_t* const end = out.data() + out.size();
    const unsigned told = streams - (tell_last ? 0 : 1);
    std::uint8_t* const begin = out.data() + 3 * std::size_t{told};  // no stream has 2^21 bytes
    const std::size_t size = huffman_segment(bytes.size(), streams);
    std::uint8_t* lengths = out.data();
    std::uint8_t* at = begin;
    for (unsigned s = 0; s < streams; ++s) {
        const Bytes rest = bytes.subspan(s * size);
        const Bytes source = rest.first(rest.size() < size ? rest.size() : size);
        std::uint8_t* const stop = kernels()->huffman_encode(encoder.words, encoder.has_pairs ? encoder.pairs : nullptr,
                                                             source.data(), source.size(), at, end);
        if (s < told) lengths += write_varint(lengths, static_cast<std::size_t>(stop - at));
        at = stop;
    }
    if (lengths == begin) return at;
    std::memmove(lengths, begin, static_cast<std::size_t>(at - begin));
    return at - (begin - lengths);
}

// Most bytes of a sequence under the best code for its counts, which is made.
std::size_t sequence_most(const RansModel& model, std::size_t bytes, unsigned streams_log, HuffmanEncoder* encoder,
                          HuffmanEncodeTable* code) noexcept {
    std::memcpy(encoder->counts, model.counts, sizeof encoder->counts);
    unsigned distinct = 0, some = 0;
    for (unsigned s = 0; s < 256; ++s) {
        if (model.counts[s] == 0) continue;
        ++distinct;
        some = s;
    }
    if (distinct == 1) encoder->counts[some ^ 1] = 1;  // no code has one symbol
    const std::uint64_t bits = make_code(encoder, code);
    return code->table_bytes + bits / 8 + 4 * std::size_t{huffman_stream_count(streams_log, bytes)};
}

// Groups the rows of a chunk whose counts are encoder's, and makes their codes. Returns the most bytes that it takes
// so, 0 where one table does as well.
std::size_t group_chunk(Bytes chunk, unsigned streams_log, HuffmanEncoder* encoder) noexcept {
    HuffmanRows& rows = encoder->rows();
    RowGroups& groups = encoder->groups();
    std::memcpy(rows.plain.counts, encoder->counts, sizeof rows.plain.counts);
    make_rans_model(&rows.plain);
    groups.rows = rows_at(static_cast<std::size_t>(chunk.data() - encoder->begin), chunk.size(), encoder->row);
    groups.most = most_rows(huffman_chunk_bytes);
    if (!group_rows(chunk, rows.plain, &groups)) return 0;
    std::uint8_t head[rows_max_head];
    std::size_t most = write_rows_head(groups.tables, groups.rows, head);
    most += sequence_most(groups.map_model, groups.rows.count(), streams_log, encoder, &rows.map);
    for (unsigned t = 0; t < groups.tables; ++t) {
        std::size_t bytes = 0;
        for (const std::uint64_t count : groups.model[t].counts) bytes += static_cast<std::size_t>(count);
        most += sequence_most(groups.model[t], bytes, streams_log, encoder, &rows.table[t]);
    }
    return most;
}

// Its table and its streams; returns their size.
std::size_t write_sequence(Bytes bytes, const HuffmanEncodeTable& code, unsigned streams_log, HuffmanEncoder* encoder,
                           MutableBytes out) noexcept {
    std::memcpy(out.data(), code.table, code.table_bytes);
    make_words(code.lengths, encoder);
    const unsigned streams = huffman_stream_count(streams_log, bytes.size());
    return static_cast<std::size_t>(write_streams(bytes, streams, true, *encoder, out.subspan(code.table_bytes)) -
                                    out.data());
}

// The chunk as it was grouped; returns its size.
std::size_t write_rows(Bytes chunk, unsigned streams_log, HuffmanEncoder* encoder, MutableBytes out) noexcept {
    HuffmanRows& rows = encoder->rows();
    const RowGroups& groups = encoder->groups();
    std::size_t at = write_rows_head(groups.tables, groups.rows, out.data());
    at += write_sequence({groups.map(), groups.rows.count()}, rows.map, streams_log, encoder, out.subspan(at));
    for (unsigned t = 0; t < groups.tables; ++t) {
        const Bytes bytes(rows.gathered, gather_rows(chunk, groups, t, rows.gathered));
        at += write_sequence(bytes, rows.table[t], streams_log, encoder, out.subspan(at));
    }
    return at;
}

// As rows_worth, of chunks under two bits a byte: those decode so fast that tables and places of rows take a third of
// it.
constexpr std::size_t fast_rows_worth = 20;

bool encode_chunk(void* opaque, bool may_share, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept {
    HuffmanEncoder& encoder = *static_cast<HuffmanEncoder*>(opaque);
    entry->streams_log = streams_log_for(chunk.size());
    const unsigned streams = huffman_stream_count(entry->streams_log);
    count_chunk(chunk, &encoder);
    std::uint64_t bits = make_code(&encoder, &encoder.own);
    const HuffmanEncodeTable* code = &encoder.own;
    entry->kind = ChunkKind::coded;
    if (may_share) {
        std::uint64_t shared = 0;
        for (unsigned i = 0; i < 256; ++i) shared += encoder.counts[i] * encoder.shared.lengths.of[i];
        if (shared <= bits + 8 * encoder.own.table_bytes) {
            bits = shared;
            code = &encoder.shared;
            entry->kind = ChunkKind::coded_shared;
        }
    }
    const std::size_t table_bytes = code == &encoder.own ? encoder.own.table_bytes : 0;
    const std::size_t most = table_bytes + (streams == 1 ? (bits + 7) / 8 : bits / 8 + 4 * std::size_t{streams} - 3);
    if (encoder.row != 0) {
        const std::size_t grouped = group_chunk(chunk, entry->streams_log, &encoder);
        const std::size_t worth = 4 * most < chunk.size() ? fast_rows_worth : rows_worth;
        if (grouped != 0 && grouped + grouped / worth <= most && grouped <= out.size()) {
            entry->kind = ChunkKind::fill;
            entry->size = write_rows(chunk, entry->streams_log, &encoder, out);
            return true;
        }
    }
    if (most > out.size()) return false;
    if (table_bytes != 0) std::memcpy(out.data(), code->table, table_bytes);
    make_words(code->lengths, &encoder);
    entry->size =
        static_cast<std::size_t>(write_streams(chunk, streams, false, encoder, out.subspan(table_bytes)) - out.data());
    return true;
}

// Counts all bytes into the first encoder, and those of the first chunks apart.
void count_all(Bytes in, const States& states, std::uint32_t (*chunk_counts)[256]) noexcept {
    HuffmanEncoder& first = *static_cast<HuffmanEncoder*>(states.of(0));
    const std::size_t chunks = ((in.size() - 1) >> huffman_chunk_log) + 1;
    const std::size_t kept = chunks < huffman_counted_chunks ? chunks : huffman_counted_chunks;
    const unsigned parts = part_count(*states.workers, chunks);
    each_part(*states.workers, parts, [&](unsigned part) noexcept {
        std::uint64_t* const total = static_cast<HuffmanEncoder*>(states.of(part))->counts;
        std::memset(total, 0, sizeof first.counts);
        const std::size_t end = part_begin(chunks, parts, part + 1);
        for (std::size_t i = part_begin(chunks, parts, part); i < end; ++i) {
            const Bytes rest = in.subspan(i << huffman_chunk_log);
            const Bytes chunk = rest.first(rest.size() < huffman_chunk_bytes ? rest.size() : huffman_chunk_bytes);
            std::uint64_t counts[256] = {};
            kernels()->histogram(chunk.data(), chunk.size(), counts);
            for (unsigned v = 0; v < 256; ++v) {
                total[v] += counts[v];
                if (i < kept) chunk_counts[i][v] = static_cast<std::uint32_t>(counts[v]);
            }
        }
    });
    for (unsigned part = 1; part < parts; ++part) {
        const HuffmanEncoder& other = *static_cast<HuffmanEncoder*>(states.of(part));
        for (unsigned v = 0; v < 256; ++v) first.counts[v] += other.counts[v];
    }
    first.counted = kept;
    first.chunk_counts = chunk_counts;
}

}  // namespace

Status huffman_encode(const Workers& workers, std::size_t row, Bytes in, MutableBytes out, MutableBytes workspace,
                      std::size_t* written) noexcept {
    const bool several = in.size() > huffman_chunk_bytes;
    const std::size_t need = huffman_encoder_bytes(several, row != 0);
    BP_TRY(check_encode(huffman_bound(in.size()), in, out, workspace, workers_need(need, workers)));
    HuffmanEncoder& encoder = *reinterpret_cast<HuffmanEncoder*>(workspace.data());
    const States states = {&workers, workspace.data(), need, sizeof encoder};
    encoder.begin = in.data();
    encoder.row = whole_rows(row, huffman_chunk_bytes);
    encoder.counted = 0;
    Bytes table;
    if (several) {
        std::uint8_t* const counts = workspace.data() + huffman_encoder_bytes(false, row != 0);
        count_all(in, states, reinterpret_cast<std::uint32_t (*)[256]>(counts));
        unsigned distinct = 0;
        for (const std::uint64_t count : encoder.counts) distinct += count != 0;
        if (distinct > 1) {
            make_code(&encoder, &encoder.shared);
            table = Bytes(encoder.shared.table, encoder.shared.table_bytes);
        }
    }
    encode_chunks(in, huffman_chunk_log, table, out, states, encode_chunk, written);
    return Status::ok;
}

}  // namespace bitpress
