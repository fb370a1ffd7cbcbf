// A stored graph (docs/format.md, section 6), read into the caller's memory. Names stay in the caller's bytes.
#pragma once

#include "bytes.h"
#include "memory.h"
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
enum class AttributeType : std::uint8_t { integer = 1, real = 2, integers = 3 };

enum class Key : std::uint16_t {
    none = 0,
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
inline constexpr unsigned max_body_depth = 8;  // bodies inside bodies

struct GraphValue {
    std::span<const char> name;  // UTF-8, not terminated
    Dtype dtype = Dtype::f32;
    ValueKind kind = ValueKind::computed;
    bool has_rank = false;
    bool closed = false;                 // of a body that has ended: no later node may read it
    std::uint32_t tensor = no_value;     // index in the container, for stored values
    std::span<const std::int64_t> dims;  // -1 where not known; empty unless has_rank
};

struct GraphAttribute {
    Key key = Key::none;
    std::int64_t integer = 0;
    float real = 0;
    std::span<const std::int64_t> integers;
};

// A part of the graph that a node owns, and runs when it runs. It reads what the nodes before its owner write, too.
struct GraphBody {
    std::uint32_t first_node = 0;  // its nodes: [first_node, end_node)
    std::uint32_t end_node = 0;
    std::uint32_t first_input = 0;  // its inputs: so many values from that one on, which its owner writes
    std::uint32_t input_count = 0;
    std::span<const std::uint32_t> outputs;  // value indices
};

// How many bodies an operator owns.
constexpr unsigned body_count(OpId op) noexcept { return op == OpId::If ? 2U : op == OpId::Loop ? 1U : 0U; }

struct GraphNode {
    OpId op = OpId::none;
    std::uint32_t end = 0;  // the node after it and its bodies
    std::span<const GraphBody> bodies;
    std::span<const char> name;
    std::span<const std::uint32_t> inputs;  // value indices, or no_value
    std::span<const std::uint32_t> outputs;
    std::span<const GraphAttribute> attributes;

    // The set of keys it has, as key_bit.
    std::uint64_t keys() const noexcept;
    // An attribute, or the fallback where it has none of that key.
    std::int64_t integer(Key key, std::int64_t fallback) const noexcept;
    float real(Key key, float fallback) const noexcept;
    // Empty where absent.
    std::span<const std::int64_t> integers(Key key) const noexcept;

  private:
    const GraphAttribute* find(Key key) const noexcept;
};

class File;

// The stored tensors that a graph reads, in rising order: their indices in the container. Of a graph that was checked.
class StoredIndices {
  public:
    StoredIndices() noexcept = default;
    StoredIndices(Bytes from, std::uint32_t count) noexcept : at_(from), left_(count) {}
    bool empty() const noexcept { return left_ == 0; }
    std::uint32_t next() noexcept;  // where not empty()

  private:
    Bytes at_;
    std::uint32_t left_ = 0;
    std::uint32_t next_ = 0;
};

// Values in the order in which they come to be: the graph's inputs, the stored tensors, then what the nodes write, node
// after node. So each is written once, before it is read. A node's bodies follow it, and what it writes comes after
// theirs.
class Graph {
  public:
    // Reads the file's graph and checks all of it: counts, ranges, types, known operators and keys. Linear in the
    // section (times the depth of bodies). While `memory` only counts, the graph knows its stored tensors and nothing
    // else.
    static Status open(const File& file, Memory* memory, Graph* out) noexcept;

    std::span<const GraphValue> values() const noexcept { return values_; }
    std::span<const GraphNode> nodes() const noexcept { return nodes_; }
    std::span<const GraphValue> inputs() const noexcept { return values_.first(input_count_); }
    std::span<const std::uint32_t> outputs() const noexcept { return outputs_; }
    StoredIndices stored() const noexcept { return stored_; }
    std::uint32_t stored_count() const noexcept { return stored_count_; }
    // Which of the stored tensors a value is: stored_count() or more where it is none.
    std::uint32_t stored_index(std::uint32_t value) const noexcept {
        return value < input_count_ ? no_value : value - input_count_;
    }

  private:
    friend class GraphReader;
    std::span<const GraphValue> values_;
    std::span<const GraphNode> nodes_;
    std::span<const std::uint32_t> outputs_;
    StoredIndices stored_;
    std::uint32_t input_count_ = 0;
    std::uint32_t stored_count_ = 0;
};

}  // namespace bitpress
