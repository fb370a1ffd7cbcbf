// Byte planes (as Parquet's BYTE_STREAM_SPLIT and Blosc's shuffle), the exponent of a float being one of them: each
// plane of a chunk is stored, filled or coded by Huffman or rANS, whichever suits it.
#include "codings/planes.h"

#include "codings/planes_frame.h"

namespace bitpress {
namespace {

constexpr unsigned chunk_log = planes_max_chunk_log;        // 256 KiB of elements
constexpr std::size_t coder_fixed = std::size_t{71} << 10;  // enough for the codings of planes, which check it
constexpr std::size_t coder_slack = 64;  // what their bounds add to a chunk of planes, for each worker

void write_entry(std::uint8_t* p, const PlaneEntry& entry) noexcept {
    const auto value = static_cast<std::uint32_t>(entry.coding) | static_cast<std::uint32_t>(entry.size - 1) << 4;
    p[0] = static_cast<std::uint8_t>(value);
    p[1] = static_cast<std::uint8_t>(value >> 8);
    p[2] = static_cast<std::uint8_t>(value >> 16);
}

// What the coder of a plane of m bytes needs: its tables, and 1.4 m for rANS.
constexpr std::size_t coder_need(std::size_t m) noexcept { return coder_fixed + m + m / 8 + m / 4 + m / 64; }

// A chunk has one plane, which stands in the input, or more, which are split into the workspace: then none has more
// than half of the chunk.
constexpr std::size_t one_plane = coder_need(planes_chunk_most);
constexpr std::size_t more_planes = planes_chunk_most + coder_need(planes_chunk_most / 2);

struct EncodeState {
    std::uint64_t counts[256];
    std::uint64_t memory[(one_plane > more_planes ? one_plane : more_planes) / 8];

    std::uint8_t* planes() noexcept { return reinterpret_cast<std::uint8_t*>(memory); }
    MutableBytes coder(bool one) noexcept {
        const std::size_t before = one ? 0 : planes_chunk_most;
        return {planes() + before, sizeof memory - before};
    }
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

Status encode_plane(Bytes plane, MutableBytes coder, MutableBytes out, EncodeState* state, PlaneEntry* entry) noexcept {
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
            BP_TRY(coder_of_plane(entry->coding).encode(plane, out, coder, &entry->size));
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
    for (unsigned k = 0; k < width; ++k) planes[k] = state->planes() + k * count;
    if (width > 1) kernels()->split_planes(kind, chunk.data(), count, planes);
    *used = 0;
    for (unsigned k = 0; k < width; ++k) {
        const Bytes plane = width == 1 ? chunk : Bytes(planes[k], count);
        PlaneEntry entry;
        BP_TRY(encode_plane(plane, state->coder(width == 1), out.subspan(*used), state, &entry));
        write_entry(entry_at + k * frame_entry_bytes, entry);
        *used += entry.size;
    }
    return Status::ok;
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

extern const Coding planes_coding{
    CodingId::planes,    "planes",      bound,  sizeof(EncodeState), planes_decode_workspace, if_encoding(encode),
    planes_decoded_size, planes_decode, nullptr};

}  // namespace bitpress
