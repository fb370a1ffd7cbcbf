// What the encoder and the decoder of planes share: the table of planes.
#pragma once

#include "codings/codings.h"
#include "codings/frame.h"
#include "codings/planes.h"

namespace bitpress {

inline constexpr unsigned planes_max_chunk_log = 18;
inline constexpr std::size_t planes_chunk_most = std::size_t{1} << planes_max_chunk_log;

enum class PlaneCoding : std::uint8_t { stored = 0, fill = 1, huffman = 2, rans = 3 };

struct PlaneEntry {
    PlaneCoding coding = PlaneCoding::stored;
    std::size_t size = 0;  // stored bytes, at least 1
};

inline const Coding& coder_of_plane(PlaneCoding coding) noexcept {
    return coding == PlaneCoding::huffman ? huffman_coding : rans_coding;
}

inline bool read_plane_entry(const std::uint8_t* p, PlaneEntry* entry) noexcept {
    const std::uint32_t value = static_cast<std::uint32_t>(p[0]) | static_cast<std::uint32_t>(p[1]) << 8 |
                                static_cast<std::uint32_t>(p[2]) << 16;
    *entry = {static_cast<PlaneCoding>(value & 3), (value >> 4) + 1};
    return (value & 12) == 0;
}

// The coding's own functions.
inline constexpr std::size_t planes_decode_workspace = std::size_t{61} << 10;
Status planes_decoded_size(Bytes in, std::uint64_t* size) noexcept;
Status planes_decode(const Workers& workers, Bytes in, MutableBytes out, MutableBytes workspace) noexcept;

}  // namespace bitpress
