// Planning nodes that own bodies: a body's nodes are planned where they stand, once, whatever a run does with them.
#include "ops/common.h"
#include "session/planner.h"

namespace bitpress {
namespace {

constexpr std::int64_t most_turns = std::int64_t{1} << 20;
constexpr std::uint64_t most_turns_together = std::uint64_t{1} << 30;  // of a loop and those around it

}  // namespace

Status Planner::is_scalar(std::uint32_t value, Dtype dtype) const noexcept {
    if (values_[value].dtype != dtype) return Status::unsupported;
    return values_[value].count == 1 && values_[value].varying == 0 ? Status::ok : Status::bad_shape;
}

// fresh: in memory that nothing before it has had, since it lives while the body runs again.
Status Planner::place_value(std::uint32_t index, Dtype dtype, const Shape& shape, std::uint8_t varying,
                            bool fresh) noexcept {
    BP_TRY(set_shape(index, dtype, shape, varying));
    PlannedValue& value = values_[index];
    if (value.output != no_value) return Status::ok;
    value.offset = fresh ? gaps_.take_fresh(to_alignment(value.bytes)) : gaps_.take(to_alignment(value.bytes));
    return gaps_.high_water() <= std::uint64_t{1} << 60 ? Status::ok : Status::too_large;
}

Status Planner::plan_owner(std::uint32_t n) noexcept {
    const GraphNode& node = graph_.nodes()[n];
    const Operator& op = *memory_.steps[n].op;
    if (node.outputs.empty()) return Status::corrupt;
    if ((node.keys() & ~op.keys) != 0) return Status::unsupported;
    const std::uint32_t time = closing(node, depth_);
    ++depth_;
    BP_TRY(node.op == OpId::If ? plan_if(n) : plan_loop(n));
    --depth_;
    place_copies(node, &memory_.steps[n]);
    free_closed(node, n, time);
    return gaps_.high_water() <= std::uint64_t{1} << 60 ? Status::ok : Status::too_large;
}

// Memory to decode the largest stored tensor that is handed to a body or by it.
void Planner::place_copies(const GraphNode& node, Step* step) noexcept {
    std::uint64_t most = 0;
    const auto need = [&](std::uint32_t index) noexcept {
        const std::uint64_t bytes = index == no_value ? 0 : to_alignment(model_.undecoded(index));
        most = bytes > most ? bytes : most;
    };
    for (const std::uint32_t index : node.inputs) need(index);
    for (const GraphBody& body : node.bodies) {
        for (const std::uint32_t index : body.outputs) need(index);
    }
    step->scratch_floats = most / sizeof(float);
    step->scratch = gaps_.take_fresh(most);
    if (most > bytes_.tile) bytes_.tile = most;
}

void Planner::free_closed(const GraphNode& node, std::uint32_t n, std::uint32_t time) noexcept {
    const auto free = [&](std::uint32_t index) noexcept {
        if (index != no_value) free_dead(time, values_[index].root);
    };
    for (std::uint32_t m = n; m < node.end; ++m) {
        const GraphNode& inner = graph_.nodes()[m];
        for (const std::uint32_t index : inner.inputs) free(index);
        for (const std::uint32_t index : inner.outputs) free(index);
        for (const GraphBody& body : inner.bodies) {
            for (std::uint32_t i = 0; i < body.input_count; ++i) free(body.first_input + i);
            for (const std::uint32_t index : body.outputs) free(index);
        }
    }
}

Status Planner::plan_if(std::uint32_t n) noexcept {
    const GraphNode& node = graph_.nodes()[n];
    if (node.inputs.size() != 1 || node.inputs[0] == no_value) return Status::corrupt;
    for (const GraphBody& body : node.bodies) {
        if (body.input_count != 0 || body.outputs.size() != node.outputs.size()) return Status::corrupt;
    }
    BP_TRY(is_scalar(node.inputs[0], Dtype::boolean));
    free_dead(when(n), values_[node.inputs[0]].root);
    // Shapes may fit one body alone: the other is refused where a run takes it.
    Status(&refused)[2] = memory_.steps[n].refused;
    const unsigned depth = depth_;
    for (unsigned b = 0; b < 2; ++b) {
        refused[b] = plan_nodes(node.bodies[b].first_node, node.bodies[b].end_node);
        depth_ = depth;
        if (b == 1 && refused[0] != Status::ok && refused[1] != Status::ok) return refused[0];
    }
    *failed_node_ = n;
    const GraphBody& first = node.bodies[refused[0] == Status::ok ? 0 : 1];
    const GraphBody& second = node.bodies[refused[1] == Status::ok ? 1 : 0];
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
        const PlannedValue& one = values_[first.outputs[k]];
        const PlannedValue& other = values_[second.outputs[k]];
        if (one.dtype != other.dtype || one.shape.rank != other.shape.rank) return Status::unsupported;
        Shape shape = one.shape;
        auto varying = static_cast<std::uint8_t>(one.varying | other.varying);
        for (unsigned d = 0; d < shape.rank; ++d) {
            if (shape.dims[d] != other.shape.dims[d]) varying |= static_cast<std::uint8_t>(1U << d);
            shape.dims[d] = larger(shape.dims[d], other.shape.dims[d]);
        }
        BP_TRY(place_value(node.outputs[k], one.dtype, shape, varying, false));
    }
    return Status::ok;
}

