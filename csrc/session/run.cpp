// Running a planned program.
#include "session.h"

#include <string.h>

#include "ops/stored.h"

namespace bitpress {

struct Session::Buffers {
    std::span<const Bytes> inputs;
    std::span<const MutableBytes> outputs;
    std::uint8_t* arena = nullptr;
    Workers workers;
};

void* Session::locate(std::uint32_t value, const Buffers& buffers) const noexcept {
    const PlannedValue& root = values_[values_[value].root];
    // Inputs are only ever read: no operator runs in place on them.
    if (root.input != no_value) return const_cast<std::uint8_t*>(buffers.inputs[root.input].data());
    if (root.output != no_value) return buffers.outputs[root.output].data();
    return buffers.arena + root.offset;
}

Status Session::run_step(std::uint32_t n, const Buffers& buffers) const noexcept {
    const Step& step = steps_[n];
    const GraphNode& node = model_->graph().nodes()[n];
    const void* inputs[max_node_links];
    const TensorView* stored[max_node_links];
    std::uint64_t counts[max_node_links];
    void* outputs[max_outputs];
    auto* scratch = reinterpret_cast<float*>(buffers.arena + step.scratch);
    auto* unpacked = reinterpret_cast<std::uint8_t*>(scratch + step.scratch_floats);
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
        const std::uint32_t index = node.inputs[k];
        inputs[k] = nullptr;
        stored[k] = nullptr;
        counts[k] = 0;
        if (index == no_value) continue;
        counts[k] = values_[index].count;
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
    context.params = step.params;
    context.inputs = inputs;
    context.stored = stored;
    context.input_counts = counts;
    context.input_count = static_cast<unsigned>(node.inputs.size());
    context.outputs = outputs;
    context.scratch = scratch;
    context.workers = buffers.workers;
    if (step.parts < context.workers.count) context.workers.count = step.parts;
    return step.op->run(context);
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
    const Buffers buffers = {inputs, outputs, aligned(arena).data(), workers};
    for (std::uint32_t n = 0; n < graph.nodes().size(); ++n) {
        if (steps_[n].op == nullptr) continue;
        if (observer.before != nullptr) observer.before(observer.self, n);
        BP_TRY(run_step(n, buffers));
    }
    if (observer.before != nullptr) observer.before(observer.self, no_value);
    return copy_outputs(buffers);
}

}  // namespace bitpress
