// What the fuzzers of the codings share.
#pragma once

#include "codings/codings.h"
#include "kernels/kernels.h"
#include "status.h"

#include "memory.h"

namespace bitpress::fuzz {

// Larger claims are decoded into too little room. Small, for speed (a chunk of 4 KiB and a short one), but where the
// first byte asks for more: for the tables that Huffman makes from 16 KiB on, or still larger chunks.
inline std::size_t most_decoded(std::uint8_t first) {
    if (first == 255) return std::size_t{1} << 17;
    return first >= 248 ? 20000 : 4500;
}

// Decodes with `decode(out, workspace) -> Status` twice, with other old contents: both say the same and give the same.
template <class Decode>
Status decode_twice(const Workspaces& work, std::size_t less, MutableBytes result, Decode decode) {
    const Memory second(result.size(), 0xFF);
    const Status a = decode(result, work.one.span().first(work.size - less));
    const Status b = decode(second.span(), work.other.span().first(work.size - less));
    require(a == b, "the status depends on old memory");
    if (a == Status::ok) require(equal(result, second.span()), "the output depends on old memory");
    return a;
}

// The size of the output that a fuzzer gives where `size` is right: the low bits of the first byte say how it deviates.
inline std::size_t deviating(unsigned deviation, std::size_t size) {
    switch (deviation) {
        case 1: return size > 0 ? size - 1 : 0;
        case 2: return size + 1;
        case 3: return 0;
        default: return size;
    }
}

// More workers than one, in one thread: nothing depends on which works when.
inline constexpr Workers several{3, nullptr, nullptr};

// What one worker gave, several give in other memory.
inline void decode_by_several(const Coding& coder, Bytes frame, Status plain, Bytes decoded) {
    static const LastingMemory work(workers_need(coder.decode_workspace, several), 0x55);
    const Memory out(decoded.size(), 0x55);
    require(coder.decode_by(several, frame, out.span(), work.span()) == plain, "several workers say something else");
    if (plain == Status::ok) require(equal(out.span(), decoded), "several workers give something else");
}

// Packed codes of a frame are those of its bytes, where each of them has few bits; else the frame is refused.
inline void decode_codes_too(const Coding& coder, Bytes frame, unsigned bits, Status plain, Bytes decoded,
                             MutableBytes work) {
    const Memory packed(static_cast<std::size_t>(packed_bytes(decoded.size(), bits)), 0);
    const Status status = coder.decode_codes(bits, frame, packed.span(), work);
    bool few = plain == Status::ok;
    for (std::size_t i = 0; few && i < decoded.size(); ++i) few = decoded[i] >> bits == 0;
    require((status == Status::ok) == few, "packed codes are refused where bytes are not, or the other way round");
    if (!few) return;
    const Memory want(packed.span().size(), 0);
    kernels()->pack_bits(decoded.data(), decoded.size(), bits, want.span().data());
    require(equal(want.span(), packed.span()), "packed codes are not the packed bytes");
}

// The first byte says how the output or the workspace deviates from what it should be (bits 0 to 2), what the result is
// held to (bit 3: several workers and packed codes of 1 to 7 bits, by bits 4 to 6; else itself), and how much may be
// decoded; the rest is the frame. One coding a program.
inline void decode_frame(const Coding& coder, Bytes data) {
    static const Workspaces work(coder.decode_workspace);
    if (data.empty()) return;
    const unsigned deviation = data[0] & 7;
    const Bytes frame = data.subspan(1);
    std::uint64_t claimed = 0;
    if (coder.decoded_size(frame, &claimed) != Status::ok) {
        const Memory out(16, 0);
        require(coder.decode(frame, out.span(), work.one.span()) != Status::ok, "decoded what has no size");
        return;
    }
    const std::size_t most = most_decoded(data[0]);
    const std::size_t size = deviating(deviation, claimed < most ? static_cast<std::size_t>(claimed) : most);
    const std::size_t less = deviation == 4 && coder.decode_workspace > 0 ? 1 : 0;
    const Memory out(size, 0);
    const auto decode = [&](MutableBytes to, MutableBytes memory) { return coder.decode(frame, to, memory); };
    Status status = Status::ok;
    if ((data[0] & 8) == 0 || less != 0) {
        status = decode_twice(work, less, out.span(), decode);
    } else {
        status = decode(out.span(), work.one.span());
        decode_by_several(coder, frame, status, out.span());
        if (coder.decode_codes != nullptr && claimed == size) {
            decode_codes_too(coder, frame, 1 + (data[0] >> 4 & 7) % 7, status, out.span(), work.other.span());
        }
    }
    if (status == Status::ok) require(size == claimed && less == 0, "decoded into the wrong room");
}

}  // namespace bitpress::fuzz
