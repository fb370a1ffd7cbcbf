// What the fuzzers of the codings share: memory of exact sizes, so that AddressSanitizer sees the first byte too many.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>

#include "codings/code_room.h"
#include "codings/codings.h"
#include "kernels/kernels.h"

namespace bitpress::fuzz {

// Exact, on the heap, filled with a byte: a result must not depend on what memory held before.
class Memory {
  public:
    Memory(std::size_t size, int fill) : bytes_(new std::uint8_t[size]), size_(size) {
        std::memset(bytes_.get(), fill, size);
    }
    MutableBytes span() const { return {bytes_.get(), size_}; }

  private:
    std::unique_ptr<std::uint8_t[]> bytes_;
    std::size_t size_;
};

inline void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

inline bool equal(Bytes a, Bytes b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

// Larger claims are decoded into too little room. Small, for speed, but where the first byte asks for more.
inline std::size_t most_decoded(std::uint8_t first) { return first >= 240 ? 1 << 17 : 1 << 13; }

// Workspaces are made once: what one input leaves in them is the next one's old memory. Two of each size are never
// alike.
struct Workspaces {
    explicit Workspaces(std::size_t size) : one(size, 0), other(size, 0xA5), size(size) {}
    Memory one, other;
    std::size_t size;
};

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

// Packed codes of a frame are those of its bytes, where each of them has few bits; else the frame is refused.
inline void decode_codes_too(const Coding& coder, Bytes frame, unsigned bits, Status plain, Bytes decoded,
                             const Workspaces& work) {
    const Memory packed(static_cast<std::size_t>(packed_bytes(decoded.size(), bits)), 0);
    const Status status = decode_twice(work, 0, packed.span(), [&](MutableBytes to, MutableBytes memory) {
        return coder.decode_codes(bits, frame, to, memory);
    });
    bool few = plain == Status::ok;
    for (std::size_t i = 0; few && i < decoded.size(); ++i) few = decoded[i] >> bits == 0;
    require((status == Status::ok) == few, "packed codes are refused where bytes are not, or the other way round");
    if (!few) return;
    const Memory want(packed.span().size(), 0);
    kernels()->pack_bits(decoded.data(), decoded.size(), bits, want.span().data());
    require(equal(want.span(), packed.span()), "packed codes are not the packed bytes");
}

// The first byte picks how the output or the workspace deviates from what it should be; the rest is the frame.
inline void decode_frame(const Coding& coder, Bytes data) {
    static const Workspaces decoding(coder.decode_workspace), encoding(coder.encode_workspace);
    if (data.empty()) return;
    const unsigned deviation = data[0] & 7;
    const Bytes frame = data.subspan(1);
    std::uint64_t claimed = 0;
    if (coder.decoded_size(frame, &claimed) != Status::ok) {
        const Memory out(16, 0);
        require(coder.decode(frame, out.span(), decoding.one.span()) != Status::ok, "decoded what has no size");
        return;
    }
    const std::size_t most = most_decoded(data[0]);
    const std::size_t size = deviating(deviation, claimed < most ? static_cast<std::size_t>(claimed) : most);
    const std::size_t less = deviation == 4 && coder.decode_workspace > 0 ? 1 : 0;
    const Memory out(size, 0);
    const Status status = decode_twice(
        decoding, less, out.span(), [&](MutableBytes to, MutableBytes work) { return coder.decode(frame, to, work); });
    static const Memory their_work(workers_need(coder.decode_workspace, several), 0x55);
    const Memory by_several(size, 0x55);
    const Status theirs = coder.decode_by(several, frame, by_several.span(), their_work.span());
    if (less == 0) require(theirs == status, "several workers say something else");
    if (coder.decode_codes != nullptr && claimed == size && less == 0) {
        decode_codes_too(coder, frame, 1 + (data[0] >> 4 & 7) % 7, status, out.span(), decoding);
    }
    if (status != Status::ok) return;
    require(equal(by_several.span(), out.span()), "several workers give something else");
    require(size == claimed && less == 0, "decoded into the wrong room");
    if ((data[0] & 8) == 0) return;
    // What was decoded is data like any other: its own frame gives it back.
    const Memory again(coder.bound(size), 0);
    std::size_t written = 0;
    require(coder.encode(out.span(), again.span(), encoding.one.span(), &written) == Status::ok, "cannot encode");
    const Memory back(size, 0);
    require(coder.decode(again.span().first(written), back.span(), decoding.one.span()) == Status::ok, "cannot decode");
    require(equal(back.span(), out.span()), "the round trip changed the data");
}

}  // namespace bitpress::fuzz
