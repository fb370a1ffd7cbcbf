#include "ops/graph.h"

namespace bitpress {

std::uint32_t StoredIndices::next() noexcept {
    std::uint64_t more = 0;
    unsigned shift = 0;
    for (std::uint8_t group = 0x80; (group & 0x80U) != 0; shift += 7) {
        group = at_[0];
        at_ = at_.subspan(1);
        more |= std::uint64_t{group & 0x7FU} << shift;
    }
    --left_;
    next_ += static_cast<std::uint32_t>(more) + 1;
    return next_ - 1;
}

const GraphAttribute* GraphNode::find(Key key) const noexcept {
    for (const GraphAttribute& attribute : attributes) {
        if (attribute.key == key) return &attribute;
    }
    return nullptr;
}

std::uint64_t GraphNode::keys() const noexcept {
    std::uint64_t set = 0;
    for (const GraphAttribute& attribute : attributes) set |= key_bit(attribute.key);
    return set;
}

std::int64_t GraphNode::integer(Key key, std::int64_t fallback) const noexcept {
    const GraphAttribute* attribute = find(key);
    return attribute == nullptr ? fallback : attribute->integer;
}

float GraphNode::real(Key key, float fallback) const noexcept {
    const GraphAttribute* attribute = find(key);
    return attribute == nullptr ? fallback : attribute->real;
}

std::span<const std::int64_t> GraphNode::integers(Key key) const noexcept {
    const GraphAttribute* attribute = find(key);
    return attribute == nullptr ? std::span<const std::int64_t>{} : attribute->integers;
}

}  // namespace bitpress
