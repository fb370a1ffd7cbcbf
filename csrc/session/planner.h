// Planning: what plan.cpp and plan_bodies.cpp share.
#pragma once

#include "ops/numbers.h"
#include "ops/stored.h"
#include "session.h"

namespace bitpress {

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
    // The most bytes that were taken at a time: no order of addresses needs less.
    std::uint64_t most_taken() const noexcept { return most_taken_; }

    std::uint64_t take(std::uint64_t bytes) noexcept {
        if (bytes == 0) return 0;
        count_taken(bytes);
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

    // Behind everything that was ever taken.
    std::uint64_t take_fresh(std::uint64_t bytes) noexcept {
        count_taken(bytes);
        const std::uint64_t offset = end_;
        end_ += bytes;
        return offset;
    }

    void give(std::uint64_t offset, std::uint64_t bytes) noexcept {
        if (bytes == 0) return;
        taken_ -= bytes;
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
    void count_taken(std::uint64_t bytes) noexcept {
        taken_ += bytes;
        if (taken_ > most_taken_) most_taken_ = taken_;
    }

    Gap* gaps_;
    std::uint64_t taken_ = 0;
    std::uint64_t most_taken_ = 0;
    std::uint32_t count_ = 0;
    std::uint64_t end_ = 0;
};

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
        failed_node_ = failed_node;
        BP_TRY(plan_nodes(0, static_cast<std::uint32_t>(graph_.nodes().size())));
        *failed_node = no_value;
        for (const std::uint32_t index : graph_.outputs()) {  // stored ones are decoded after the last step
            const std::uint64_t bytes = to_alignment(model_.undecoded(index));
            gaps_.give(gaps_.take(bytes), bytes);
        }
        Session& session = *memory_.session;
        session.live_ = gaps_.take_fresh(to_alignment(live_ * sizeof(Shape)));
        session.live_operands_ = gaps_.take_fresh(to_alignment(live_operands_ * sizeof(Operand)));
        session.live_params_ = gaps_.take_fresh(to_alignment(live_params_));
        bytes_.arena = gaps_.high_water() + memory_alignment - 1;
        bytes_.live = gaps_.most_taken();
        session.model_ = &model_;
        session.activations_ = options_.activations;
        session.values_ = values_;
        session.steps_ = memory_.steps;
        session.bytes_ = bytes_;
        return Status::ok;
    }

  private:
    // Times: a node's; that at which the bodies of a node end, which is after the nodes in them and, where bodies that
    // are `depth` deep end together, the inner ones first.
    static std::uint32_t when(std::uint32_t n) noexcept { return 2 * max_body_depth * n; }
    static std::uint32_t closing(const GraphNode& owner, unsigned depth) noexcept {
        return when(owner.end) - 1 - depth;
    }

    Status place_inputs(std::span<const InputShape> shapes) noexcept;
    Status place_stored() noexcept;
    void find_last_readers() noexcept;
    void read_until(std::uint32_t value, std::uint32_t time) noexcept;
    Status plan_nodes(std::uint32_t first, std::uint32_t end) noexcept;
    Status plan_node(std::uint32_t n) noexcept;
    Status plan_operator(std::uint32_t n, PlanContext* context) noexcept;
    Status plan_for_any(std::uint32_t n, PlanContext* context) noexcept;
    Status read_operands(const GraphNode& node, const Operator& op) noexcept;
    Status place_outputs(std::uint32_t n, const PlanContext& context) noexcept;
    Status place_scratch(std::uint32_t n, const PlanContext& context) noexcept;
    // Bodies (plan_bodies.cpp).
    Status plan_owner(std::uint32_t n) noexcept;
    Status plan_if(std::uint32_t n) noexcept;
    Status plan_loop(std::uint32_t n) noexcept;
    Status place_loop_inputs(const GraphNode& node) noexcept;
    Status check_carried(const GraphNode& node, std::size_t k) noexcept;
    Status is_scalar(std::uint32_t value, Dtype dtype) const noexcept;
    Status place_value(std::uint32_t index, Dtype dtype, const Shape& shape, std::uint8_t varying, bool fresh) noexcept;
    void place_copies(const GraphNode& node, Step* step) noexcept;
    void free_closed(const GraphNode& node, std::uint32_t n, std::uint32_t time) noexcept;

    Status set_shape(std::uint32_t index, Dtype dtype, const Shape& shape, std::uint8_t varying) noexcept;
    bool varies(const GraphNode& node) const noexcept;
    bool share(std::uint32_t n, const GraphNode& node, PlannedValue& out) noexcept;
    void free_dead(std::uint32_t time, std::uint32_t value) noexcept;
    bool in_arena(const PlannedValue& root) const noexcept { return root.output == no_value && root.input == no_value; }

    const Model& model_;
    const Graph& graph_;
    PlanMemory memory_;
    PlannedValue* values_;
    Gaps gaps_;
    SessionBytes bytes_;
    PlanOptions options_;
    std::uint32_t* failed_node_ = nullptr;
    unsigned depth_ = 0;               // of bodies around the node that is planned
    std::uint64_t turns_ = 1;          // that the loops around it may make together
    std::uint32_t live_ = 0;           // values whose shapes vary
    std::uint64_t live_operands_ = 0;  // the most of a step that is planned in each run
    std::uint64_t live_params_ = 0;
};

// Element count of a shape: not more than max_elements, with each dim of 0 taken for 1 too.
Status accept_shape(const Shape& shape, std::uint64_t* count) noexcept;

}  // namespace bitpress
