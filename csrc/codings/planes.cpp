// Byte planes (as Parquet's BYTE_STREAM_SPLIT and Blosc's shuffle), the exponent of a float being one of them: each
// plane of a chunk is stored, filled or coded by Huffman or rANS, whichever suits it.
#include "codings/planes.h"

#include "codings/codings.h"
#include "codings/frame.h"

namespace bitpress {
namespace {

constexpr unsigned chunk_log = 18;  // 256 KiB of elements
constexpr unsigned max_chunk_log = 18;
constexpr std::size_t chunk_most = std::size_t{1} << max_chunk_log;
constexpr std::size_t encode_workspace = std::size_t{4} << 20;  // enough for the codings of planes, which check it
constexpr std::size_t decode_workspace = std::size_t{128} << 10;
constexpr std::size_t coder_slack = 64;  // what their bounds add to a chunk of planes, for each worker

enum class PlaneCoding : std::uint8_t { stored = 0, fill = 1, huffman = 2, rans = 3 };

struct PlaneEntry {
    PlaneCoding coding = PlaneCoding::stored;
    std::size_t size = 0;  // stored bytes, at least 1
};

const Coding& coder_of(PlaneCoding coding) noexcept {
    return coding == PlaneCoding::huffman ? huffman_coding : rans_coding;
}

void write_entry(std::uint8_t* p, const PlaneEntry& entry) noexcept {
    const auto value = static_cast<std::uint32_t>(entry.coding) | static_cast<std::uint32_t>(entry.size - 1) << 4;
    p[0] = static_cast<std::uint8_t>(value);
    p[1] = static_cast<std::uint8_t>(value >> 8);
    p[2] = static_cast<std::uint8_t>(value >> 16);
}

bool read_entry(const std::uint8_t* p, PlaneEntry* entry) noexcept {
    const std::uint32_t value = static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
                                static_cast<std::uint32_t>(p[2]) << 16;
    *entry = {static_cast<PlaneCoding>(value & 3), (value >> 4) + 1};
    return (value & 12) == 0;
}

// ---- encoding

struct EncodeState {
    std::uint64_t coder[encode_workspace / 8];
    std::uint64_t counts[256];
    std::uint8_t planes[chunk_most];
};

// Which coding is worth a try. A plane that is all but even (its collision entropy is within 0.68 bits of 8, and the
// collision entropy bounds Shannon's from below) is not; where one value is more than half, Huffman's code wastes.
PlaneCoding choose(const std::uint64_t counts[256], std::uint64_t n) noexcept {
    std::uint64_t most = 0;
    std::uint64_t squares = 0;
    for (unsigned i = 0; i < 256; ++i) {
        most = counts[i] > most ? counts[i] : most;
        squares += counts[i] * counts[i];
    }
    if (n > 1 && most == n) return PlaneCoding::fill;
    if (160 * squares <= n * n) return PlaneCoding::stored;
    return 2 * most > n ? PlaneCoding::rans : PlaneCoding::huffman;
}

Status encode_plane(Bytes plane, MutableBytes out, EncodeState* state, PlaneEntry* entry) noexcept {
    std::memset(state->counts, 0, sizeof state->counts);
    kernels()->histogram(plane.data(), plane.size(), state->counts);
    *entry = {choose(state->counts, plane.size()), plane.size()};
    switch (entry->coding) {
        case PlaneCoding::stored: break;
        case PlaneCoding::fill:
            out[0] = plane[0];
            entry->size = 1;
            return Status::ok;
        case PlaneCoding::huffman:
        case PlaneCoding::rans: {
            const MutableBytes workspace{reinterpret_cast<std::uint8_t*>(state->coder), sizeof state->coder};
            BP_TRY(coder_of(entry->coding).encode(plane, out, workspace, &entry->size));
            if (entry->size < plane.size()) return Status::ok;
            *entry = {PlaneCoding::stored, plane.size()};
        }
    }
    std::memcpy(out.data(), plane.data(), plane.size());
    return Status::ok;
}

std::size_t bound(std::size_t n) noexcept { return planes_bound(PlaneKind::bytes1, n); }

Status encode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace,
              std::size_t* written) noexcept {
    return planes_encode(workers, PlaneKind::bytes1, in, out, workspace, written);
}

// One chunk, its planes' entries at entry_at; *used is what it takes at the front of out.
Status encode_chunk(PlaneKind kind, Bytes chunk, std::uint8_t* entry_at, MutableBytes out, EncodeState* state,
                    std::size_t* used) noexcept {
    const unsigned width = plane_count(kind);
    const std::size_t count = chunk.size() / width;
    std::uint8_t* planes[max_planes] = {};
    for (unsigned k = 0; k < width; ++k) planes[k] = state->planes + k * count;
    if (width > 1) kernels()->split_planes(kind, chunk.data(), count, planes);
    *used = 0;
    for (unsigned k = 0; k < width; ++k) {
        const Bytes plane = width == 1 ? chunk : Bytes(planes[k], count);
        PlaneEntry entry;
        BP_TRY(encode_plane(plane, out.subspan(*used), state, &entry));
        write_entry(entry_at + k * frame_entry_bytes, entry);
        *used += entry.size;
    }
    return Status::ok;
}

// ---- decoding

struct Head {
    std::uint64_t decoded = 0;
    std::uint64_t chunks = 0;
    unsigned log = 0;  // of a chunk's bytes
    PlaneKind kind = PlaneKind::bytes1;
    Bytes entries;  // 3 bytes a plane, the planes of one chunk after the other
    Bytes body;
};

Status open_head(Bytes in, Head* head) noexcept {
    *head = Head{};
    std::size_t used = 0;
    BP_TRY(read_varint(in, frame_max_decoded, &head->decoded, &used));
    if (head->decoded == 0) return in.size() == used ? Status::ok : Status::corrupt;
    if (in.size() == used) return Status::truncated;
    const unsigned byte = in[used++];
    head->log = frame_min_chunk_log + (byte & 15);
    if (head->log > max_chunk_log || byte >> 4 >= plane_kinds) return Status::corrupt;
    head->kind = static_cast<PlaneKind>(byte >> 4);
    const unsigned width = plane_count(head->kind);
    if (head->decoded % width != 0) return Status::corrupt;
    head->chunks = ((head->decoded - 1) >> head->log) + 1;
    const std::size_t left = in.size() - used;
    if (head->chunks > left / (width * (frame_entry_bytes + 1))) return Status::truncated;
    const std::size_t entries = static_cast<std::size_t>(head->chunks) * width * frame_entry_bytes;
    head->entries = in.subspan(used, entries);
    head->body = in.subspan(used + entries);
    return Status::ok;
}

Status decoded_size(Bytes in, std::uint64_t* size) noexcept {
    Head head;
    BP_TRY(open_head(in, &head));
    *size = head.decoded;
    return Status::ok;
}

struct DecodeState {
    std::uint64_t coder[decode_workspace / 8];
    std::uint8_t planes[chunk_most];
};

// Decodes a plane into `room` (its decoded size), or finds that its bytes stand in the frame as they are.
Status decode_plane(const PlaneEntry& entry, Bytes stored, MutableBytes room, MutableBytes workspace,
                    const std::uint8_t** plane) noexcept {
    *plane = room.data();
    switch (entry.coding) {
        case PlaneCoding::stored:
            if (stored.size() != room.size()) return Status::corrupt;
            *plane = stored.data();
            return Status::ok;
        case PlaneCoding::fill:
            if (stored.size() != 1) return Status::corrupt;
            std::memset(room.data(), stored[0], room.size());
            return Status::ok;
        case PlaneCoding::huffman:
        case PlaneCoding::rans: break;
    }
    const Coding& coder = coder_of(entry.coding);
    std::uint64_t claimed = 0;
    BP_TRY(coder.decoded_size(stored, &claimed));
    if (claimed != room.size() || stored.size() >= room.size()) return Status::corrupt;
    return coder.decode(stored, room, workspace);
}

// One chunk, whose planes begin where body does; takes them off its front.
Status decode_chunk(PlaneKind kind, const std::uint8_t* entries, Bytes* body, MutableBytes out,
                    DecodeState* state) noexcept {
    const unsigned width = plane_count(kind);
    const std::size_t count = out.size() / width;
    const MutableBytes workspace{reinterpret_cast<std::uint8_t*>(state->coder), sizeof state->coder};
    std::uint8_t* const room = width == 1 ? out.data() : state->planes;
    const std::uint8_t* planes[max_planes];
    for (unsigned k = 0; k < width; ++k) {
        PlaneEntry entry;
        if (!read_entry(entries + k * frame_entry_bytes, &entry)) return Status::corrupt;
        if (entry.size > body->size()) return Status::truncated;
        BP_TRY(decode_plane(entry, body->first(entry.size), {room + k * count, count}, workspace, &planes[k]));
        *body = body->subspan(entry.size);
    }
    if (width > 1) {
        kernels()->join_planes(kind, planes, count, out.data());
    } else if (planes[0] != out.data()) {
        std::memcpy(out.data(), planes[0], out.size());
    }
    return Status::ok;
}

// Decodes the chunks [first, end). The last one's planes must be the last of the body.
Status decode_range(const Head& head, std::uint64_t first, std::uint64_t end, MutableBytes out,
                    DecodeState* state) noexcept {
    const std::size_t entries = std::size_t{plane_count(head.kind)} * frame_entry_bytes;
    Bytes body = head.body;
    const std::uint8_t* at = head.entries.data();
    for (std::uint64_t i = 0; i < first; ++i) {
        for (const std::uint8_t* const next = at + entries; at != next; at += frame_entry_bytes) {
            PlaneEntry entry;
            if (!read_entry(at, &entry)) return Status::corrupt;
            if (entry.size > body.size()) return Status::truncated;
            body = body.subspan(entry.size);
        }
    }
    for (std::uint64_t i = first; i < end; ++i, at += entries) {
        const MutableBytes rest = out.subspan(static_cast<std::size_t>(i << head.log));
        const std::size_t size = rest.size() >> head.log == 0 ? rest.size() : std::size_t{1} << head.log;
        BP_TRY(decode_chunk(head.kind, at, &body, rest.first(size), state));
    }
    return end < head.chunks || body.empty() ? Status::ok : Status::corrupt;
}

Status decode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    Head head;
    BP_TRY(open_head(in, &head));
    BP_TRY(check_decode(head.decoded, out, workspace, workers_need(sizeof(DecodeState), workers)));
    const unsigned parts = part_count(workers, head.chunks);
    return in_parts(workers, parts, [&](unsigned i) noexcept {
        auto* const state = reinterpret_cast<DecodeState*>(workspace.data() + i * worker_stride(sizeof(DecodeState)));
        return decode_range(head, part_begin(head.chunks, parts, i), part_begin(head.chunks, parts, i + 1), out, state);
    });
}

}  // namespace

