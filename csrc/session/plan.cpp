// Planning: shapes forward through the nodes, memory by lifetimes.
#include "ops/numbers.h"
#include "ops/stored.h"
#include "session.h"

namespace bitpress {
namespace {

// Arena space by best fit among the gaps that dead values left. Bounded: where there are too many gaps the smallest is
// forgotten, so that planning stays linear.
class Gaps {
  public:
    static constexpr std::uint32_t most = 256;
    struct Gap {
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
    };

    explicit Gaps(Gap* memory) noexcept : gaps_(memory) {}
    std::uint64_t high_water() const noexcept { return end_; }

    std::uint64_t take(std::uint64_t bytes) noexcept {
        if (bytes == 0) return 0;
        std::uint32_t best = most;
        for (std::uint32_t i = 0; i < count_; ++i) {
            if (gaps_[i].bytes >= bytes && (best == most || gaps_[i].bytes < gaps_[best].bytes)) best = i;
        }
        if (best != most) {
            const std::uint64_t offset = gaps_[best].offset;
            gaps_[best].offset += bytes;
            gaps_[best].bytes -= bytes;
            if (gaps_[best].bytes == 0) gaps_[best] = gaps_[--count_];
            return offset;
        }
        for (std::uint32_t i = 0; i < count_; ++i) {  // the gap at the end grows
            if (gaps_[i].offset + gaps_[i].bytes != end_) continue;
            const std::uint64_t offset = gaps_[i].offset;
            gaps_[i] = gaps_[--count_];
            end_ = offset + bytes;
            return offset;
        }
        const std::uint64_t offset = end_;
        end_ += bytes;
        return offset;
    }

    void give(std::uint64_t offset, std::uint64_t bytes) noexcept {
        if (bytes == 0) return;
        for (std::uint32_t i = 0; i < count_;) {  // join with the neighbours
            const Gap gap = gaps_[i];
            if (gap.offset + gap.bytes != offset && offset + bytes != gap.offset) {
                ++i;
                continue;
            }
            offset = gap.offset < offset ? gap.offset : offset;
            bytes += gap.bytes;
            gaps_[i] = gaps_[--count_];
        }
        if (count_ < most) {
            gaps_[count_++] = {offset, bytes};
            return;
        }
        std::uint32_t smallest = 0;
        for (std::uint32_t i = 1; i < count_; ++i) smallest = gaps_[i].bytes < gaps_[smallest].bytes ? i : smallest;
        if (gaps_[smallest].bytes < bytes) gaps_[smallest] = {offset, bytes};
    }

  private:
    Gap* gaps_;
    std::uint32_t count_ = 0;
    std::uint64_t end_ = 0;
};

// Element count of a shape: not more than max_elements, with each dim of 0 taken for 1 too.
Status accept(const Shape& shape, std::uint64_t* count) noexcept {
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

}  // namespace

// The pieces of memory that a Session is made of.
struct PlanMemory {
    Session* session = nullptr;
    PlannedValue* values = nullptr;
    Step* steps = nullptr;
    Operand* operands = nullptr;
    Gaps::Gap* gaps = nullptr;

    Status take(const Graph& graph, Memory* memory) noexcept {
        BP_TRY(memory->take_array(1, &session));
        BP_TRY(memory->take_array(graph.values().size(), &values));
        BP_TRY(memory->take_array(graph.nodes().size(), &steps));
        BP_TRY(memory->take_array(max_node_links, &operands));
        BP_TRY(memory->take_array(Gaps::most, &gaps));
        for (std::size_t n = 0; n < graph.nodes().size(); ++n) {
            const Operator* op = find_operator(graph.nodes()[n].op);
            if (op == nullptr) return Status::unsupported;
            std::uint8_t* params = nullptr;
            std::size_t bytes = op->param_bytes;
            if (op->otherwise != nullptr && op->otherwise->param_bytes > bytes) bytes = op->otherwise->param_bytes;
            BP_TRY(memory->take(bytes, &params));
            if (params == nullptr) continue;
            steps[n].op = op;
            steps[n].params = params;
        }
        return Status::ok;
    }
};

class Planner {
  public:
    Planner(const Model& model, const PlanMemory& memory, const PlanOptions& options) noexcept
        : model_(model),
          graph_(model.graph()),
          memory_(memory),
          values_(memory.values),
          gaps_(memory.gaps),
          options_(options) {}

