// The bytes of a graph (docs/format.md, section 6).
#include "ops/graph.h"

#include <string.h>

#include "format.h"

namespace bitpress {
namespace {

constexpr std::uint64_t most_number = ~std::uint64_t{0};
constexpr std::uint64_t most_dim = std::uint64_t{1} << 62;

// The type of a key, or 0 for a key this build does not know.
unsigned type_of(std::uint64_t key) noexcept {
#define BP_ATTRIBUTE(name, number, type) \
    if (key == (number)) return static_cast<unsigned>(AttributeType::type);
#include "ops/attributes.def"
#undef BP_ATTRIBUTE
    return 0;
}

bool known_op(std::uint64_t number) noexcept {
    switch (number) {
#define BP_OP(name, number) case number:
#include "ops/ops.def"
#undef BP_OP
        return true;
        default: return false;
    }
}

// Items of one kind: counted while there is no memory for them.
template <class T>
class List {
  public:
    std::uint32_t count() const noexcept { return count_; }
    void restart() noexcept { count_ = 0; }
    Status place(Memory* memory) noexcept { return memory->take_array(count_, &items_); }
    void add(const T& item) noexcept {
        if (items_ != nullptr) items_[count_] = item;
        ++count_;
    }
    // Null while they are only counted.
    T* at(std::uint32_t index) noexcept { return items_ == nullptr ? nullptr : items_ + index; }
    void set(std::uint32_t index, const T& item) noexcept {
        if (items_ != nullptr) items_[index] = item;
    }
    // What was added since there were `first` of them.
    std::span<const T> since(std::uint32_t first) const noexcept {
        if (items_ == nullptr) return {};
        return {items_ + first, count_ - first};
    }

  private:
    T* items_ = nullptr;
    std::uint32_t count_ = 0;
};

}  // namespace

// Reads a section from its beginning to its end, once to count and once to keep. After a failure every number is 0 and
// every list short, and the first status stays.
class GraphReader {
  public:
    explicit GraphReader(const File& file) noexcept : file_(file) {}

    Status read(Graph* graph) noexcept {
        at_ = file_.graph();
        status_ = Status::ok;
        values_.restart();
        nodes_.restart();
        bodies_.restart();
        links_.restart();
        attributes_.restart();
        numbers_.restart();
        graph->input_count_ = read_inputs();
        read_stored(graph);
        read_nodes(0);
        const std::uint32_t first_link = links_.count();
        read_outputs();
        if (status_ == Status::ok && !at_.empty()) status_ = Status::corrupt;
        graph->values_ = values_.since(0);
        graph->nodes_ = nodes_.since(0);
        graph->outputs_ = links_.since(first_link);
        return status_;
    }

    Status place(Memory* memory) noexcept {
        BP_TRY(values_.place(memory));
        BP_TRY(nodes_.place(memory));
        BP_TRY(bodies_.place(memory));
        BP_TRY(links_.place(memory));
        BP_TRY(attributes_.place(memory));
        return numbers_.place(memory);
    }

  private:
    bool ok() const noexcept { return status_ == Status::ok; }
    void fail(Status status) noexcept {
        if (ok()) status_ = status;
        at_ = {};
    }

    std::uint8_t byte() noexcept {
        if (at_.empty()) {
            fail(Status::truncated);
            return 0;
        }
        const std::uint8_t value = at_[0];
        at_ = at_.subspan(1);
        return value;
    }

    // A varint of at most 64 bits; over: what a number above `most` means.
    std::uint64_t number(std::uint64_t most, Status over = Status::corrupt) noexcept {
        std::uint64_t value = 0;
        for (unsigned shift = 0; ok(); shift += 7) {
            const std::uint8_t group = byte();
            if ((shift == 63 && group > 1) || (shift > 0 && group == 0)) fail(Status::corrupt);
            value |= std::uint64_t{group & 0x7FU} << shift;
            if ((group & 0x80U) == 0) break;
        }
        if (value > most) fail(over);
        return ok() ? value : 0;
    }

    std::uint32_t count(std::uint32_t most) noexcept {
        return static_cast<std::uint32_t>(number(most, Status::too_large));
    }

    std::int64_t signed_number() noexcept {
        const std::uint64_t value = number(most_number);
        return static_cast<std::int64_t>(value >> 1 ^ (0 - (value & 1)));
    }

    float real() noexcept {
        if (at_.size() < sizeof(float)) fail(Status::truncated);
        if (!ok()) return 0;
        const float value = load_le<float>(at_.data());
        at_ = at_.subspan(sizeof(float));
        return value;
    }