// A loop's own values: the number of the turn, the condition, and what it carries, whose sizes may only shrink, and
// only where the body says that they are not known.
Status Planner::place_loop_inputs(const GraphNode& node) noexcept {
    const GraphBody& body = node.bodies[0];
    BP_TRY(place_value(body.first_input, Dtype::i64, {}, 0, false));
    BP_TRY(place_value(body.first_input + 1, Dtype::boolean, {}, 0, false));
    for (std::uint32_t k = 2; k < body.input_count; ++k) {
        if (node.inputs[k] == no_value) return Status::corrupt;
        const PlannedValue& first = values_[node.inputs[k]];
        const GraphValue& declared = graph_.values()[body.first_input + k];
        std::uint8_t varying = first.varying;
        if (declared.has_rank && declared.dims.size() != first.shape.rank) return Status::bad_shape;
        for (unsigned d = 0; d < declared.dims.size(); ++d) {
            if (declared.dims[d] == -1) varying |= static_cast<std::uint8_t>(1U << d);
        }
        BP_TRY(place_value(body.first_input + k, first.dtype, first.shape, varying, false));
    }
    return Status::ok;
}

// That what a turn gives the next one fits where that reads it.
Status Planner::check_carried(const GraphNode& node, std::size_t k) noexcept {
    const GraphBody& body = node.bodies[0];
    const PlannedValue& in = values_[body.first_input + 2 + k];
    const PlannedValue& out = values_[body.outputs[1 + k]];
    if (in.dtype != out.dtype) return Status::unsupported;
    if (in.shape.rank != out.shape.rank || (out.varying & ~in.varying) != 0) return Status::bad_shape;
    for (unsigned d = 0; d < in.shape.rank; ++d) {
        const bool varies = (in.varying >> d & 1U) != 0;
        if (varies ? out.shape.dims[d] > in.shape.dims[d] : out.shape.dims[d] != in.shape.dims[d])
            return Status::bad_shape;
    }
    return Status::ok;
}

Status Planner::plan_loop(std::uint32_t n) noexcept {
    const GraphNode& node = graph_.nodes()[n];
    const GraphBody& body = node.bodies[0];
    if (node.inputs.size() < 2 || body.input_count != node.inputs.size()) return Status::corrupt;
    const std::size_t carried = node.inputs.size() - 2;
    if (body.outputs.size() != node.outputs.size() + 1 || node.outputs.size() < carried) return Status::corrupt;
    const std::int64_t bound = node.integer(Key::bound, 0);
    if (bound < 1 || bound > most_turns) return Status::bad_argument;
    if (node.inputs[0] != no_value) BP_TRY(is_scalar(node.inputs[0], Dtype::i64));
    if (node.inputs[1] != no_value) BP_TRY(is_scalar(node.inputs[1], Dtype::boolean));
    BP_TRY(place_loop_inputs(node));
    for (const std::uint32_t index : node.inputs) {
        if (index != no_value) free_dead(when(n), values_[index].root);
    }
    const std::uint64_t before = bytes_.work;
    const std::uint64_t around = turns_;
    turns_ *= static_cast<std::uint64_t>(bound);
    const Status planned =
        turns_ > most_turns_together ? Status::too_large : plan_nodes(body.first_node, body.end_node);
    turns_ = around;
    BP_TRY(planned);
    *failed_node_ = n;
    BP_TRY(is_scalar(body.outputs[0], Dtype::boolean));
    std::uint64_t turn = bytes_.work - before + 1;
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
        const PlannedValue& from = values_[body.outputs[1 + k]];
        if (k < carried) {
            BP_TRY(check_carried(node, k));
            const PlannedValue& in = values_[body.first_input + 2 + k];
            BP_TRY(place_value(node.outputs[k], in.dtype, in.shape, in.varying, true));
        } else {
            Shape shape;
            BP_TRY(append(&shape, static_cast<std::uint64_t>(bound)));
            for (unsigned d = 0; d < from.shape.rank; ++d) BP_TRY(append(&shape, from.shape.dims[d]));
            const auto varying = static_cast<std::uint8_t>(from.varying << 1U | 1U);
            BP_TRY(place_value(node.outputs[k], from.dtype, shape, varying, true));
        }
        if (!checked_add(turn, from.count, &turn)) return Status::too_large;
    }
    if (!checked_mul(turn, static_cast<std::uint64_t>(bound), &turn)) return Status::too_large;
    return checked_add(before, turn, &bytes_.work) ? Status::ok : Status::too_large;
}

}  // namespace bitpress
