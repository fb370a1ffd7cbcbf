// How the fuzzers of frames mutate them: as libFuzzer does, then what the sizes in a frame must add up to is set right,
// so that the search does not end at them; or a frame of other data, so that it does not end at what only an encoder
// can make (the last states of rANS).
#pragma once

#include "codings/codings.h"
#include "codings/frame.h"
#include "codings/huffman_code.h"
#include "codings/planes_frame.h"
#include "codings/rans_model.h"

#include "memory.h"

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace bitpress::fuzz {

// Entries of `bytes` bytes, in which sizes less 1 begin at bit `shift`: the last one becomes what the body, which all
// of them fill, has left.
inline void repair_last(Bytes entries, unsigned bytes, unsigned shift, std::size_t body) {
    auto* const at = const_cast<std::uint8_t*>(entries.data());
    const auto load = [&](std::size_t i) {
        std::uint32_t entry = 0;
        std::memcpy(&entry, at + i, bytes);
        return entry;
    };
    std::uint64_t others = 0;
    for (std::size_t i = 0; i + bytes < entries.size(); i += bytes) others += (load(i) >> shift) + 1;
    if (others >= body) return;
    const std::size_t last = entries.size() - bytes;
    const auto size = static_cast<std::uint32_t>(body - others - 1);
    const std::uint32_t entry = (load(last) & ((1U << shift) - 1U)) | size << shift;
    if (entry >> shift == size) std::memcpy(at + last, &entry, bytes);
}

// Bytes of the tables that chunks of a frame share, or more than there are where they cannot be read.
inline std::size_t shared_tables(CodingId coding, const Frame& frame) {
    const unsigned tables = (frame.has_table ? 1U : 0U) + (frame.has_pair ? 2U : 0U);
    std::size_t total = 0;
    for (unsigned i = 0; i < tables; ++i) {
        std::size_t used = 0;
        RansFrequencies frequencies;
        HuffmanLengths lengths;
        const Bytes in = frame.body.subspan(total);
        const Status status = coding == CodingId::rans ? read_rans_table(in, &frequencies, &used)
                                                       : read_huffman_table(in, &lengths, &used);
        if (status != Status::ok) return frame.body.size();
        total += used;
    }
    return total;
}

inline void repair_frame(CodingId coding, MutableBytes data) {
    Frame frame;
    if (open_frame(data, &frame, coding == CodingId::rans) != Status::ok || frame.decoded == 0) return;
    const std::size_t tables = shared_tables(coding, frame);
    repair_last(frame.entries, frame_entry_bytes, 4, frame.body.size() - tables);
}

// Planes have an entry each: what stands before the entries is a varint and the head.
inline void repair_planes(MutableBytes data) {
    std::uint64_t decoded = 0;
    std::size_t used = 0;
    if (read_varint(data, frame_max_decoded, &decoded, &used) != Status::ok || used == data.size()) return;
    const std::uint8_t head = data[used++];
    if (decoded == 0 || head >> 4 >= plane_kinds) return;
    const std::uint64_t chunks = ((decoded - 1) >> (frame_min_chunk_log + (head & 15))) + 1;
    const std::uint64_t entries = chunks * plane_count(static_cast<PlaneKind>(head >> 4)) * frame_entry_bytes;
    if (entries >= data.size() - used) return;
    const auto table = data.subspan(used, static_cast<std::size_t>(entries));
    repair_last(table, frame_entry_bytes, 4, data.size() - used - table.size());
}

// Decodes the frame, mutates what it holds, and encodes that; 0 where it is no frame of little enough.
inline std::size_t mutate_decoded(const Coding& coder, MutableBytes frame, std::size_t size) {
    constexpr std::size_t most = 4608;
    static const LastingMemory decoding(coder.decode_workspace, 0), encoding(coder.encode_workspace, 0);
    std::uint64_t claimed = 0;
    const Bytes in = frame.first(size);
    if (coder.decoded_size(in, &claimed) != Status::ok || claimed > most) return 0;
    const auto count = static_cast<std::size_t>(claimed);
    const Memory decoded(most, 0), again(coder.bound(most), 0);
    if (coder.decode(in, decoded.span().first(count), decoding.span()) != Status::ok) return 0;
    const std::size_t changed = LLVMFuzzerMutate(decoded.span().data(), count, most);
    std::size_t written = 0;
    const Status status = coder.encode(decoded.span().first(changed), again.span(), encoding.span(), &written);
    require(status == Status::ok, "cannot encode");
    if (written > frame.size()) return 0;
    std::memcpy(frame.data(), again.span().data(), written);
    return written;
}

// Of inputs whose first `before` bytes are the fuzzer's own, a frame of `coder` after them.
inline std::size_t mutate_frame(const Coding& coder, std::size_t before, std::uint8_t* data, std::size_t size,
                                std::size_t max_size, unsigned seed) {
    if (seed % 32 == 0 && size > before) {
        const MutableBytes room(data + before, max_size - before);
        const std::size_t written = mutate_decoded(coder, room, size - before);
        if (written != 0) return before + written;
    }
    const std::size_t changed = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8 != 1 && changed > before) {
        const MutableBytes frame(data + before, changed - before);
        if (coder.id == CodingId::planes) {
            repair_planes(frame);
        } else {
            repair_frame(coder.id, frame);
        }
    }
    return changed;
}

}  // namespace bitpress::fuzz
