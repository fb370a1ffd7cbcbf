#include "codings/frame.h"

namespace bitpress {
namespace {

void write_entry(std::uint8_t* p, const ChunkEntry& entry) noexcept {
    const auto value = static_cast<std::uint32_t>(entry.kind) | static_cast<std::uint32_t>(entry.streams_log) << 2 |
                       static_cast<std::uint32_t>(entry.size - 1) << 4;
    p[0] = static_cast<std::uint8_t>(value);
    p[1] = static_cast<std::uint8_t>(value >> 8);
    p[2] = static_cast<std::uint8_t>(value >> 16);
}

ChunkEntry read_entry(const std::uint8_t* p) noexcept {
    const std::uint32_t value = static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
                                static_cast<std::uint32_t>(p[2]) << 16;
    return {static_cast<ChunkKind>(value & 3), (value >> 2) & 3, (value >> 4) + 1, false};
}

// True where all bytes are the first one.
bool is_fill(Bytes chunk) noexcept {
    return chunk.size() > 1 && std::memcmp(chunk.data(), chunk.data() + 1, chunk.size() - 1) == 0;
}

}  // namespace

std::size_t varint_bytes(std::uint64_t value) noexcept {
    std::size_t n = 1;
    while (value >>= 7) ++n;
    return n;
}

std::size_t write_varint(std::uint8_t* out, std::uint64_t value) noexcept {
    std::size_t n = 0;
    for (; value >= 128; value >>= 7) out[n++] = static_cast<std::uint8_t>(value | 128);
    out[n++] = static_cast<std::uint8_t>(value);
    return n;
}

Status read_varint(Bytes in, std::uint64_t limit, std::uint64_t* value, std::size_t* used) noexcept {
    std::uint64_t result = 0;
    for (std::size_t i = 0; i < frame_max_varint; ++i) {
        if (i == in.size()) return Status::truncated;
        const std::uint8_t byte = in[i];
        result |= static_cast<std::uint64_t>(byte & 127) << (7 * i);
        if (byte >= 128) continue;
        if (byte == 0 && i > 0) return Status::corrupt;  // a shorter form exists
        if (result > limit) return Status::too_large;
        *value = result;
        *used = i + 1;
        return Status::ok;
    }
    return Status::too_large;
}

Status open_frame(Bytes in, Frame* frame, bool may_have_pair) noexcept {
    *frame = Frame{};
    std::size_t used = 0;
    BP_TRY(read_varint(in, frame_max_decoded, &frame->decoded, &used));
    if (frame->decoded == 0) return in.size() == used ? Status::ok : Status::corrupt;
    if (in.size() == used) return Status::truncated;
    const std::uint8_t head = in[used++];
    const unsigned flags = frame_table_flag | (may_have_pair ? frame_pair_flag : 0u);
    if ((head & ~(flags | 15u)) != 0) return Status::corrupt;
    frame->chunk_log = frame_min_chunk_log + (head & 15);
    if (frame->chunk_log > frame_max_chunk_log) return Status::corrupt;
    frame->has_table = (head & frame_table_flag) != 0;
    frame->has_pair = (head & frame_pair_flag) != 0;
    frame->chunks = ((frame->decoded - 1) >> frame->chunk_log) + 1;
    const std::size_t left = in.size() - used;
    if (frame->chunks > left / (frame_entry_bytes + 1)) return Status::truncated;
    const std::size_t entries = static_cast<std::size_t>(frame->chunks) * frame_entry_bytes;
    frame->entries = in.subspan(used, entries);
    frame->body = in.subspan(used + entries);
    return Status::ok;
}

Status frame_decoded_size(Bytes in, std::uint64_t* size) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame));
    *size = frame.decoded;
    return Status::ok;
}

std::size_t frame_bound(std::size_t n, unsigned chunk_log) noexcept {
    if (n == 0) return 1;
    return n + frame_max_varint + 1 + (((n - 1) >> chunk_log) + 1) * frame_entry_bytes;
}

