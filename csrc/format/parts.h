// What the two halves of the container's reader share: format.cpp answers, open.cpp checks.
#pragma once

#include <string.h>

#include "codings/bounded.h"
#include "format.h"
#include "kernels/kernels.h"

namespace bitpress::format {

constexpr std::uint64_t max_json = 100'000'000;  // safetensors' own limit
constexpr std::uint64_t large_stream = 4096;     // stored bytes from which a stream is a tensor of its own
constexpr std::uint64_t manifest_head = 40;
constexpr std::uint64_t entry_bytes = 8;
constexpr std::uint64_t tensor_bytes = 20;
constexpr std::uint64_t stream_bytes = 16;
constexpr std::uint64_t delta_bytes = 16;
constexpr unsigned max_sections = 16;
constexpr std::uint64_t offset_mask = (std::uint64_t{1} << 48) - 1;
constexpr unsigned max_streams = 4;     // of one tensor
constexpr unsigned shared_flag = 64;    // of a record's last byte: a number tells whose codebook it has
constexpr unsigned bounded_values = 5;  // in a record: kept from here on, but for StoredTensor::bounded

enum Section : unsigned {
    tensors_section = 1,
    streams_section,
    numbers_section,
    names_section,
    metadata_section,
    graph_section,
    base_section = 19
};
constexpr std::uint16_t flag_required = 1;
constexpr std::uint16_t flag_wide = 2;

// Where a stream stands: large ones first, then these in turn. A class holds its streams in the order of their records.
enum Class : unsigned { large, small_pressed, plain8, plain4, plain2, plain1, class_count };

// Which numbers a structure (0 dense, 1 bitmap, 2 N:M, 3 block) brings: its pattern, and how many elements survive.
constexpr bool has_pattern(unsigned structure) noexcept { return structure >= 2; }
constexpr bool has_survivors(unsigned structure) noexcept { return structure == 1 || structure == 3; }
constexpr unsigned structure_numbers(unsigned structure) noexcept {
    return (has_pattern(structure) ? 1U : 0U) + (has_survivors(structure) ? 1U : 0U);
}

inline std::uint64_t up_to(std::uint64_t value, std::uint64_t multiple) noexcept {
    return (value + multiple - 1) / multiple * multiple;
}

inline std::uint64_t hash(Bytes bytes, std::uint64_t seed = 0) noexcept {
    return kernels()->xxh64(bytes.data(), bytes.size(), seed);
}

inline std::uint64_t manifest_checksum(Bytes manifest) noexcept {
    return hash(manifest.subspan(manifest_head), hash(manifest.first(32)));
}

inline bool all_zero(Bytes bytes) noexcept {
    for (const std::uint8_t byte : bytes) {
        if (byte != 0) return false;
    }
    return true;
}

// Less than, equal to or greater than zero, as memcmp; a prefix comes first.
inline int compare(Bytes a, Bytes b) noexcept {
    const std::size_t common = a.size() < b.size() ? a.size() : b.size();
    const int order = common == 0 ? 0 : memcmp(a.data(), b.data(), common);
    if (order != 0) return order;
    return a.size() == b.size() ? 0 : a.size() < b.size() ? -1 : 1;
}

inline Bytes bytes_of(std::span<const char> text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

inline std::uint64_t with_padding(Class kind, std::uint64_t stored) noexcept {
    return kind == large ? up_to(stored, 64) : kind == small_pressed ? up_to(stored, 8) : stored;
}

// Whether a bounded frame's array has the tensor's type and dims.
inline bool is_array_of(const StoredTensor& tensor, Bytes stored) noexcept {
    bounded::Frame frame;
    if (bounded::open(stored, &frame) != Status::ok) return false;
    const bounded::Element element = tensor.dtype == Dtype::f64 ? bounded::Element::f64 : bounded::Element::f32;
    if (frame.array.element != element || frame.array.rank != tensor.shape.rank) return false;
    for (unsigned k = 0; k < tensor.shape.rank; ++k) {
        if (frame.array.dims[k] != tensor.shape.dims[k]) return false;
    }
    return true;
}

}  // namespace bitpress::format

namespace bitpress {

// What the records of one tensor's streams say.
struct File::Streams {
    unsigned count = 0;
    std::uint64_t numbers_end = 0;  // index of the number after the tensor's last
    struct {
        Role role;
        CodingId coding;
        format::Class kind;
        std::uint64_t stored;
        std::uint64_t decoded;
        std::uint64_t frame;
        Layout layout;
        unsigned code_bits;
        std::uint64_t offset;
        std::uint64_t checksum;
    } at[format::max_streams] = {};
};

}  // namespace bitpress
