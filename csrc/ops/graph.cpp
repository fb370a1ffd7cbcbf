#include "ops/graph.h"

namespace bitpress {
namespace {

constexpr std::size_t header_bytes = 32;
constexpr std::size_t value_bytes = 24;
constexpr std::size_t node_bytes = 32;
constexpr std::size_t link_bytes = 4;
constexpr std::size_t attribute_bytes = 16;
constexpr std::uint8_t unknown_rank = 255;

// The type of a key, or 0 for a key this build does not know.
unsigned type_of(unsigned key) noexcept {
#define BP_ATTRIBUTE(name, number, type) \
    if (key == (number)) return static_cast<unsigned>(AttributeType::type);
#include "ops/attributes.def"
#undef BP_ATTRIBUTE
    return 0;
}

bool known_op(unsigned number) noexcept {
    switch (number) {
#define BP_OP(name, number) case number:
#include "ops/ops.def"
#undef BP_OP
        return true;
        default: return false;
    }
}

// Offsets in the section -> whether [offset, offset + bytes) lies inside `part`, which begins at `part_offset`.
bool inside(std::uint64_t offset, std::uint64_t bytes, std::uint64_t part_offset, std::uint64_t part_bytes) noexcept {
    return offset >= part_offset && offset - part_offset <= part_bytes && bytes <= part_bytes - (offset - part_offset);
}

}  // namespace

Status Graph::open(Bytes section, std::uint32_t tensor_count, Graph* out) noexcept {
    if (section.size() < header_bytes) return Status::truncated;
    const std::uint8_t* p = section.data();
    Graph graph;
    graph.section_ = p;
    graph.value_count_ = load_le<std::uint32_t>(p);
    graph.node_count_ = load_le<std::uint32_t>(p + 4);
    graph.input_count_ = load_le<std::uint32_t>(p + 8);
    graph.output_count_ = load_le<std::uint32_t>(p + 12);
    const std::uint32_t links = load_le<std::uint32_t>(p + 16);
    const std::uint32_t attributes = load_le<std::uint32_t>(p + 20);
    const std::uint32_t payload = load_le<std::uint32_t>(p + 24);
    const std::uint32_t strings = load_le<std::uint32_t>(p + 28);
    if (graph.value_count_ > max_values || graph.node_count_ > max_nodes) return Status::too_large;
    if (payload % 8 != 0) return Status::corrupt;

    // 32-bit counts times small sizes: no sum below can wrap in 64 bits.
    std::uint64_t at = header_bytes;
    const std::uint64_t values_at = at;
    at += std::uint64_t{graph.value_count_} * value_bytes;
    const std::uint64_t nodes_at = at;
    at += std::uint64_t{graph.node_count_} * node_bytes;
    const std::uint64_t links_at = at;
    at += std::uint64_t{links} * link_bytes;
    const std::uint64_t links_end = at;
    at = (at + 7) / 8 * 8;
    const std::uint64_t attributes_at = at;
    at += std::uint64_t{attributes} * attribute_bytes;
    const std::uint64_t payload_at = at;
    at += payload;
    const std::uint64_t strings_at = at;
    at += strings;
    if (at > section.size()) return Status::truncated;
    if (at != section.size()) return Status::corrupt;
    for (std::uint64_t i = links_end; i < attributes_at; ++i) {
        if (p[i] != 0) return Status::corrupt;
    }
    graph.values_ = p + values_at;
    graph.nodes_ = p + nodes_at;
    graph.links_ = p + links_at;
    graph.attributes_ = p + attributes_at;
    graph.payload_ = section.subspan(payload_at, payload);
    graph.strings_ = section.subspan(strings_at, strings);
    if (graph.input_count_ > max_node_links || graph.output_count_ > max_node_links) return Status::too_large;
    if (std::uint64_t{graph.input_count_} + graph.output_count_ > links) return Status::corrupt;
    BP_TRY(graph.check_values(tensor_count));
    BP_TRY(graph.check_nodes(links, attributes));
    *out = graph;
    return Status::ok;
}

Status Graph::check_values(std::uint32_t tensor_count) const noexcept {
    const auto payload_at = static_cast<std::uint64_t>(payload_.data() - section_);
    const auto strings_at = static_cast<std::uint64_t>(strings_.data() - section_);
    std::uint64_t next_tensor = 0;
    for (std::uint32_t i = 0; i < value_count_; ++i) {
        const std::uint8_t* p = values_ + std::size_t{i} * value_bytes;
        const std::uint32_t name_offset = load_le<std::uint32_t>(p);
        if (!inside(name_offset, load_le<std::uint32_t>(p + 4), strings_at, strings_.size())) return Status::corrupt;
        if (p[8] >= dtype_count) return Status::unsupported;
        if (load_le<std::uint32_t>(p + 20) != 0) return Status::corrupt;
        const std::uint8_t rank = p[9];
        if (rank > max_rank && rank != unknown_rank) return Status::corrupt;
        if (p[10] > static_cast<std::uint8_t>(ValueKind::stored) || p[11] != 0) return Status::corrupt;
        const std::uint32_t tensor = load_le<std::uint32_t>(p + 12);
        if (p[10] == static_cast<std::uint8_t>(ValueKind::stored)) {
            if (tensor < next_tensor || tensor >= tensor_count) return Status::corrupt;
            next_tensor = std::uint64_t{tensor} + 1;
        } else if (tensor != no_value) {
            return Status::corrupt;
        }
        if (rank == unknown_rank) continue;
        const std::uint32_t dims_offset = load_le<std::uint32_t>(p + 16);
        if (rank > 0 && !inside(dims_offset, std::uint64_t{rank} * 8, payload_at, payload_.size()))
            return Status::corrupt;
        for (std::uint32_t d = 0; d < rank; ++d) {
            if (load_le<std::int64_t>(section_ + dims_offset + std::size_t{d} * 8) < -1) return Status::corrupt;
        }
    }
    return Status::ok;
}

Status Graph::check_nodes(std::uint32_t link_count, std::uint32_t attribute_count) const noexcept {
    const auto strings_at = static_cast<std::uint64_t>(strings_.data() - section_);
    std::uint64_t next_link = std::uint64_t{input_count_} + output_count_;
    std::uint64_t next_attribute = 0;
    for (std::uint64_t i = 0; i < next_link; ++i) {
        if (load_le<std::uint32_t>(links_ + i * link_bytes) >= value_count_) return Status::corrupt;
    }
    for (std::uint32_t i = 0; i < node_count_; ++i) {
        const std::uint8_t* p = nodes_ + std::size_t{i} * node_bytes;
        if (!known_op(load_le<std::uint16_t>(p))) return Status::unsupported;
        const std::uint32_t inputs = load_le<std::uint16_t>(p + 2);
        const std::uint32_t outputs = load_le<std::uint16_t>(p + 4);
        const std::uint32_t attributes = load_le<std::uint16_t>(p + 6);
        if (inputs > max_node_links || outputs > max_node_links) return Status::too_large;
        if (attributes > max_node_attributes) return Status::too_large;
        if (load_le<std::uint32_t>(p + 8) != next_link) return Status::corrupt;
        if (load_le<std::uint32_t>(p + 12) != next_attribute) return Status::corrupt;
        if (!inside(load_le<std::uint32_t>(p + 16), load_le<std::uint32_t>(p + 20), strings_at, strings_.size())) {
            return Status::corrupt;
        }
        if (load_le<std::uint64_t>(p + 24) != 0) return Status::corrupt;
        if (next_link + inputs + outputs > link_count) return Status::corrupt;
        if (next_attribute + attributes > attribute_count) return Status::corrupt;
        for (std::uint32_t k = 0; k < inputs + outputs; ++k) {
            const std::uint32_t value = load_le<std::uint32_t>(links_ + (next_link + k) * link_bytes);
            if (value >= value_count_ && (value != no_value || k >= inputs)) return Status::corrupt;
        }
        next_link += inputs + outputs;
        next_attribute += attributes;
        BP_TRY(check_attributes(node(i)));
    }
    return next_link == link_count && next_attribute == attribute_count ? Status::ok : Status::corrupt;
}

Status Graph::check_attributes(const GraphNode& node) const noexcept {
    const auto payload_at = static_cast<std::uint64_t>(payload_.data() - section_);
    std::uint64_t seen = 0;
    for (std::uint32_t k = 0; k < node.attribute_count; ++k) {
        const std::uint8_t* a = attributes_ + std::size_t{node.first_attribute + k} * attribute_bytes;
        const unsigned key = load_le<std::uint16_t>(a);
        const unsigned type = type_of(key);
        if (type == 0) return Status::unsupported;
        const std::uint64_t bit = std::uint64_t{1} << key;
        if (a[2] != type || a[3] != 0 || (seen & bit) != 0) return Status::corrupt;
        seen |= bit;
        const std::uint32_t count = load_le<std::uint32_t>(a + 4);
        const std::uint64_t where = load_le<std::uint64_t>(a + 8);
        const bool is_list = type >= static_cast<unsigned>(AttributeType::integers);
        if (is_list ? !inside(where, std::uint64_t{count} * 8, payload_at, payload_.size()) : count != 1) {
            return Status::corrupt;
        }
    }
    return Status::ok;
}

Status Graph::check_order(MutableBytes seen) const noexcept {
    enum : std::uint8_t { unwritten = 0, written = 1, listed = 2 };
    if (seen.size() < value_count_) return Status::memory_too_small;
    std::uint32_t input_values = 0;
    for (std::uint32_t i = 0; i < value_count_; ++i) {
        const ValueKind kind = value(i).kind;
        seen[i] = kind == ValueKind::computed ? unwritten : written;
        input_values += kind == ValueKind::input ? 1U : 0U;
    }
    if (input_values != input_count_) return Status::corrupt;
    for (std::uint32_t i = 0; i < input_count_; ++i) {
        const std::uint32_t index = inputs()[i];
        if (value(index).kind != ValueKind::input || (seen[index] & listed) != 0) return Status::corrupt;
        seen[index] |= listed;
    }
    for (std::uint32_t i = 0; i < input_count_; ++i) seen[inputs()[i]] = written;
    for (std::uint32_t n = 0; n < node_count_; ++n) {
        const GraphNode step = node(n);
        for (std::uint32_t k = 0; k < step.inputs.count; ++k) {
            const std::uint32_t index = step.inputs[k];
            if (index != no_value && seen[index] == unwritten) return Status::corrupt;
        }
        for (std::uint32_t k = 0; k < step.outputs.count; ++k) {
            if (seen[step.outputs[k]] != unwritten) return Status::corrupt;
            seen[step.outputs[k]] = written;
        }
    }
    for (std::uint32_t i = 0; i < value_count_; ++i) {
        if (seen[i] == unwritten) return Status::corrupt;
    }
    for (std::uint32_t i = 0; i < output_count_; ++i) {
        const std::uint32_t index = outputs()[i];
        if (seen[index] != written) return Status::corrupt;
        seen[index] |= listed;
    }
    return Status::ok;
}

PackedList<std::uint32_t> Graph::outputs() const noexcept {
    return {links_ + std::size_t{input_count_} * link_bytes, output_count_};
}

GraphValue Graph::value(std::uint32_t index) const noexcept {
    const std::uint8_t* p = values_ + std::size_t{index} * value_bytes;
    GraphValue value;
    value.name = {reinterpret_cast<const char*>(section_ + load_le<std::uint32_t>(p)), load_le<std::uint32_t>(p + 4)};
    value.dtype = static_cast<Dtype>(p[8]);
    value.kind = static_cast<ValueKind>(p[10]);
    value.has_rank = p[9] != unknown_rank;
    value.tensor = load_le<std::uint32_t>(p + 12);
    if (value.has_rank && p[9] > 0) value.dims = {section_ + load_le<std::uint32_t>(p + 16), p[9]};
    return value;
}

GraphNode Graph::node(std::uint32_t index) const noexcept {
    const std::uint8_t* p = nodes_ + std::size_t{index} * node_bytes;
    GraphNode node;
    node.op = static_cast<OpId>(load_le<std::uint16_t>(p));
    const std::uint32_t inputs = load_le<std::uint16_t>(p + 2);
    const std::uint32_t outputs = load_le<std::uint16_t>(p + 4);
    const std::uint8_t* first = links_ + std::size_t{load_le<std::uint32_t>(p + 8)} * link_bytes;
    node.inputs = {first, inputs};
    node.outputs = {first + std::size_t{inputs} * link_bytes, outputs};
    node.attribute_count = load_le<std::uint16_t>(p + 6);
    node.first_attribute = load_le<std::uint32_t>(p + 12);
    node.name = {reinterpret_cast<const char*>(section_ + load_le<std::uint32_t>(p + 16)),
                 load_le<std::uint32_t>(p + 20)};
    return node;
}

const std::uint8_t* Graph::find(const GraphNode& node, Key key) const noexcept {
    for (std::uint32_t k = 0; k < node.attribute_count; ++k) {
        const std::uint8_t* a = attributes_ + std::size_t{node.first_attribute + k} * attribute_bytes;
        if (load_le<std::uint16_t>(a) == static_cast<std::uint16_t>(key)) return a;
    }
    return nullptr;
}

std::uint64_t Graph::keys(const GraphNode& node) const noexcept {
    std::uint64_t set = 0;
    for (std::uint32_t k = 0; k < node.attribute_count; ++k) {
        const std::uint8_t* a = attributes_ + std::size_t{node.first_attribute + k} * attribute_bytes;
        set |= std::uint64_t{1} << load_le<std::uint16_t>(a);
    }
    return set;
}

std::int64_t Graph::integer(const GraphNode& node, Key key, std::int64_t fallback) const noexcept {
    const std::uint8_t* a = find(node, key);
    return a == nullptr ? fallback : load_le<std::int64_t>(a + 8);
}

double Graph::real(const GraphNode& node, Key key, double fallback) const noexcept {
    const std::uint8_t* a = find(node, key);
    return a == nullptr ? fallback : load_le<double>(a + 8);
}

PackedList<std::int64_t> Graph::integers(const GraphNode& node, Key key) const noexcept {
    const std::uint8_t* a = find(node, key);
    if (a == nullptr) return {};
    return {section_ + load_le<std::uint64_t>(a + 8), load_le<std::uint32_t>(a + 4)};
}

}  // namespace bitpress