    std::span<const char> string() noexcept {
        const std::uint64_t size = number(most_number);
        if (size > at_.size()) fail(Status::truncated);
        if (!ok()) return {};
        const Bytes text = at_.first(static_cast<std::size_t>(size));
        at_ = at_.subspan(text.size());
        return {reinterpret_cast<const char*>(text.data()), text.size()};
    }

    void add_value(const GraphValue& value) noexcept {
        if (values_.count() == max_values) return fail(Status::too_large);
        values_.add(value);
    }

    void read_value(ValueKind kind) noexcept {
        GraphValue value;
        value.kind = kind;
        value.name = string();
        if (value.name.empty()) return fail(Status::corrupt);
        const std::uint8_t dtype = byte();
        if (dtype >= dtype_count) return fail(Status::unsupported);
        value.dtype = static_cast<Dtype>(dtype);
        const std::uint64_t rank = number(max_rank + 1);  // and one
        value.has_rank = rank > 0;
        const std::uint32_t first = numbers_.count();
        for (std::uint64_t d = 1; d < rank && ok(); ++d) {
            numbers_.add(static_cast<std::int64_t>(number(most_dim)) - 1);
        }
        value.dims = numbers_.since(first);
        add_value(value);
    }

    std::uint32_t read_inputs() noexcept {
        const std::uint32_t inputs = count(max_node_links);
        for (std::uint32_t i = 0; i < inputs && ok(); ++i) read_value(ValueKind::input);
        return inputs;
    }

    void read_stored(Graph* graph) noexcept {
        const std::uint32_t stored = count(max_values);
        graph->stored_count_ = stored;
        graph->stored_ = StoredIndices(at_, stored);
        std::uint64_t next = 0;
        for (std::uint32_t i = 0; i < stored && ok(); ++i) {
            next += number(file_.tensor_count());
            if (ok() && next >= file_.tensor_count()) fail(Status::corrupt);
            if (ok()) add_stored(static_cast<std::uint32_t>(next++));
        }
    }

    void add_stored(std::uint32_t index) noexcept {
        const StoredTensor tensor = file_.tensor(index);
        GraphValue value;
        value.kind = ValueKind::stored;
        value.name = tensor.name;
        value.dtype = tensor.dtype;
        value.tensor = index;
        value.has_rank = true;
        const std::uint32_t first = numbers_.count();
        for (unsigned d = 0; d < tensor.shape.rank; ++d) {
            numbers_.add(static_cast<std::int64_t>(tensor.shape.dims[d]));
        }
        value.dims = numbers_.since(first);
        add_value(value);
    }

    void read_nodes(unsigned depth) noexcept {
        const std::uint32_t nodes = count(max_nodes);
        for (std::uint32_t n = 0; n < nodes && ok(); ++n) read_node(depth);
    }

    // The value that is `back` values back, if it may be read here.
    std::uint32_t link(std::uint64_t back) noexcept {
        const std::uint32_t index = values_.count() - static_cast<std::uint32_t>(back);
        const GraphValue* value = ok() ? values_.at(index) : nullptr;
        if (value != nullptr && value->closed) fail(Status::corrupt);
        return index;
    }

    void read_node(unsigned depth) noexcept {
        GraphNode node;
        const std::uint64_t op = number(most_number);
        if (!known_op(op)) return fail(Status::unsupported);
        const std::uint32_t place = nodes_.count();
        if (place == max_nodes) return fail(Status::too_large);
        nodes_.add(node);
        node.op = static_cast<OpId>(op);
        node.name = string();
        const std::uint32_t first_input = links_.count();
        const std::uint32_t inputs = count(max_node_links);
        for (std::uint32_t k = 0; k < inputs && ok(); ++k) {
            const std::uint64_t back = number(values_.count());
            links_.add(back == 0 ? no_value : link(back));
        }
        node.inputs = links_.since(first_input);
        node.bodies = read_bodies(body_count(node.op), depth);
        const std::uint32_t first_output = links_.count();
        const std::uint32_t outputs = count(max_node_links);
        for (std::uint32_t k = 0; k < outputs && ok(); ++k) {
            links_.add(values_.count());
            read_value(ValueKind::computed);
        }
        node.outputs = links_.since(first_output);
        const std::uint32_t first_attribute = attributes_.count();
        const std::uint32_t attributes = count(max_node_attributes);
        std::uint64_t last = 0;
        for (std::uint32_t k = 0; k < attributes && ok(); ++k) last = read_attribute(last);
        node.attributes = attributes_.since(first_attribute);
        node.end = nodes_.count();
        nodes_.set(place, node);
    }

