// The bounds-checked reader of a stored graph (docs/format.md, section 6). It keeps pointers into the caller's bytes
// and allocates nothing.
#pragma once

#include "bytes.h"
#include "status.h"
#include "tensor.h"

namespace bitpress {

enum class OpId : std::uint16_t {
    none = 0,
#define BP_OP(name, number) name = number,
#include "ops/ops.def"
#undef BP_OP
};

// What an attribute holds, as the file numbers it.
enum class AttributeType : std::uint8_t { integer = 1, real = 2, integers = 3, reals = 4 };

enum class Key : std::uint16_t {
#define BP_ATTRIBUTE(name, number, type) name = number,
#include "ops/attributes.def"
#undef BP_ATTRIBUTE
};
// One bit a key: sets of keys.
constexpr std::uint64_t key_bit(Key key) noexcept { return std::uint64_t{1} << static_cast<unsigned>(key); }

enum class ValueKind : std::uint8_t { computed = 0, input = 1, stored = 2 };

inline constexpr std::uint32_t no_value = 0xFFFFFFFFU;
inline constexpr std::uint32_t max_values = 65536;
inline constexpr std::uint32_t max_nodes = 65536;
inline constexpr std::uint32_t max_node_links = 256;
inline constexpr std::uint32_t max_node_attributes = 64;

// A list of little-endian numbers that may stand at any address.
template <class T>
struct PackedList {
    const std::uint8_t* data = nullptr;
    std::uint32_t count = 0;
    T operator[](std::uint32_t i) const noexcept { return load_le<T>(data + std::size_t{i} * sizeof(T)); }
};

struct GraphValue {
    std::span<const char> name;  // UTF-8, not terminated
    Dtype dtype = Dtype::f32;
    ValueKind kind = ValueKind::computed;
    bool has_rank = false;
    std::uint32_t tensor = no_value;  // index in the container, for stored values
    PackedList<std::int64_t> dims;    // -1 where not known; empty unless has_rank
};

struct GraphNode {
    OpId op = OpId::none;
    std::span<const char> name;
    PackedList<std::uint32_t> inputs;  // value indices, or no_value
    PackedList<std::uint32_t> outputs;
    std::uint32_t first_attribute = 0;
    std::uint32_t attribute_count = 0;
};

class Graph {
  public:
    // Validates everything but the order of the nodes: counts, ranges, kinds, types, known operators and keys, stored
    // values against the container's tensor_count. Linear in the section.
    static Status open(Bytes section, std::uint32_t tensor_count, Graph* out) noexcept;
    // Each computed value is written exactly once, before it is read; each graph input occurs once among the inputs,
    // each output once among the outputs. `seen` is workspace of value_count() bytes.
    Status check_order(MutableBytes seen) const noexcept;

    std::uint32_t value_count() const noexcept { return value_count_; }
    std::uint32_t node_count() const noexcept { return node_count_; }
    PackedList<std::uint32_t> inputs() const noexcept { return {links_, input_count_}; }
    PackedList<std::uint32_t> outputs() const noexcept;
    GraphValue value(std::uint32_t index) const noexcept;  // index < value_count()
    GraphNode node(std::uint32_t index) const noexcept;    // index < node_count()

    // Attributes of a node, or the fallback where it has none of that key. The set of keys it has, as key_bit.
    std::uint64_t keys(const GraphNode& node) const noexcept;
    std::int64_t integer(const GraphNode& node, Key key, std::int64_t fallback) const noexcept;
    double real(const GraphNode& node, Key key, double fallback) const noexcept;
    // Empty where absent.
    PackedList<std::int64_t> integers(const GraphNode& node, Key key) const noexcept;

  private:
    const std::uint8_t* find(const GraphNode& node, Key key) const noexcept;
    Status check_values(std::uint32_t tensor_count) const noexcept;
    Status check_nodes(std::uint32_t link_count, std::uint32_t attribute_count) const noexcept;
    Status check_attributes(const GraphNode& node) const noexcept;

    const std::uint8_t* values_ = nullptr;
    const std::uint8_t* nodes_ = nullptr;
    const std::uint8_t* links_ = nullptr;
    const std::uint8_t* attributes_ = nullptr;
    Bytes payload_;
    Bytes strings_;
    std::uint32_t value_count_ = 0;
    std::uint32_t node_count_ = 0;
    std::uint32_t input_count_ = 0;
    std::uint32_t output_count_ = 0;
    const std::uint8_t* section_ = nullptr;
};

}  // namespace bitpress