void States::copy(unsigned parts) const noexcept {
    for (unsigned i = 1; i < parts; ++i) std::memcpy(of(i), first, made);
}

namespace {

struct ChunkDecoders {
    void* state;
    DecodeChunk decode, mostly;
};

Status decode_one(const Frame& frame, const ChunkEntry& entry, Bytes payload, const CodeRoom& target,
                  const ChunkDecoders& with) noexcept {
    switch (entry.kind) {
        case ChunkKind::stored:
            if (entry.streams_log != 0 || entry.size != target.count()) return Status::corrupt;
            return target.put(0, payload) ? Status::ok : Status::corrupt;
        case ChunkKind::fill:
            if (entry.size > 1 && entry.size < target.count() && with.mostly != nullptr) {
                return with.mostly(with.state, frame.has_pair, entry, payload, target);
            }
            if (entry.streams_log != 0 || entry.size != 1) return Status::corrupt;
            return target.fill(payload[0]) ? Status::ok : Status::corrupt;
        case ChunkKind::coded:
        case ChunkKind::coded_shared: break;
    }
    if (entry.size >= target.count()) return Status::corrupt;
    return with.decode(with.state, frame.has_table, entry, payload, target);
}

ChunkEntry entry_of(const Frame& frame, std::uint64_t index) noexcept {
    return read_entry(frame.entries.data() + static_cast<std::size_t>(index) * frame_entry_bytes);
}

// Decodes the chunks [first, end). The last one's bytes must be the last of body.
Status decode_range(const Frame& frame, Bytes body, std::uint64_t first, std::uint64_t end, unsigned bits,
                    MutableBytes out, const ChunkDecoders& with) noexcept {
    for (std::uint64_t i = 0; i < end; ++i) {
        const ChunkEntry entry = entry_of(frame, i);
        if (entry.size > body.size()) return Status::truncated;
        const Bytes payload = body.first(entry.size);
        body = body.subspan(entry.size);
        if (i < first) continue;
        const auto start = static_cast<std::size_t>((i << frame.chunk_log) / 8 * bits);
        BP_TRY(decode_one(frame, entry, payload, {out.data() + start, frame.chunk_bytes(i), bits}, with));
    }
    return end < frame.chunks || body.empty() ? Status::ok : Status::corrupt;
}

}  // namespace

Status decode_chunks(const Frame& frame, Bytes body, unsigned bits, MutableBytes out, const States& states,
                     DecodeChunk decode, DecodeChunk decode_mostly) noexcept {
    const unsigned parts = part_count(*states.workers, frame.chunks);
    if (parts == 0) return body.empty() ? Status::ok : Status::corrupt;
    states.copy(parts);
    return in_parts(*states.workers, parts, [&](unsigned i) noexcept {
        const ChunkDecoders with = {states.of(i), decode, decode_mostly};
        return decode_range(frame, body, part_begin(frame.chunks, parts, i), part_begin(frame.chunks, parts, i + 1),
                            bits, out, with);
    });
}

