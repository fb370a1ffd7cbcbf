#include "codings/frame.h"

namespace bitpress {
namespace {

ChunkEntry read_entry(const std::uint8_t* p) noexcept {
    const std::uint32_t value = static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
                                static_cast<std::uint32_t>(p[2]) << 16;
    return {static_cast<ChunkKind>(value & 3), (value >> 2) & 3, (value >> 4) + 1, 0, false};
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

std::size_t frame_bound(std::size_t n, unsigned chunk_log, std::size_t table) noexcept {
    if (n == 0) return 1;
    const std::size_t chunks = ((n - 1) >> chunk_log) + 1;
    return n + frame_max_varint + 1 + chunks * frame_entry_bytes + (chunks > 1 ? table : 0);
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
