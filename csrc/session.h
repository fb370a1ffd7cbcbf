// From a container with a graph to results, in the caller's memory.
//   Model:   an opened file. Raw streams are used where they stand in the caller's bytes; what becomes of the others
//   and
//            whether weights stay packed, Load says.
//   Session: a Model planned for given input shapes: a flat program over an arena. Running changes nothing but the
//            arena and the outputs, so one Session may run on several threads, each with its own arena.
#pragma once

#include "format.h"
#include "memory.h"
#include "ops/graph.h"
#include "ops/op.h"
#include "workers.h"

namespace bitpress {

// What becomes of weights.
//   map:    coded streams are decoded, once, into the caller's memory; weights stay packed.
//   tile:   large streams of codes are left coded, and decoded into the arena for as long as a step reads them: again
//   in
//           every run. Where memory is scarcer than time.
//   unpack: weights that are not plain float32 already are dequantized, once. Where time is scarcer than memory.
enum class Load : std::uint8_t { map = 0, tile = 1, unpack = 2 };

// What open() found in the graph's stored values.
struct WeightBytes {
    std::uint64_t in_place = 0;  // read from the caller's file bytes
    std::uint64_t decoded = 0;   // read from the caller's memory
};

class Model {
  public:
    // Bytes of memory that open() needs. Checks the structure of the file, reads no stream but the heads of coded ones.
    // On failure *refusal, where asked for, says what is wrong with which tensor.
    static Status size(Bytes file, Load load, std::uint64_t* memory_bytes, Refusal* refusal = nullptr) noexcept;
    // `load` is that of size(). Both `file` and `memory` must outlive the Model and stay where they are; neither needs
    // any alignment.
    static Status open(Bytes file, Check check, Load load, MutableBytes memory, const Model** out,
                       Refusal* refusal = nullptr) noexcept;

    const Graph& graph() const noexcept { return graph_; }
    const File& file() const noexcept { return file_; }
    const WeightBytes& weights() const noexcept { return weights_; }
    // The stored tensor of a value, or null for values of another kind.
    const TensorView* stored(std::uint32_t value) const noexcept;
    // Bytes that decode() needs for a stored value whose codes are not in memory (then its view has their length, but
    // no bytes); 0 for all others.
    std::uint64_t undecoded(std::uint32_t value) const noexcept;
    // Its view with the codes, in `memory`, which is aligned to memory_alignment. corrupt where they are.
    Status decode(std::uint32_t value, MutableBytes memory, const TensorView** out) const noexcept;

  private:
    // Memory while a file is loaded: the codings' workspace, and streams that are not kept.
    struct Loading {
        MutableBytes workspace;
        MutableBytes streams;
    };
    Status read(Bytes file, Check check, Memory* memory, Refusal* refusal) noexcept;
    Status load(Load how, Memory* memory, Refusal* refusal) noexcept;
    Status load_stream(const StoredStream& stream, std::uint64_t most_bytes, Memory* memory, MutableBytes workspace,
                       Bytes* out) noexcept;
    Status load_tensor(const StoredTensor& tensor, bool leave, Memory* memory, MutableBytes workspace, TensorView* view,
                       std::uint32_t* left) noexcept;
    Status load_floats(const StoredTensor& tensor, Memory* memory, const Loading& loading, TensorView* view) noexcept;
    std::uint64_t workspace_bytes() const noexcept;
    Status stream_bytes(std::uint64_t* most) const noexcept;

