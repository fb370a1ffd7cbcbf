// Running a planned program.
#include <string.h>

#include "ops/stored.h"
#include "session/buffers.h"

namespace bitpress {

void* Session::locate(std::uint32_t value, const Buffers& buffers) const noexcept {
    const PlannedValue& root = values_[values_[value].root];
    // Inputs are only ever read: no operator runs in place on them.
    if (root.input != no_value) return const_cast<std::uint8_t*>(buffers.inputs[root.input].data());
    if (root.output != no_value) return buffers.outputs[root.output].data();
    return buffers.arena + root.offset;
}

const Shape& Session::live_shape(std::uint32_t value, const Buffers& buffers) const noexcept {
    const PlannedValue& planned = values_[value];
    if (planned.live == no_value) return planned.shape;
    return reinterpret_cast<const Shape*>(buffers.arena + live_)[planned.live];
}

void Session::set_live(std::uint32_t value, const Shape& shape, const Buffers& buffers) const noexcept {
    const PlannedValue& planned = values_[value];
    if (planned.live != no_value) reinterpret_cast<Shape*>(buffers.arena + live_)[planned.live] = shape;
}

Shape Session::shape(std::uint32_t index, MutableBytes arena) const noexcept {
    Buffers buffers;
    buffers.arena = aligned(arena).data();
    return live_shape(index, buffers);
}

// Plans a step for the shapes of this run, into the arena. What is larger than the plan foresaw is refused.
Status Session::plan_live(std::uint32_t n, const Buffers& buffers, PlanContext* context) const noexcept {
    const Step& step = steps_[n];
    const GraphNode& node = model_->graph().nodes()[n];
    auto* operands = reinterpret_cast<Operand*>(buffers.arena + live_operands_);
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
        const std::uint32_t index = node.inputs[k];
        Operand& operand = *::new (static_cast<void*>(operands + k)) Operand{};
        if (index == no_value) continue;
        operand = {true, values_[index].dtype, live_shape(index, buffers), model_->stored(index)};
        std::uint64_t count = 0;
        BP_TRY(element_count(operand.shape, &count));
        if (count == 0 && (step.planner->flags & op_empty) == 0) return Status::bad_shape;
    }
    context->node = node;
    context->activations = activations_;
    context->workers = step.parts;
    context->inputs = operands;
    context->params = buffers.arena + live_params_;
    BP_TRY(step.planner->plan(*context));
    if (to_alignment(context->scratch_floats * sizeof(float)) > step.scratch_floats * sizeof(float))
        return Status::too_large;
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
        const PlannedValue& planned = values_[node.outputs[k]];
        const Shape& shape = context->outputs[k];
        if (shape.rank != planned.shape.rank) return Status::too_large;
        for (unsigned d = 0; d < shape.rank; ++d) {
            const bool varies = (planned.varying >> d & 1U) != 0;
            if (varies ? shape.dims[d] > planned.shape.dims[d] : shape.dims[d] != planned.shape.dims[d])
                return Status::too_large;
        }
    }
    return Status::ok;
}

Status Session::run_step(std::uint32_t n, const Buffers& buffers) const noexcept {
    const Step& step = steps_[n];
    PlanContext live;
    Shape shapes[max_outputs];
    bool empty = false;
    const GraphNode& node = model_->graph().nodes()[n];
    const void* inputs[max_node_links];
    const TensorView* stored[max_node_links];
    std::uint64_t counts[max_node_links];
    void* outputs[max_outputs] = {};
    if (step.planner != nullptr) {
        BP_TRY(plan_live(n, buffers, &live));
        empty = true;
    }
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
        shapes[k] = step.planner != nullptr ? live.outputs[k] : values_[node.outputs[k]].shape;
        set_live(node.outputs[k], shapes[k], buffers);
        std::uint64_t count = 0;
        BP_TRY(element_count(shapes[k], &count));
        empty = empty && count == 0 && live.varying[k] == 0;
    }
    if (empty || step.op == nullptr) return Status::ok;
    auto* scratch = reinterpret_cast<float*>(buffers.arena + step.scratch);
    auto* unpacked = reinterpret_cast<std::uint8_t*>(scratch + step.scratch_floats);
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
        const std::uint32_t index = node.inputs[k];
        inputs[k] = nullptr;
        stored[k] = nullptr;
        counts[k] = 0;
        if (index == no_value) continue;
        counts[k] = values_[index].count;
        if (values_[index].live != no_value) BP_TRY(element_count(live_shape(index, buffers), &counts[k]));
        const TensorView* view = model_->stored(index);
        if (const std::uint64_t bytes = model_->undecoded(index); bytes != 0) {
            BP_TRY(model_->decode(index, {unpacked, static_cast<std::size_t>(bytes)}, &view));
            unpacked += to_alignment(bytes);
        }
        if (view == nullptr) {
            inputs[k] = locate(index, buffers);
        } else if (reads_itself(*step.op, k, *view)) {
            stored[k] = view;
        } else if (const void* in_place = stored_in_place(*view); in_place != nullptr) {
            inputs[k] = in_place;
        } else {
            BP_TRY(unpack_stored(*view, counts[k], unpacked));
            inputs[k] = unpacked;
            unpacked += to_alignment(values_[index].bytes);
        }
    }
    for (std::size_t k = 0; k < node.outputs.size(); ++k) outputs[k] = locate(node.outputs[k], buffers);
    RunContext context;
    context.kernels = kernels();
    context.params = step.planner != nullptr ? live.params : step.params;
    context.output_shapes = shapes;
    context.inputs = inputs;
    context.stored = stored;
    context.input_counts = counts;
    context.input_count = static_cast<unsigned>(node.inputs.size());
    context.outputs = outputs;
    context.scratch = scratch;
    context.workers = buffers.workers;
    const unsigned parts = step.planner != nullptr ? live.parts : step.parts;
    if (parts < context.workers.count) context.workers.count = parts;
    BP_TRY(step.op->run(context));
    for (std::size_t k = 0; k < node.outputs.size(); ++k) set_live(node.outputs[k], shapes[k], buffers);
    return Status::ok;
}

