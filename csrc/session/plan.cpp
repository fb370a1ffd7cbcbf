// Planning: shapes forward through the nodes, memory by lifetimes.
#include "session/planner.h"

namespace bitpress {

Status accept_shape(const Shape& shape, std::uint64_t* count) noexcept {
    std::uint64_t product = 1;
    bool empty = false;
    for (unsigned d = 0; d < shape.rank; ++d) {
        empty = empty || shape.dims[d] == 0;
        const std::uint64_t dim = shape.dims[d] == 0 ? 1 : shape.dims[d];
        if (!checked_mul(product, dim, &product) || product > max_elements) return Status::too_large;
    }
    *count = empty ? 0 : product;
    return Status::ok;
}

Status Planner::place_inputs(std::span<const InputShape> shapes) noexcept {
    const std::span<const GraphValue> inputs = graph_.inputs();
    if (shapes.size() != inputs.size()) return Status::bad_argument;
    for (std::uint32_t i = 0; i < inputs.size(); ++i) {
        const GraphValue& declared = inputs[i];
        PlannedValue& value = values_[i];
        if (!among(declared.dtype, any_type)) return Status::unsupported;
        value.dtype = declared.dtype;
        if (shapes[i].rank > max_rank) return Status::bad_shape;
        if (declared.has_rank && declared.dims.size() != shapes[i].rank) return Status::bad_shape;
        value.shape.rank = shapes[i].rank;
        for (unsigned d = 0; d < shapes[i].rank; ++d) {
            const std::int64_t dim = shapes[i].dims[d];
            if (dim < 0) return Status::bad_shape;
            if (declared.has_rank && declared.dims[d] != -1 && declared.dims[d] != dim) return Status::bad_shape;
            value.shape.dims[d] = static_cast<std::uint64_t>(dim);
        }
        BP_TRY(accept_shape(value.shape, &value.count));
        value.bytes = value.count * element_bytes(value.dtype);
        value.input = i;
    }
    const std::span<const std::uint32_t> outputs = graph_.outputs();
    for (std::uint32_t i = 0; i < outputs.size(); ++i) values_[outputs[i]].output = i;
    return Status::ok;
}

Status Planner::place_stored() noexcept {
    for (std::uint32_t i = 0; i < graph_.values().size(); ++i) {
        values_[i].root = i;
        const TensorView* view = model_.stored(i);
        if (view == nullptr) continue;
        values_[i].shape = view->shape;
        BP_TRY(accept_shape(view->shape, &values_[i].count));
        BP_TRY(stored_dtype(*view, &values_[i].dtype));
        values_[i].bytes = values_[i].count * element_bytes(values_[i].dtype);
    }
    return Status::ok;
}

void Planner::read_until(std::uint32_t value, std::uint32_t time) noexcept {
    if (values_[value].last_step < time) values_[value].last_step = time;
}

// What a loop reads of the values around it lives until its last turn; what a body gives to its owner until the end.
void Planner::find_last_readers() noexcept {
    struct Owner {
        std::uint32_t end, time, first_value;  // first_value: 0 where what stands around it need not outlive a turn
    };
    Owner owners[max_body_depth];
    unsigned depth = 0;
    for (std::uint32_t n = 0; n < graph_.nodes().size(); ++n) {
        const GraphNode& node = graph_.nodes()[n];
        while (depth > 0 && n >= owners[depth - 1].end) --depth;
        const std::uint32_t end = node.bodies.empty() ? when(n) : closing(node, depth);
        const auto read = [&](std::uint32_t index, std::uint32_t time) noexcept {
            if (index == no_value) return;
            read_until(index, time);
            for (unsigned d = 0; d < depth; ++d) {
                if (index < owners[d].first_value) read_until(index, owners[d].time);
            }
        };
        for (const std::uint32_t index : node.outputs) read_until(index, end);
        for (const std::uint32_t index : node.inputs) read(index, when(n));
        for (const GraphBody& body : node.bodies) {
            for (std::uint32_t i = 0; i < body.input_count; ++i) read_until(body.first_input + i, end);
            for (const std::uint32_t index : body.outputs) read(index, end);
        }
        if (!node.bodies.empty() && depth < max_body_depth) {
            owners[depth++] = {node.end, end, node.op == OpId::Loop ? node.bodies[0].first_input : 0};
        }
    }
}

Status Planner::read_operands(const GraphNode& node, const Operator& op) noexcept {
    if (node.inputs.size() < op.min_inputs || node.inputs.size() > op.max_inputs) return Status::corrupt;
    if (node.outputs.empty()) return Status::corrupt;
    if (node.outputs.size() > op.outputs || (node.keys() & ~op.keys) != 0) return Status::unsupported;
    for (std::uint32_t k = 0; k < node.inputs.size(); ++k) {
        Operand operand;
        const std::uint32_t index = node.inputs[k];
        if (index == no_value) {
            if (k < op.min_inputs || op.max_inputs == max_node_links) return Status::corrupt;
        } else {
            if (values_[index].dtype != Dtype::f32 && (op.flags & op_typed) == 0) return Status::unsupported;
            if (values_[index].count == 0 && (op.flags & op_empty) == 0) return Status::bad_shape;
            operand = {true, values_[index].dtype, values_[index].shape, model_.stored(index)};
        }
        memory_.operands[k] = operand;
    }
    return Status::ok;
}

Status Planner::plan_nodes(std::uint32_t first, std::uint32_t end) noexcept {
    for (std::uint32_t n = first; n < end; n = graph_.nodes()[n].end) {
        *failed_node_ = n;
        BP_TRY(graph_.nodes()[n].bodies.empty() ? plan_node(n) : plan_owner(n));
    }
    return Status::ok;
}

bool Planner::varies(const GraphNode& node) const noexcept {
    for (const std::uint32_t index : node.inputs) {
        if (index != no_value && values_[index].varying != 0) return true;
    }
    return false;
}

Status Planner::plan_operator(std::uint32_t n, PlanContext* context) noexcept {
    const Step& step = memory_.steps[n];
    *context = {};
    context->node = graph_.nodes()[n];
    context->inputs = memory_.operands;
    context->activations = options_.activations;
    context->workers = options_.workers;
    context->params = step.params;
    return step.op->plan(*context);
}

// Inputs whose dims vary: outputs and scratch that hold for the largest of them, and for smaller ones by trial (none,
// where the operator takes that, the numbers below eight, powers of two). What is not foreseen so, a run finds before
// it happens.
Status Planner::plan_for_any(std::uint32_t n, PlanContext* context) noexcept {
    const GraphNode& node = graph_.nodes()[n];
    Step& step = memory_.steps[n];
    step.planner = step.op;
    live_operands_ = node.inputs.size() > live_operands_ ? node.inputs.size() : live_operands_;
    live_params_ = step.op->param_bytes > live_params_ ? step.op->param_bytes : live_params_;
    PlanContext most;
    BP_TRY(plan_operator(n, &most));
    const std::uint64_t least = (step.op->flags & op_empty) != 0 ? 0 : 1;
    for (std::uint64_t size = least;; size += size < 8 ? 1 : size) {  // until no dim is cut: at most 2^62
        bool smaller = false;
        for (std::size_t k = 0; k < node.inputs.size(); ++k) {
            if (node.inputs[k] == no_value) continue;
            const PlannedValue& value = values_[node.inputs[k]];
            for (unsigned d = 0; d < value.shape.rank; ++d) {
                const bool cut = (value.varying >> d & 1U) != 0 && value.shape.dims[d] > size;
                memory_.operands[k].shape.dims[d] = cut ? size : value.shape.dims[d];
                smaller = smaller || cut;
            }
        }
        if (!smaller) break;  // and operands are whole again
        PlanContext trial;
        if (plan_operator(n, &trial) != Status::ok) continue;
        for (std::size_t k = 0; k < node.outputs.size() && k < max_outputs; ++k) {
            most.varying[k] |= trial.varying[k];
            if (trial.outputs[k].rank != most.outputs[k].rank) return Status::unsupported;
            for (unsigned d = 0; d < most.outputs[k].rank; ++d) {
                std::uint64_t& dim = most.outputs[k].dims[d];
                if (trial.outputs[k].dims[d] != dim) most.varying[k] |= static_cast<std::uint8_t>(1U << d);
                if (trial.outputs[k].dims[d] > dim) dim = trial.outputs[k].dims[d];
            }
        }
        if (trial.scratch_floats > most.scratch_floats) most.scratch_floats = trial.scratch_floats;
        if (trial.tile_floats > most.tile_floats) most.tile_floats = trial.tile_floats;
        if (trial.parts > most.parts) most.parts = trial.parts;
    }
    PlanContext last;
    BP_TRY(plan_operator(n, &last));  // parameters of the largest
    *context = most;
    return Status::ok;
}

Status Planner::plan_node(std::uint32_t n) noexcept {
    Step& step = memory_.steps[n];
    const GraphNode& node = graph_.nodes()[n];
    PlanContext context;
    for (const std::uint32_t index : node.inputs) {
        if (index == no_value || values_[index].dtype == Dtype::f32 || step.op->otherwise == nullptr) continue;
        step.op = step.op->otherwise;
    }
    BP_TRY(read_operands(node, *step.op));
    BP_TRY(varies(node) ? plan_for_any(n, &context) : plan_operator(n, &context));
    step.parts = context.parts;
    step.work = context.work;
    step.products = context.products;
    if (context.scratch_floats > max_elements) return Status::too_large;
    BP_TRY(place_outputs(n, context));
    BP_TRY(place_scratch(n, context));
    if (!checked_add(bytes_.work, context.work, &bytes_.work)) return Status::too_large;
    for (const std::uint32_t index : node.inputs) {
        if (index != no_value) free_dead(when(n), values_[index].root);
    }
    for (const std::uint32_t index : node.outputs) free_dead(when(n), values_[index].root);
    return Status::ok;
}

// Whether output 0 can live in input 0's memory; then it does.
bool Planner::share(std::uint32_t n, const GraphNode& node, PlannedValue& out) noexcept {
    Step& step = memory_.steps[n];
    if ((step.op->flags & (op_alias | op_in_place)) == 0 || out.output != no_value) return false;
    if (model_.stored(node.inputs[0]) != nullptr) return false;
    const PlannedValue& in = values_[node.inputs[0]];
    PlannedValue& root = values_[in.root];
    if (in.bytes != out.bytes) return false;
    const bool alias = (step.op->flags & op_alias) != 0;
    if (!alias && (!in_arena(root) || root.last_step != when(n))) return false;
    out.root = in.root;
    if (out.last_step > root.last_step) root.last_step = out.last_step;
    if (alias) step.op = nullptr;
    return true;
}

Status Planner::set_shape(std::uint32_t index, Dtype dtype, const Shape& shape, std::uint8_t varying) noexcept {
    PlannedValue& value = values_[index];
    value.dtype = dtype;
    value.shape = shape;
    value.varying = varying;
    if (graph_.values()[index].dtype != dtype) return Status::unsupported;
    if (varying != 0) value.live = live_++;
    BP_TRY(accept_shape(shape, &value.count));
    value.bytes = value.count * element_bytes(dtype);
    return Status::ok;
}

Status Planner::place_outputs(std::uint32_t n, const PlanContext& context) noexcept {
    Step& step = memory_.steps[n];
    const GraphNode& node = graph_.nodes()[n];
    bool empty = true;
    for (std::uint32_t k = 0; k < node.outputs.size(); ++k) {
        PlannedValue& out = values_[node.outputs[k]];
        BP_TRY(set_shape(node.outputs[k], context.output_dtypes[k], context.outputs[k], context.varying[k]));
        empty = empty && out.count == 0;
        step.varies = step.varies || (step.planner == nullptr && out.varying != 0);
        if (k == 0 && share(n, node, out)) continue;
        if (out.output == no_value) out.offset = gaps_.take(to_alignment(out.bytes));
    }
    if (empty && !step.varies) step.op = nullptr;
    return Status::ok;
}

Status Planner::place_scratch(std::uint32_t n, const PlanContext& context) noexcept {
    Step& step = memory_.steps[n];
    if (step.op == nullptr) return Status::ok;
    std::uint64_t floats = 0;
    for (std::uint32_t k = 0; k < context.node.inputs.size(); ++k) {
        const TensorView* stored = context.inputs[k].stored;
        if (stored == nullptr) continue;
        floats += to_alignment(model_.undecoded(context.node.inputs[k])) / sizeof(float);
        if (stored_in_place(*stored) != nullptr || reads_itself(*step.op, k, *stored)) continue;
        floats += to_alignment(values_[context.node.inputs[k]].bytes) / sizeof(float);  // at most 256 times 2^40
    }
    step.scratch_floats = to_alignment(context.scratch_floats * sizeof(float)) / sizeof(float);
    const std::uint64_t bytes = (step.scratch_floats + floats) * sizeof(float);
    const std::uint64_t tile = (context.tile_floats + floats) * sizeof(float);
    if (tile > bytes_.tile) bytes_.tile = tile;
    step.scratch = gaps_.take(bytes);
    gaps_.give(step.scratch, bytes);
    return gaps_.high_water() <= std::uint64_t{1} << 60 ? Status::ok : Status::too_large;
}

void Planner::free_dead(std::uint32_t time, std::uint32_t value) noexcept {
    PlannedValue& root = values_[value];
    if (model_.stored(value) != nullptr || !in_arena(root) || root.last_step != time) return;
    gaps_.give(root.offset, to_alignment(root.bytes));
    root.last_step = no_value;  // once
}

Status Session::size(const Model& model, std::uint64_t* memory_bytes) noexcept {
    Memory counter;
    PlanMemory memory;
    BP_TRY(memory.take(model.graph(), &counter));
    *memory_bytes = counter.needed();
    return Status::ok;
}

Status Session::plan(const Model& model, std::span<const InputShape> shapes, MutableBytes memory, const Session** out,
                     std::uint32_t* failed_node, const PlanOptions& options) noexcept {
    *failed_node = no_value;
    if (kernels() == nullptr) return Status::unsupported;
    if (options.workers < 1 || options.workers > max_workers) return Status::bad_argument;
    Memory from(memory);
    PlanMemory pieces;
    BP_TRY(pieces.take(model.graph(), &from));
    Planner planner(model, pieces, options);
    BP_TRY(planner.run(shapes, failed_node));
    *out = pieces.session;
    return Status::ok;
}

}  // namespace bitpress
