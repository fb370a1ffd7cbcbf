// LZW (Welch 1984) in bitpress's framing: independent chunks, codes of 9 to 16 bits, a dictionary that is kept when
// full.
#include "codings/bits.h"
#include "codings/codings.h"
#include "codings/frame.h"
#include "codings/lzw_core.h"
#include "codings/lzw_dictionary.h"

namespace bitpress {
namespace {

constexpr std::uint32_t first_code = 256;

constexpr unsigned chunk_log = 18;  // 256 KiB
constexpr std::uint32_t dictionary_end = 1u << lzw::max_bits;

// Before the i-th code of a chunk, the codes below limit(i) are defined (the last of them only just: KwKwK).
std::uint32_t limit(std::size_t i) noexcept {
    return i < dictionary_end - first_code ? first_code + static_cast<std::uint32_t>(i) : dictionary_end;
}

// ---- encoding

using EncodeState = lzw::EncodeDictionary;

bool encode_chunk(void* opaque, bool, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept {
    EncodeState& dictionary = *static_cast<EncodeState*>(opaque);
    dictionary.clear(chunk.size());
    BitWriter bits(out.data(), out.data() + out.size());
    const std::size_t room = out.size() * 8;
    std::size_t used = 0, count = 0;
    std::uint32_t next = first_code;  // the code that the next new string gets
    std::uint32_t current = chunk[0];
    unsigned width = lzw::min_bits;
    for (std::size_t i = 1; i <= chunk.size(); ++i) {
        std::uint32_t slot = 0;
        if (i < chunk.size()) {
            slot = dictionary.find(current, chunk[i]);
            if (dictionary.holds(slot)) {
                current = dictionary.code[slot];
                continue;
            }
        }
        if (limit(count) > 1u << width) ++width;
        used += width;
        if (used > room) return false;
        bits.put(current, width);
        bits.flush();
        ++count;
        if (i == chunk.size()) break;
        if (next < dictionary_end) dictionary.insert(slot, current, chunk[i], next++);
        current = chunk[i];
    }
    entry->kind = ChunkKind::coded;
    entry->size = static_cast<std::size_t>(bits.finish() - out.data());
    return true;
}

std::size_t bound(std::size_t n) noexcept { return frame_bound(n, chunk_log); }

Status encode(Bytes in, MutableBytes out, MutableBytes workspace, std::size_t* written) noexcept {
    BP_TRY(check_encode(bound(in.size()), in, out, workspace, sizeof(EncodeState)));
    encode_chunks(in, chunk_log, {}, out, workspace.data(), encode_chunk, written);
    return Status::ok;
}

// ---- decoding

using DecodeState = lzw::DecodeDictionary;

Status decode_chunk(void* opaque, bool, const ChunkEntry& entry, Bytes payload, MutableBytes out) noexcept {
    DecodeState& dictionary = *static_cast<DecodeState*>(opaque);
    if (entry.kind != ChunkKind::coded || entry.streams_log != 0) return Status::corrupt;
    lzw::Decoded result;
    const Status status = lzw::decode_codes({}, payload, out, lzw::Room::full, dictionary, &result);
    if (status != Status::ok || result.bytes != out.size()) return Status::corrupt;
    return ends_in_last_byte(payload, result.position) ? Status::ok : Status::corrupt;
}

Status decoded_size(Bytes in, std::uint64_t* size) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame));
    if (frame.has_table) return Status::corrupt;
    *size = frame.decoded;
    return Status::ok;
}

Status decode(Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame));
    if (frame.has_table) return Status::corrupt;
    BP_TRY(check_decode(frame.decoded, out, workspace, sizeof(DecodeState)));
    return decode_chunks(frame, frame.body, out, workspace.data(), decode_chunk);
}

}  // namespace

const Coding lzw_coding{CodingId::lzw,       "lzw",  bound,        sizeof(EncodeState),
                        sizeof(DecodeState), encode, decoded_size, decode};

}  // namespace bitpress