namespace {

struct Written {
    std::size_t bytes = 0;  // of the chunks
    std::size_t saved = 0;  // by those that refer to the table, against stored ones
};

// Writes all chunks at out and their entries at entry_at.
Written write_chunks(Bytes in, std::size_t chunk, bool may_share, std::uint8_t* entry_at, MutableBytes out, void* state,
                     EncodeChunk encode) noexcept {
    Written total;
    for (std::size_t start = 0; start < in.size(); start += chunk, entry_at += frame_entry_bytes) {
        const Bytes source = in.subspan(start, in.size() - start < chunk ? in.size() - start : chunk);
        const MutableBytes target = out.subspan(total.bytes);
        ChunkEntry entry{ChunkKind::fill, 0, 1, false};
        if (is_fill(source)) {
            target[0] = source[0];
        } else if (!encode(state, may_share, source, target.first(source.size() - 1), &entry)) {
            entry = {ChunkKind::stored, 0, source.size(), false};
            std::memcpy(target.data(), source.data(), source.size());
        }
        total.bytes += entry.size;
        if (entry.kind == ChunkKind::coded_shared || entry.shared) total.saved += source.size() - entry.size;
        write_entry(entry_at, entry);
    }
    return total;
}

// The same by all workers: each writes its chunks where they would stand uncoded, which they never outgrow; then they
// are moved together.
Written write_parts(Bytes in, unsigned chunk_log, bool may_share, std::uint8_t* entries, MutableBytes out,
                    const States& states, EncodeChunk encode) noexcept {
    const std::size_t chunks = ((in.size() - 1) >> chunk_log) + 1;
    const unsigned parts = part_count(*states.workers, chunks);
    const auto begin = [&](unsigned i) noexcept { return static_cast<std::size_t>(part_begin(chunks, parts, i)); };
    const auto offset = [&](unsigned i) noexcept { return i == parts ? in.size() : begin(i) << chunk_log; };
    Written written[max_workers];
    each_part(*states.workers, parts, [&](unsigned i) noexcept {
        const std::size_t at = offset(i);
        written[i] = write_chunks(in.subspan(at, offset(i + 1) - at), std::size_t{1} << chunk_log, may_share,
                                  entries + begin(i) * frame_entry_bytes, out.subspan(at), states.of(i), encode);
    });
    Written total;
    for (unsigned i = 0; i < parts; ++i) {
        std::memmove(out.data() + total.bytes, out.data() + offset(i), written[i].bytes);
        total.bytes += written[i].bytes;
        total.saved += written[i].saved;
    }
    return total;
}

}  // namespace

void encode_chunks(Bytes in, unsigned chunk_log, Bytes table, MutableBytes out, const States& states,
                   EncodeChunk encode, std::size_t* written, std::uint8_t table_flag) noexcept {
    std::uint8_t* const begin = out.data();
    std::size_t at = write_varint(begin, in.size());
    *written = at;
    if (in.empty()) return;
    const std::size_t head = at++;
    std::uint8_t* const entries = begin + at;
    const std::size_t chunks = ((in.size() - 1) >> chunk_log) + 1;
    at += chunks * frame_entry_bytes;
    states.copy(part_count(*states.workers, chunks));
    Written total = write_parts(in, chunk_log, !table.empty(), entries, out.subspan(at), states, encode);
    const bool has_table = total.saved > table.size();
    if (has_table) {
        std::memmove(begin + at + table.size(), begin + at, total.bytes);
        std::memcpy(begin + at, table.data(), table.size());
        at += table.size();
    } else if (total.saved > 0) {
        total = write_parts(in, chunk_log, false, entries, out.subspan(at), states, encode);
    }
    begin[head] = static_cast<std::uint8_t>((chunk_log - frame_min_chunk_log) | (has_table ? table_flag : 0u));
    *written = at + total.bytes;
}

namespace {

Status check_workspace(MutableBytes workspace, std::size_t need) noexcept {
    if (workspace.size() < need) return Status::memory_too_small;
    return need != 0 && reinterpret_cast<std::uintptr_t>(workspace.data()) % 8 != 0 ? Status::bad_argument : Status::ok;
}

}  // namespace

Status check_decode(std::uint64_t decoded, MutableBytes out, MutableBytes workspace, std::size_t need) noexcept {
    if (out.size() < decoded) return Status::output_too_small;
    if (out.size() > decoded) return Status::bad_argument;
    return check_workspace(workspace, need);
}

Status check_encode(std::size_t bound, Bytes in, MutableBytes out, MutableBytes workspace, std::size_t need) noexcept {
    if (std::uint64_t{in.size()} > frame_max_decoded) return Status::too_large;
    if (out.size() < bound) return Status::output_too_small;
    return check_workspace(workspace, need);
}

}  // namespace bitpress
