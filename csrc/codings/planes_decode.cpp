// How planes are decoded: within the chunk's own output, and joined there.
#include "codings/planes_frame.h"

namespace bitpress {
namespace {

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
    if (head->log > planes_max_chunk_log || byte >> 4 >= plane_kinds) return Status::corrupt;
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

// Coded planes are decoded into the end of the chunk's own output and joined from its front, a piece at a time, so that
// no room for planes is needed. A coder's memory is free again when the joining begins.
constexpr std::size_t piece = 2048;  // elements
constexpr std::size_t max_blocks = planes_chunk_most / piece;

struct JoinState {
    std::uint8_t now[max_planes * piece];   // planes of a piece that do not stand ready elsewhere
    std::uint8_t tail[max_planes * piece];  // coded planes of the last piece, where it is shorter
    std::uint8_t spare[piece];
    bool placed[max_blocks];
};

struct DecodeState {
    union {
        std::uint64_t coder[planes_decode_workspace / 8];  // enough for the codings of planes, which check it
        JoinState join;
    };
};
static_assert(sizeof(DecodeState) == planes_decode_workspace && sizeof(DecodeState) <= 65536);

// A plane of a chunk on its way: bytes in the frame, one byte, or bytes decoded into the output.
struct Plane {
    PlaneCoding coding;
    Bytes stored;
};

bool is_coded(const Plane& plane) noexcept {
    return plane.coding == PlaneCoding::huffman || plane.coding == PlaneCoding::rans;
}

// Takes a chunk's planes off the front of body.
Status take_planes(const std::uint8_t* entries, unsigned width, std::size_t count, Bytes* body,
                   Plane* planes) noexcept {
    for (unsigned k = 0; k < width; ++k) {
        PlaneEntry entry;
        if (!read_plane_entry(entries + k * frame_entry_bytes, &entry)) return Status::corrupt;
        if (entry.size > body->size()) return Status::truncated;
        planes[k] = {entry.coding, body->first(entry.size)};
        if (entry.coding == PlaneCoding::stored && entry.size != count) return Status::corrupt;
        if (entry.coding == PlaneCoding::fill && entry.size != 1) return Status::corrupt;
        *body = body->subspan(entry.size);
    }
    return Status::ok;
}

Status decode_plane(const Plane& plane, MutableBytes room, MutableBytes workspace) noexcept {
    const Coding& coder = coder_of_plane(plane.coding);
    std::uint64_t claimed = 0;
    BP_TRY(coder.decoded_size(plane.stored, &claimed));
    if (claimed != room.size() || plane.stored.size() >= room.size()) return Status::corrupt;
    return coder.decode(plane.stored, room, workspace);
}

// Blocks of `piece` bytes, those of the first of c planes, then of the second ..., become the first ones of all planes,
// then the second ones ...; each is moved once.
void interleave_blocks(std::uint8_t* blocks, std::size_t c, std::size_t m, JoinState* state) noexcept {
    std::memset(state->placed, 0, c * m);
    for (std::size_t start = 0; start < c * m; ++start) {
        if (state->placed[start]) continue;
        std::size_t to = start;
        std::memcpy(state->spare, blocks + start * piece, piece);
        for (;;) {
            const std::size_t from = to % c * m + to / c;
            state->placed[to] = true;
            if (from == start) break;
            std::memcpy(blocks + to * piece, blocks + from * piece, piece);
            to = from;
        }
        std::memcpy(blocks + to * piece, state->spare, piece);
    }
}

// Where coded planes stand in the output: piece j of plane i at first + j * per_piece + i * piece. What a shorter last
// piece has is saved apart where there are more planes than one.
struct Decoded {
    const std::uint8_t* first;
    std::size_t per_piece;
    std::size_t whole;  // pieces that stand there
};

Decoded arrange(MutableBytes room, std::size_t coded, std::size_t count, JoinState* state) noexcept {
    if (coded < 2) return {room.data(), piece, SIZE_MAX};
    const std::size_t whole = count / piece;
    const std::size_t rest = count % piece;
    std::uint8_t* const end = room.data() + room.size();
    for (std::size_t i = coded; rest != 0 && i-- > 0;) {
        const std::uint8_t* const plane = room.data() + i * count;
        std::memcpy(state->tail + i * piece, plane + whole * piece, rest);
        std::memmove(end - (coded - i) * whole * piece, plane, whole * piece);
    }
    std::uint8_t* const first = end - coded * whole * piece;
    interleave_blocks(first, coded, whole, state);
    return {first, coded * piece, whole};
}

// What a piece writes lies before the coded planes of the pieces after it, for there is always room for those.
void join(PlaneKind kind, const Plane* planes, std::size_t count, const Decoded& decoded, JoinState* state,
          std::uint8_t* out) noexcept {
    const unsigned width = plane_count(kind);
    for (unsigned k = 0; k < width; ++k) {
        if (planes[k].coding == PlaneCoding::fill) std::memset(state->now + k * piece, planes[k].stored[0], piece);
    }
    for (std::size_t at = 0, j = 0; at < count; at += piece, ++j, out += piece * width) {
        const std::size_t n = count - at < piece ? count - at : piece;
        const std::uint8_t* from[max_planes];
        const std::uint8_t* next = j < decoded.whole ? decoded.first + j * decoded.per_piece : state->tail;
        for (unsigned k = 0; k < width; ++k) {
            from[k] = state->now + k * piece;
            if (planes[k].coding == PlaneCoding::stored) from[k] = planes[k].stored.data() + at;
            if (!is_coded(planes[k])) continue;
            if (j < decoded.whole && next < out + n * width) {
                std::memcpy(state->now + k * piece, next, n);
            } else {
                from[k] = next;
            }
            next += piece;
        }
        kernels()->join_planes(kind, from, n, out);
    }
}

// One chunk, whose planes begin where body does; takes them off its front.
Status decode_chunk(PlaneKind kind, const std::uint8_t* entries, Bytes* body, MutableBytes out,
                    DecodeState* state) noexcept {
    const unsigned width = plane_count(kind);
    const std::size_t count = out.size() / width;
    Plane planes[max_planes];
    BP_TRY(take_planes(entries, width, count, body, planes));
    std::size_t coded = 0;
    for (unsigned k = 0; k < width; ++k) coded += is_coded(planes[k]) ? 1U : 0U;
    const MutableBytes room = out.last(coded * count);
    const MutableBytes workspace{reinterpret_cast<std::uint8_t*>(state->coder), sizeof state->coder};
    std::size_t at = 0;
    for (unsigned k = 0; k < width; ++k) {
        if (!is_coded(planes[k])) continue;
        BP_TRY(decode_plane(planes[k], room.subspan(at, count), workspace));
        at += count;
    }
    if (width > 1) {
        const Decoded decoded = arrange(room, coded, count, &state->join);
        join(kind, planes, count, decoded, &state->join, out.data());
    } else if (planes[0].coding == PlaneCoding::stored) {
        std::memcpy(out.data(), planes[0].stored.data(), count);
    } else if (planes[0].coding == PlaneCoding::fill) {
        std::memset(out.data(), planes[0].stored[0], count);
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
            if (!read_plane_entry(at, &entry)) return Status::corrupt;
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

}  // namespace

Status planes_decoded_size(Bytes in, std::uint64_t* size) noexcept {
    Head head;
    BP_TRY(open_head(in, &head));
    *size = head.decoded;
    return Status::ok;
}

Status planes_decode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    Head head;
    BP_TRY(open_head(in, &head));
    BP_TRY(check_decode(head.decoded, out, workspace, workers_need(sizeof(DecodeState), workers)));
    const unsigned parts = part_count(workers, head.chunks);
    return in_parts(workers, parts, [&](unsigned i) noexcept {
        auto* const state = reinterpret_cast<DecodeState*>(workspace.data() + i * worker_stride(sizeof(DecodeState)));
        return decode_range(head, part_begin(head.chunks, parts, i), part_begin(head.chunks, parts, i + 1), out, state);
    });
}

}  // namespace bitpress