    Status run(std::span<const InputShape> shapes, std::uint32_t* failed_node) noexcept {
        BP_TRY(place_inputs(shapes));
        BP_TRY(place_stored());
        find_last_readers();
        for (std::uint32_t n = 0; n < graph_.nodes().size(); ++n) {
            *failed_node = n;
            BP_TRY(plan_node(n));
        }
        *failed_node = no_value;
        for (const std::uint32_t index : graph_.outputs()) {  // stored ones are decoded after the last step
            const std::uint64_t bytes = to_alignment(model_.undecoded(index));
            gaps_.give(gaps_.take(bytes), bytes);
        }
        bytes_.arena = gaps_.high_water() + memory_alignment - 1;
        memory_.session->model_ = &model_;
        memory_.session->values_ = values_;
        memory_.session->steps_ = memory_.steps;
        memory_.session->bytes_ = bytes_;
        return Status::ok;
    }

  private:
    Status place_inputs(std::span<const InputShape> shapes) noexcept;
    Status place_stored() noexcept;
    void find_last_readers() noexcept;
    Status plan_node(std::uint32_t n) noexcept;
    Status read_operands(const GraphNode& node, const Operator& op) noexcept;
    Status place_outputs(std::uint32_t n, const PlanContext& context) noexcept;
    Status place_scratch(std::uint32_t n, const PlanContext& context) noexcept;
    bool share(std::uint32_t n, const GraphNode& node, PlannedValue& out) noexcept;
    void free_dead(std::uint32_t n, std::uint32_t value) noexcept;
    bool in_arena(const PlannedValue& root) const noexcept { return root.output == no_value && root.input == no_value; }

    const Model& model_;
    const Graph& graph_;
    PlanMemory memory_;
    PlannedValue* values_;
    Gaps gaps_;
    SessionBytes bytes_;
    PlanOptions options_;
};

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
        BP_TRY(accept(value.shape, &value.count));
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
        BP_TRY(accept(view->shape, &values_[i].count));
        BP_TRY(stored_dtype(*view, &values_[i].dtype));
        values_[i].bytes = values_[i].count * element_bytes(values_[i].dtype);
    }
    return Status::ok;
}

void Planner::find_last_readers() noexcept {
    for (std::uint32_t n = 0; n < graph_.nodes().size(); ++n) {
        const GraphNode& node = graph_.nodes()[n];
        for (const std::uint32_t index : node.outputs) values_[index].last_step = n;
        for (const std::uint32_t index : node.inputs) {
            if (index != no_value) values_[index].last_step = n;
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

Status Planner::plan_node(std::uint32_t n) noexcept {
    Step& step = memory_.steps[n];
    PlanContext context;
    context.node = graph_.nodes()[n];
    for (const std::uint32_t index : context.node.inputs) {
        if (index == no_value || values_[index].dtype == Dtype::f32 || step.op->otherwise == nullptr) continue;
        step.op = step.op->otherwise;
    }
    context.inputs = memory_.operands;
    context.activations = options_.activations;
    context.workers = options_.workers;
    context.params = step.params;
    BP_TRY(read_operands(context.node, *step.op));
    BP_TRY(step.op->plan(context));
    step.parts = context.parts;
    step.work = context.work;
    step.products = context.products;
    if (context.scratch_floats > max_elements) return Status::too_large;
    BP_TRY(place_outputs(n, context));
    BP_TRY(place_scratch(n, context));
    if (!checked_add(bytes_.work, context.work, &bytes_.work)) return Status::too_large;
    for (std::uint32_t k = 0; k < context.node.inputs.size(); ++k) {
        if (context.node.inputs[k] != no_value) free_dead(n, values_[context.node.inputs[k]].root);
    }
    for (std::uint32_t k = 0; k < context.node.outputs.size(); ++k) free_dead(n, values_[context.node.outputs[k]].root);
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
    if (!alias && (!in_arena(root) || root.last_step != n)) return false;
    out.root = in.root;
    if (out.last_step > root.last_step) root.last_step = out.last_step;
    if (alias) step.op = nullptr;
    return true;
}

Status Planner::place_outputs(std::uint32_t n, const PlanContext& context) noexcept {
    bool empty = true;
    for (std::uint32_t k = 0; k < context.node.outputs.size(); ++k) {
        const std::uint32_t index = context.node.outputs[k];
        PlannedValue& out = values_[index];
        out.dtype = context.output_dtypes[k];
        out.shape = context.outputs[k];
        if (graph_.values()[index].dtype != out.dtype) return Status::unsupported;
        BP_TRY(accept(out.shape, &out.count));
        out.bytes = out.count * element_bytes(out.dtype);
        empty = empty && out.count == 0;
        if (k == 0 && share(n, context.node, out)) continue;
        if (out.output == no_value) out.offset = gaps_.take(to_alignment(out.bytes));
    }
    if (empty) memory_.steps[n].op = nullptr;
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

void Planner::free_dead(std::uint32_t n, std::uint32_t value) noexcept {
    PlannedValue& root = values_[value];
    if (model_.stored(value) != nullptr || !in_arena(root) || root.last_step != n) return;
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
