// Running nodes that own bodies.
#include <string.h>

#include "ops/stored.h"
#include "session/buffers.h"

namespace bitpress {

// A value's elements, contiguous, to memory that holds its largest shape. scratch: room for its codes, undecoded.
Status Session::copy_value(std::uint32_t value, const Buffers& buffers, std::uint8_t* scratch,
                           void* to) const noexcept {
    const TensorView* view = model_->stored(value);
    if (view == nullptr) {
        const PlannedValue& planned = values_[value];
        if (planned.count == 0) return Status::ok;
        std::uint64_t count = 0;
        BP_TRY(element_count(live_shape(value, buffers), &count));
        memmove(to, locate(value, buffers), static_cast<std::size_t>(count * (planned.bytes / planned.count)));
        return Status::ok;
    }
    if (const std::uint64_t bytes = model_->undecoded(value); bytes != 0) {
        BP_TRY(model_->decode(value, {scratch, static_cast<std::size_t>(bytes)}, &view));
    }
    return unpack_stored(*view, values_[value].count, to);
}

// Gives one value's elements and shape to another that is planned for it.
Status Session::hand_over(std::uint32_t from, std::uint32_t to, const Buffers& buffers,
                          std::uint8_t* scratch) const noexcept {
    set_live(to, live_shape(from, buffers), buffers);
    return copy_value(from, buffers, scratch, locate(to, buffers));
}

// A whole number or a truth value.
Status Session::read_number(std::uint32_t value, const Buffers& buffers, std::uint8_t* scratch,
                            std::int64_t* out) const noexcept {
    std::int64_t number = 0;
    std::uint8_t truth = 0;
    const bool is_truth = values_[value].dtype == Dtype::boolean;
    BP_TRY(copy_value(value, buffers, scratch, is_truth ? static_cast<void*>(&truth) : &number));
    *out = is_truth ? (truth != 0 ? 1 : 0) : number;
    return Status::ok;
}

Status Session::run_if(std::uint32_t n, const Buffers& buffers) const noexcept {
    const GraphNode& node = model_->graph().nodes()[n];
    std::uint8_t* scratch = buffers.arena + steps_[n].scratch;
    std::int64_t condition = 0;
    BP_TRY(read_number(node.inputs[0], buffers, scratch, &condition));
    const unsigned taken = condition != 0 ? 0 : 1;
    const GraphBody& body = node.bodies[taken];
    BP_TRY(steps_[n].refused[taken]);
    BP_TRY(run_nodes(body.first_node, body.end_node, buffers));
    buffers.tell(n);
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
        BP_TRY(hand_over(body.outputs[k], node.outputs[k], buffers, scratch));
    }
    return Status::ok;
}

namespace {

bool same(const Shape& a, const Shape& b) noexcept {
    bool equal = a.rank == b.rank;
    for (unsigned d = 0; equal && d < a.rank; ++d) equal = a.dims[d] == b.dims[d];
    return equal;
}

// The shape of what `turns` turns gave, each of them `one`.
Shape stacked(std::int64_t turns, const Shape& one) noexcept {
    Shape shape;
    shape.rank = one.rank + 1;
    shape.dims[0] = static_cast<std::uint64_t>(turns);
    for (unsigned d = 0; d < one.rank; ++d) shape.dims[d + 1] = one.dims[d];
    return shape;
}

}  // namespace

// What is carried waits between turns in the loop's own outputs.
Status Session::run_loop(std::uint32_t n, const Buffers& buffers) const noexcept {
    const GraphNode& node = model_->graph().nodes()[n];
    const GraphBody& body = node.bodies[0];
    const std::size_t carried = node.inputs.size() - 2;
    std::uint8_t* scratch = buffers.arena + steps_[n].scratch;
    const std::int64_t bound = node.integer(Key::bound, 0);
    std::int64_t turns = bound + 1;
    std::int64_t goes_on = 1;
    if (node.inputs[0] != no_value) BP_TRY(read_number(node.inputs[0], buffers, scratch, &turns));
    if (node.inputs[1] != no_value) BP_TRY(read_number(node.inputs[1], buffers, scratch, &goes_on));
    for (std::size_t k = 0; k < carried; ++k) {
        BP_TRY(hand_over(node.inputs[2 + k], node.outputs[k], buffers, scratch));
    }
    for (std::size_t k = carried; k < node.outputs.size(); ++k) {
        const Shape one = values_[body.outputs[1 + k]].shape;
        set_live(node.outputs[k], stacked(0, one), buffers);
    }
    for (std::int64_t turn = 0; turn < turns && goes_on != 0; ++turn) {
        if (turn == bound) return Status::too_large;
        memcpy(locate(body.first_input, buffers), &turn, sizeof turn);
        *static_cast<std::uint8_t*>(locate(body.first_input + 1, buffers)) = 1;
        for (std::uint32_t k = 0; k < carried; ++k) {
            BP_TRY(hand_over(node.outputs[k], body.first_input + 2 + k, buffers, scratch));
        }
        BP_TRY(run_nodes(body.first_node, body.end_node, buffers));
        buffers.tell(n);
        BP_TRY(read_number(body.outputs[0], buffers, scratch, &goes_on));
        for (std::size_t k = 0; k < carried; ++k) {
            BP_TRY(hand_over(body.outputs[1 + k], node.outputs[k], buffers, scratch));
        }
        for (std::size_t k = carried; k < node.outputs.size(); ++k) {
            const PlannedValue& all = values_[node.outputs[k]];
            const Shape one = live_shape(body.outputs[1 + k], buffers);
            const Shape so_far = live_shape(node.outputs[k], buffers);
            if (turn > 0 && !same(so_far, stacked(turn, one))) return Status::bad_shape;
            std::uint64_t count = 0;
            BP_TRY(element_count(one, &count));
            if (all.count != 0) {
                const std::uint64_t at = static_cast<std::uint64_t>(turn) * count * (all.bytes / all.count);
                auto* to = static_cast<std::uint8_t*>(locate(node.outputs[k], buffers)) + at;
                BP_TRY(copy_value(body.outputs[1 + k], buffers, scratch, to));
            }
            set_live(node.outputs[k], stacked(turn + 1, one), buffers);
        }
    }
    return Status::ok;
}

}  // namespace bitpress
