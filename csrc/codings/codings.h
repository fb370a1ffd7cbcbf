// Lossless codings: bytes in, bytes out. codings.def lists them; docs/format.md, "Codings", says every bit.
#pragma once

#include "bytes.h"
#include "status.h"
#include "workers.h"

namespace bitpress {

enum class CodingId : std::uint8_t {
#define BP_CODING(name, number) name = number,
#include "codings/codings.def"
#undef BP_CODING
};

// One coding. Encoded bytes are a self-contained frame: they say their decoded size and hold their chunk table.
// Every function is noexcept and allocates nothing.
struct Coding {
    CodingId id;
    const char* name;
    // Most bytes that encoding n bytes can take; encode needs an output of that size.
    std::size_t (*bound)(std::size_t n) noexcept;
    // Bytes of workspace that a worker needs to encode / decode (alignment 8), for any input; workers_need tells all
    // workers'.
    std::size_t encode_workspace;
    std::size_t decode_workspace;
    // The same bytes for any number of workers. Null in a minimal build.
    Status (*encode_by)(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace,
                        std::size_t* written) noexcept;
    // The size that the frame claims, checked against what its length can hold at all; nothing is decoded.
    Status (*decoded_size)(Bytes in, std::uint64_t* size) noexcept;
    // out must have exactly the decoded size. On any Status but ok, out's content is unspecified.
    Status (*decode_by)(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace) noexcept;
    // The same into codes of `bits` bits (1..7) a decoded byte, packed (docs/format.md, stream record, layout 1): out
    // has packed_bytes of the decoded size. corrupt: a byte has more bits. Null in codings that have no such path.
    Status (*decode_codes)(unsigned bits, Bytes in, MutableBytes out, MutableBytes workspace) noexcept;

    Status encode(Bytes in, MutableBytes out, MutableBytes workspace, std::size_t* written) const noexcept {
        return encode_by(one_worker, in, out, workspace, written);
    }
    Status decode(Bytes in, MutableBytes out, MutableBytes workspace) const noexcept {
        return decode_by(one_worker, in, out, workspace);
    }
};

// How an encoder is named in a Coding: minimal builds leave it out.
#ifdef BITPRESS_MINIMAL
inline constexpr bool with_encoders = false;
#else
inline constexpr bool with_encoders = true;
#endif
constexpr auto if_encoding(decltype(Coding::encode_by) encode) noexcept { return with_encoders ? encode : nullptr; }

// Defined in the coding's own file.
#define BP_CODING(name, number) extern const Coding name##_coding;
#include "codings/codings.def"
#undef BP_CODING

// All of them, in the order of codings.def.
std::span<const Coding* const> codings() noexcept;
// Null for an unknown id or name.
const Coding* coding(CodingId id) noexcept;
const Coding* coding(const char* name) noexcept;

}  // namespace bitpress