std::size_t planes_bound(PlaneKind kind, std::size_t n) noexcept {
    if (n == 0) return 1;
    const std::size_t chunks = ((n - 1) >> chunk_log) + 1;
    const std::size_t parts = chunks < max_workers ? chunks : max_workers;
    return n + frame_max_varint + 1 + chunks * plane_count(kind) * frame_entry_bytes + parts * coder_slack;
}

// Each worker writes its chunks where they would stand uncoded, behind its own and earlier workers' slack; then they
// are moved together.
Status planes_encode(const Workers& workers, PlaneKind kind, Bytes in, MutableBytes out, MutableBytes workspace,
                     std::size_t* written) noexcept {
    const unsigned width = plane_count(kind);
    if (in.size() % width != 0) return Status::bad_argument;
    const std::size_t need = workers_need(sizeof(EncodeState), workers);
    BP_TRY(check_encode(planes_bound(kind, in.size()), in, out, workspace, need));
    std::size_t at = write_varint(out.data(), in.size());
    *written = at;
    if (in.empty()) return Status::ok;
    out[at++] = static_cast<std::uint8_t>((chunk_log - frame_min_chunk_log) | static_cast<unsigned>(kind) << 4);
    std::uint8_t* const entries = out.data() + at;
    const std::size_t chunks = ((in.size() - 1) >> chunk_log) + 1;
    at += chunks * width * frame_entry_bytes;
    const MutableBytes body = out.subspan(at);
    const unsigned parts = part_count(workers, chunks);
    const auto begin = [&](unsigned i) noexcept { return static_cast<std::size_t>(part_begin(chunks, parts, i)); };
    const auto room = [&](unsigned i) noexcept { return (begin(i) << chunk_log) + i * coder_slack; };
    std::size_t used[max_workers] = {};
    const Status status = in_parts(workers, parts, [&](unsigned i) noexcept {
        auto* const state = reinterpret_cast<EncodeState*>(workspace.data() + i * worker_stride(sizeof(EncodeState)));
        const MutableBytes mine = i + 1 == parts ? body.subspan(room(i)) : body.subspan(room(i), room(i + 1) - room(i));
        for (std::size_t c = begin(i); c < begin(i + 1); ++c) {
            const Bytes rest = in.subspan(c << chunk_log);
            const Bytes chunk = rest.first(rest.size() >> chunk_log == 0 ? rest.size() : std::size_t{1} << chunk_log);
            std::size_t size = 0;
            BP_TRY(encode_chunk(kind, chunk, entries + c * width * frame_entry_bytes, mine.subspan(used[i]), state,
                                &size));
            used[i] += size;
        }
        return Status::ok;
    });
    BP_TRY(status);
    for (unsigned i = 0; i < parts; ++i) {
        std::memmove(out.data() + at, body.data() + room(i), used[i]);
        at += used[i];
    }
    *written = at;
    return Status::ok;
}

extern const Coding planes_coding{CodingId::planes,    "planes",     bound, sizeof(EncodeState), sizeof(DecodeState),
                                  if_encoding(encode), decoded_size, decode};

}  // namespace bitpress