    std::span<const GraphBody> read_bodies(unsigned bodies, unsigned depth) noexcept {
        if (bodies == 0) return {};
        if (depth == max_body_depth) {
            fail(Status::too_large);
            return {};
        }
        const std::uint32_t first = bodies_.count();
        for (unsigned b = 0; b < bodies; ++b) bodies_.add({});
        const GraphBody* placed = bodies_.at(first);
        for (unsigned b = 0; b < bodies && ok(); ++b) read_body(first + b, depth);
        return placed == nullptr ? std::span<const GraphBody>{} : std::span<const GraphBody>{placed, bodies};
    }

    void read_body(std::uint32_t place, unsigned depth) noexcept {
        GraphBody body;
        body.first_input = values_.count();
        body.input_count = count(max_node_links);
        for (std::uint32_t i = 0; i < body.input_count && ok(); ++i) read_value(ValueKind::computed);
        body.first_node = nodes_.count();
        read_nodes(depth + 1);
        body.end_node = nodes_.count();
        const std::uint32_t first_output = links_.count();
        const std::uint32_t outputs = count(max_node_links);
        for (std::uint32_t k = 0; k < outputs && ok(); ++k) {
            const std::uint64_t back = number(values_.count());
            if (back == 0) return fail(Status::corrupt);
            links_.add(link(back));
        }
        body.outputs = links_.since(first_output);
        for (std::uint32_t i = body.first_input; i < values_.count(); ++i) {
            if (GraphValue* value = values_.at(i); value != nullptr) value->closed = true;
        }
        bodies_.set(place, body);
    }

    // Keys rise. Returns this one.
    std::uint64_t read_attribute(std::uint64_t last) noexcept {
        const std::uint64_t key = number(most_number);
        const unsigned type = type_of(key);
        if (type == 0) fail(Status::unsupported);
        if (key <= last) fail(Status::corrupt);
        if (!ok()) return last;
        GraphAttribute attribute;
        attribute.key = static_cast<Key>(key);
        if (type == static_cast<unsigned>(AttributeType::integer)) {
            attribute.integer = signed_number();
        } else if (type == static_cast<unsigned>(AttributeType::real)) {
            attribute.real = real();
        } else {
            const std::uint32_t first = numbers_.count();
            const std::uint32_t entries = count(max_values);
            for (std::uint32_t i = 0; i < entries && ok(); ++i) numbers_.add(signed_number());
            attribute.integers = numbers_.since(first);
        }
        attributes_.add(attribute);
        return key;
    }

    void read_outputs() noexcept {
        const std::uint32_t outputs = count(max_node_links);
        std::uint32_t seen[max_node_links];
        for (std::uint32_t i = 0; i < outputs && ok(); ++i) {
            seen[i] = static_cast<std::uint32_t>(number(most_number, Status::corrupt));
            if (!ok() || seen[i] >= values_.count()) return fail(Status::corrupt);
            if (const GraphValue* value = values_.at(seen[i]); value != nullptr && value->closed) fail(Status::corrupt);
            for (std::uint32_t k = 0; k < i; ++k) {
                if (seen[k] == seen[i]) return fail(Status::corrupt);
            }
            links_.add(seen[i]);
        }
    }

    const File& file_;
    Bytes at_;
    Status status_ = Status::ok;
    List<GraphValue> values_;
    List<GraphNode> nodes_;
    List<GraphBody> bodies_;
    List<std::uint32_t> links_;
    List<GraphAttribute> attributes_;
    List<std::int64_t> numbers_;
};

namespace {

bool same(std::span<const char> a, std::span<const char> b) noexcept {
    return a.size() == b.size() && memcmp(a.data(), b.data(), a.size()) == 0;
}

// Callers find inputs and outputs by name. There are at most max_node_links of each.
bool ends_have_names_of_their_own(const Graph& graph) noexcept {
    const std::span<const GraphValue> values = graph.values();
    for (std::size_t i = 0; i < graph.inputs().size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            if (same(values[i].name, values[k].name)) return false;
        }
    }
    for (std::size_t i = 0; i < graph.outputs().size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            if (same(values[graph.outputs()[i]].name, values[graph.outputs()[k]].name)) return false;
        }
    }
    return true;
}

}  // namespace

Status Graph::open(const File& file, Memory* memory, Graph* out) noexcept {
    GraphReader reader(file);
    Graph graph;
    BP_TRY(reader.read(&graph));
    BP_TRY(reader.place(memory));
    *out = graph;
    if (memory->counting()) return Status::ok;
    BP_TRY(reader.read(out));
    return ends_have_names_of_their_own(*out) ? Status::ok : Status::corrupt;
}

}  // namespace bitpress