Status Session::run_nodes(std::uint32_t first, std::uint32_t end, const Buffers& buffers) const noexcept {
    const std::span<const GraphNode> nodes = model_->graph().nodes();
    for (std::uint32_t n = first; n < end; n = nodes[n].end) {
        if (steps_[n].op == nullptr && steps_[n].planner == nullptr) continue;
        buffers.tell(n);
        BP_TRY(nodes[n].op == OpId::If     ? run_if(n, buffers)
               : nodes[n].op == OpId::Loop ? run_loop(n, buffers)
                                           : run_step(n, buffers));
    }
    return Status::ok;
}

// Outputs that are graph inputs or stored tensors: no node writes them.
Status Session::copy_outputs(const Buffers& buffers) const noexcept {
    const std::span<const std::uint32_t> outputs = model_->graph().outputs();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        const PlannedValue& value = values_[outputs[i]];
        std::uint8_t* to = buffers.outputs[i].data();
        if (value.count == 0) continue;
        if (value.input != no_value) {
            memcpy(to, buffers.inputs[value.input].data(), static_cast<std::size_t>(value.bytes));
        } else if (const TensorView* view = model_->stored(outputs[i]); view != nullptr) {
            const std::uint64_t bytes = model_->undecoded(outputs[i]);
            if (bytes != 0) {  // no value is in the arena any more
                BP_TRY(model_->decode(outputs[i], {buffers.arena, static_cast<std::size_t>(bytes)}, &view));
            }
            BP_TRY(unpack_stored(*view, value.count, to));
        }
    }
    return Status::ok;
}

namespace {

Status check_buffer(const void* data, std::uint64_t bytes, const PlannedValue& value) noexcept {
    if (bytes != value.bytes) return Status::bad_argument;
    if (bytes == 0) return Status::ok;
    const std::uintptr_t alignment = value.bytes / value.count;
    return reinterpret_cast<std::uintptr_t>(data) % alignment == 0 ? Status::ok : Status::bad_argument;
}

}  // namespace

Status Session::run(std::span<const Bytes> inputs, std::span<const MutableBytes> outputs, MutableBytes arena,
                    const Workers& workers, const Observer& observer) const noexcept {
    const Graph& graph = model_->graph();
    if (inputs.size() != graph.inputs().size() || outputs.size() != graph.outputs().size()) return Status::bad_argument;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        BP_TRY(check_buffer(inputs[i].data(), inputs[i].size(), values_[i]));
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
        BP_TRY(check_buffer(outputs[i].data(), outputs[i].size(), values_[graph.outputs()[i]]));
    }
    if (arena.size() < bytes_.arena) return Status::memory_too_small;
    if (workers.count < 1 || workers.count > max_workers) return Status::bad_argument;
    const Buffers buffers = {inputs, outputs, aligned(arena).data(), workers, observer};
    BP_TRY(run_nodes(0, static_cast<std::uint32_t>(graph.nodes().size()), buffers));
    buffers.tell(no_value);
    return copy_outputs(buffers);
}

}  // namespace bitpress