    File file_;
    Graph graph_;
    TensorView* views_ = nullptr;    // one a stored value, in their order
    std::uint32_t* left_ = nullptr;  // of each the stream that is not decoded, or no_value; null but for Load::tile
    WeightBytes weights_;
};

// A value under given input shapes.
struct PlannedValue {
    Dtype dtype = Dtype::f32;
    Shape shape;
    std::uint64_t count = 0;  // elements
    std::uint64_t bytes = 0;
    std::uint32_t root = no_value;    // the value whose memory it uses: itself, or what it is an alias of
    std::uint32_t output = no_value;  // index among the graph's outputs, where it is computed into the caller's
    std::uint32_t input = no_value;   // index among the graph's inputs
    std::uint32_t last_step = 0;      // when it, or for a root one of its aliases, is read last (Planner::when)
    std::uint64_t offset = 0;         // in the arena, for a computed root that is no output
    std::uint32_t live = no_value;    // where `varying` is not 0: the number of its shape among those of a run
    std::uint8_t varying = 0;         // bit d: dim d is known when it was computed, and at most shape.dims[d]
};

// One operator of the program.
struct Step {
    const Operator* op = nullptr;       // null: an alias, nothing to run
    const Operator* planner = nullptr;  // not null: it is planned in each run, for the shapes of its inputs then
    bool varies = false;                // its outputs' shapes are found by running it
    Status refused[2] = {};             // of an If: why a body cannot run with inputs of these shapes
    void* params = nullptr;
    unsigned parts = 1;      // workers that share it
    std::uint64_t work = 0;  // about how many multiply-adds, of these products, or element visits
    Products products = Products::none;
    std::uint64_t scratch = 0;         // offset in the arena
    std::uint64_t scratch_floats = 0;  // the operator's own; unpacked stored inputs follow
};

struct InputShape {
    unsigned rank = 0;
    const std::int64_t* dims = nullptr;
};

struct SessionBytes {
    std::uint64_t arena = 0;  // what run() needs, at any alignment
    std::uint64_t live = 0;   // of these, the most that hold something at a time: what any placement needs
    std::uint64_t tile = 0;   // of these, at most at once: dequantized weights
    std::uint64_t work = 0;   // about how many multiply-adds or element visits a run makes
};

// Told of a run's progress, on the caller's thread: before each step, with its node, with the owner of a body when that
// has run, and with no_value after the last.
struct Observer {
    void* self = nullptr;
    void (*before)(void* self, std::uint32_t node) noexcept = nullptr;
};

struct PlanOptions {
    Activations activations = Activations::float32;
    unsigned workers = 1;  // 1..max_workers: that may share a run, each with scratch of its own in the arena
};

class Session {
  public:
    // Bytes of memory that plan() needs, for any shapes.
    static Status size(const Model& model, std::uint64_t* memory_bytes) noexcept;
    // `model` and `memory` must outlive the Session. On failure *failed_node is the node that was being planned, or
    // no_value. Dims of `shapes`, one an input, must be positive and agree with those that the graph states.
    static Status plan(const Model& model, std::span<const InputShape> shapes, MutableBytes memory, const Session** out,
                       std::uint32_t* failed_node, const PlanOptions& options = {}) noexcept;

    const Model& model() const noexcept { return *model_; }
    const SessionBytes& bytes() const noexcept { return bytes_; }
    const PlannedValue& value(std::uint32_t index) const noexcept { return values_[index]; }
    const Step& step(std::uint32_t node) const noexcept { return steps_[node]; }

    // Of a value after a run, whose arena it was: not more than value(index).shape.
    Shape shape(std::uint32_t index, MutableBytes arena) const noexcept;

    // Buffers hold the values' exact bytes (of those whose shapes vary, room for the largest; what is written is
    // row-major in the shape found), aligned to their element, and do not overlap. arena: bytes().arena at
    // least. workers: any number; those that were not planned for have nothing to do. Their number does not change a
    // bit of the outputs.
    Status run(std::span<const Bytes> inputs, std::span<const MutableBytes> outputs, MutableBytes arena,
               const Workers& workers = one_worker, const Observer& observer = {}) const noexcept;

  private:
    friend class Planner;
    struct Buffers;
    Status run_nodes(std::uint32_t first, std::uint32_t end, const Buffers& buffers) const noexcept;
    Status run_step(std::uint32_t node, const Buffers& buffers) const noexcept;
    Status plan_live(std::uint32_t node, const Buffers& buffers, PlanContext* context) const noexcept;
    Status run_if(std::uint32_t node, const Buffers& buffers) const noexcept;
    Status run_loop(std::uint32_t node, const Buffers& buffers) const noexcept;
    Status copy_value(std::uint32_t value, const Buffers& buffers, std::uint8_t* scratch, void* to) const noexcept;
    Status hand_over(std::uint32_t from, std::uint32_t to, const Buffers& buffers,
                     std::uint8_t* scratch) const noexcept;
    Status read_number(std::uint32_t value, const Buffers& buffers, std::uint8_t* scratch,
                       std::int64_t* out) const noexcept;
    Status copy_outputs(const Buffers& buffers) const noexcept;
    void* locate(std::uint32_t value, const Buffers& buffers) const noexcept;
    const Shape& live_shape(std::uint32_t value, const Buffers& buffers) const noexcept;
    void set_live(std::uint32_t value, const Shape& shape, const Buffers& buffers) const noexcept;

    const Model* model_ = nullptr;
    PlannedValue* values_ = nullptr;
    Step* steps_ = nullptr;
    SessionBytes bytes_;
    Activations activations_ = Activations::float32;
    // In the arena: shapes that vary, then operands and parameters of the step that is planned.
    std::uint64_t live_ = 0;
    std::uint64_t live_operands_ = 0;
    std::uint64_t live_params_ = 0;
};

}  // namespace bitpress
