// LZW (Welch 1984) in bitpress's framing: independent chunks, codes of 9 to 16 bits, a dictionary that is kept when
// full.
#include "codings/bits.h"
#include "codings/codings.h"
#include "codings/frame.h"
#include "codings/lzw_core.h"
#include "codings/lzw_dictionary.h"

namespace bitpress {
namespace {

constexpr unsigned chunk_log = 18;  // 256 KiB

// ---- encoding

using EncodeState = lzw::EncodeDictionary;

bool encode_chunk(void* opaque, bool, Bytes chunk, MutableBytes out, ChunkEntry* entry) noexcept {
    constexpr lzw::Rules rules;
    EncodeState& dictionary = *static_cast<EncodeState*>(opaque);
    dictionary.clear(rules.last);
    BitWriter bits(out.data(), out.data() + out.size());
    std::size_t room = out.size() * 8;
    std::uint32_t newest = rules.first - 1;  // the word that was defined last
    std::uint32_t string = dictionary.id(chunk[0]);
    unsigned width = rules.min_width;
    for (std::size_t i = 1; i <= chunk.size(); ++i) {
        EncodeState::Place place;
        if (i < chunk.size() && dictionary.extend(&string, chunk[i], &place)) continue;
        if (width > room) return false;
        room -= width;
        bits.put(dictionary.word(string), width);
        bits.flush();
        if (i == chunk.size()) break;
        if (newest + 1 < rules.last) dictionary.insert(place, newest + 1);
        if (newest < rules.last) ++newest;
        if (rules.wider(newest, width)) ++width;
        string = dictionary.id(chunk[i]);
    }
    entry->kind = ChunkKind::coded;
    entry->size = static_cast<std::size_t>(bits.finish() - out.data());
    return true;
}

std::size_t bound(std::size_t n) noexcept { return frame_bound(n, chunk_log); }

Status encode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace,
              std::size_t* written) noexcept {
    BP_TRY(check_encode(bound(in.size()), in, out, workspace, workers_need(sizeof(EncodeState), workers)));
    const States states = {&workers, workspace.data(), sizeof(EncodeState), 0};
    encode_chunks(in, chunk_log, {}, out, states, encode_chunk, written);
    return Status::ok;
}

// ---- decoding

using DecodeState = lzw::DecodeDictionary;

Status decode_chunk(void* opaque, bool, const ChunkEntry& entry, Bytes payload, const CodeRoom& room) noexcept {
    DecodeState& dictionary = *static_cast<DecodeState*>(opaque);
    if (entry.kind != ChunkKind::coded || entry.streams_log != 0) return Status::corrupt;
    const MutableBytes out = room.bytes();
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

Status decode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace) noexcept {
    Frame frame;
    BP_TRY(open_frame(in, &frame));
    if (frame.has_table) return Status::corrupt;
    BP_TRY(check_decode(frame.decoded, out, workspace, workers_need(sizeof(DecodeState), workers)));
    return decode_chunks(frame, frame.body, 8, out, {&workers, workspace.data(), sizeof(DecodeState), 0}, decode_chunk);
}

}  // namespace

const Coding lzw_coding{CodingId::lzw, "lzw",  bound,  sizeof(EncodeState), sizeof(DecodeState), if_encoding(encode),
                        decoded_size,  decode, nullptr};

}  // namespace bitpress
