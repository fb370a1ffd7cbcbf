// The C ABI: checks pointers, calls the core.
#include <bitpress/bitpress.h>

#include "kernels/kernels.h"
#include "session.h"

namespace {

using bitpress::Bytes;
using bitpress::Dtype;
using bitpress::Graph;
using bitpress::GraphValue;
using bitpress::Model;
using bitpress::MutableBytes;
using bitpress::PlannedValue;
using bitpress::Session;
using bitpress::Status;

static_assert(static_cast<int>(Status::resaved) == BP_RESAVED);
static_assert(static_cast<int>(Dtype::f32) == BP_F32 && static_cast<int>(Dtype::i64) == BP_I64);
static_assert(static_cast<int>(Dtype::boolean) == BP_BOOL && static_cast<int>(Dtype::f64) == BP_F64);
static_assert(static_cast<int>(bitpress::Load::tile) == BP_LOAD_TILE);
static_assert(static_cast<int>(bitpress::Load::unpack) == BP_LOAD_UNPACK);
static_assert(static_cast<int>(bitpress::Activations::int16) == BP_INT16);
static_assert(static_cast<int>(bitpress::Activations::int8) == BP_INT8);
static_assert(BP_MAX_RANK == bitpress::max_rank);
static_assert(BP_MAX_WORKERS == bitpress::max_workers);

bp_status result(Status status) noexcept { return static_cast<bp_status>(status); }

const Model& core(const bp_model* model) noexcept { return *reinterpret_cast<const Model*>(model); }
const Session& core(const bp_session* session) noexcept { return *reinterpret_cast<const Session*>(session); }

Bytes bytes(const void* data, size_t n) noexcept { return {static_cast<const uint8_t*>(data), n}; }
MutableBytes bytes(void* data, size_t n) noexcept { return {static_cast<uint8_t*>(data), n}; }

Status to_size(uint64_t bytes, size_t* out) noexcept {
    if (bytes > SIZE_MAX) return Status::too_large;
    *out = static_cast<size_t>(bytes);
    return Status::ok;
}

// Callers may hand over any number.
bool is_load(bp_load load) noexcept { return load == BP_LOAD_MAP || load == BP_LOAD_TILE || load == BP_LOAD_UNPACK; }

bool read_options(const bp_options& options, bitpress::PlanOptions* out) noexcept {
    const bp_activations with = options.activations;
    if (with != BP_FLOAT32 && with != BP_INT16 && with != BP_INT8) return false;
    out->activations = static_cast<bitpress::Activations>(with);
    out->workers = options.workers < 1 ? 1 : options.workers;
    return out->workers <= bitpress::max_workers;
}

void run_on(void* self, unsigned parts, bitpress::Workers::Task task, void* argument) noexcept {
    const bp_workers& workers = *static_cast<const bp_workers*>(self);
    workers.run(workers.self, parts, task, argument);
}

bp_value describe(const GraphValue& value) noexcept {
    bp_value out = {};
    out.name = value.name.data();
    out.name_bytes = value.name.size();
    out.dtype = static_cast<uint32_t>(value.dtype);
    out.rank = value.has_rank ? static_cast<uint32_t>(value.dims.size()) : 0xFFFFFFFFU;
    for (uint32_t d = 0; d < static_cast<uint32_t>(value.dims.size()); ++d) out.dims[d] = value.dims[d];
    return out;
}

bp_value describe(const GraphValue& named, const PlannedValue& planned, const bitpress::Shape& shape) noexcept {
    bp_value out = {};
    out.name = named.name.data();
    out.name_bytes = named.name.size();
    out.dtype = static_cast<uint32_t>(planned.dtype);
    out.rank = shape.rank;
    for (uint32_t d = 0; d < shape.rank; ++d) out.dims[d] = static_cast<int64_t>(shape.dims[d]);
    return out;
}

}  // namespace

extern "C" {

#define BP_PUBLIC __attribute__((visibility("default")))

BP_PUBLIC uint32_t bp_abi_version(void) { return BP_ABI_VERSION; }

BP_PUBLIC const char* bp_message(bp_status status) { return bitpress::message(static_cast<Status>(status)); }

BP_PUBLIC bp_status bp_model_size(const void* file, size_t file_bytes, bp_load load, size_t* memory_bytes) {
    if (file == nullptr || memory_bytes == nullptr || !is_load(load)) return BP_BAD_ARGUMENT;
    uint64_t needed = 0;
    const Status status = Model::size(bytes(file, file_bytes), static_cast<bitpress::Load>(load), &needed);
    return result(status != Status::ok ? status : to_size(needed, memory_bytes));
}

BP_PUBLIC bp_status bp_model_open(const void* file, size_t file_bytes, bp_check check, bp_load load, void* memory,
                                  size_t memory_bytes, const bp_model** model) {
    if (file == nullptr || memory == nullptr || model == nullptr || !is_load(load)) return BP_BAD_ARGUMENT;
    if (check != BP_CHECK_NONE && check != BP_CHECK_FULL) return BP_BAD_ARGUMENT;
    if (bitpress::kernels() == nullptr) return BP_UNSUPPORTED;
    const auto how = check == BP_CHECK_FULL ? bitpress::Check::full : bitpress::Check::none;
    const Model* opened = nullptr;
    const Status status = Model::open(bytes(file, file_bytes), how, static_cast<bitpress::Load>(load),
                                      bytes(memory, memory_bytes), &opened);
    if (status == Status::ok) *model = reinterpret_cast<const bp_model*>(opened);
    return result(status);
}

BP_PUBLIC uint32_t bp_model_input_count(const bp_model* model) {
    return static_cast<uint32_t>(core(model).graph().inputs().size());
}
BP_PUBLIC uint32_t bp_model_output_count(const bp_model* model) {
    return static_cast<uint32_t>(core(model).graph().outputs().size());
}

BP_PUBLIC bp_status bp_model_input(const bp_model* model, uint32_t index, bp_value* value) {
    if (model == nullptr || value == nullptr) return BP_BAD_ARGUMENT;
    const Graph& graph = core(model).graph();
    if (index >= graph.inputs().size()) return BP_BAD_ARGUMENT;
    *value = describe(graph.inputs()[index]);
    return BP_OK;
}

BP_PUBLIC bp_status bp_model_output(const bp_model* model, uint32_t index, bp_value* value) {
    if (model == nullptr || value == nullptr) return BP_BAD_ARGUMENT;
    const Graph& graph = core(model).graph();
    if (index >= graph.outputs().size()) return BP_BAD_ARGUMENT;
    *value = describe(graph.values()[graph.outputs()[index]]);
    return BP_OK;
}

BP_PUBLIC bp_status bp_session_size(const bp_model* model, size_t* memory_bytes) {
    if (model == nullptr || memory_bytes == nullptr) return BP_BAD_ARGUMENT;
    uint64_t needed = 0;
    const Status status = Session::size(core(model), &needed);
    return result(status != Status::ok ? status : to_size(needed, memory_bytes));
}

BP_PUBLIC bp_status bp_session_plan(const bp_model* model, const bp_shape* shapes, uint32_t count,
                                    const bp_options* options, void* memory, size_t memory_bytes,
                                    const bp_session** session) {
    bitpress::PlanOptions how;
    if (options != nullptr && !read_options(*options, &how)) return BP_BAD_ARGUMENT;
    if (model == nullptr || memory == nullptr || session == nullptr) return BP_BAD_ARGUMENT;
    if (count != core(model).graph().inputs().size() || (shapes == nullptr && count != 0)) return BP_BAD_ARGUMENT;
    bitpress::InputShape inputs[bitpress::max_node_links];
    for (uint32_t i = 0; i < count; ++i) inputs[i] = {shapes[i].rank, shapes[i].dims};
    uint32_t failed_node = 0;
    const Session* planned = nullptr;
    const Status status =
        Session::plan(core(model), {inputs, count}, bytes(memory, memory_bytes), &planned, &failed_node, how);
    if (status != Status::ok) return result(status);
    size_t arena = 0;
    if (to_size(planned->bytes().arena, &arena) != Status::ok) return BP_TOO_LARGE;
    *session = reinterpret_cast<const bp_session*>(planned);
    return BP_OK;
}

BP_PUBLIC size_t bp_session_arena(const bp_session* session) {
    return static_cast<size_t>(core(session).bytes().arena);
}
BP_PUBLIC size_t bp_session_tile(const bp_session* session) { return static_cast<size_t>(core(session).bytes().tile); }

BP_PUBLIC bp_status bp_session_output(const bp_session* session, uint32_t index, bp_value* value) {
    if (session == nullptr || value == nullptr) return BP_BAD_ARGUMENT;
    const Graph& graph = core(session).model().graph();
    if (index >= graph.outputs().size()) return BP_BAD_ARGUMENT;
    const uint32_t output = graph.outputs()[index];
    *value = describe(graph.values()[output], core(session).value(output), core(session).value(output).shape);
    return BP_OK;
}

BP_PUBLIC bp_status bp_run_output(const bp_session* session, uint32_t index, void* arena, size_t arena_bytes,
                                  bp_value* value) {
    if (session == nullptr || arena == nullptr || value == nullptr) return BP_BAD_ARGUMENT;
    const Graph& graph = core(session).model().graph();
    if (index >= graph.outputs().size()) return BP_BAD_ARGUMENT;
    if (arena_bytes < core(session).bytes().arena) return BP_MEMORY_TOO_SMALL;
    const uint32_t output = graph.outputs()[index];
    const bitpress::Shape shape = core(session).shape(output, bytes(arena, arena_bytes));
    *value = describe(graph.values()[output], core(session).value(output), shape);
    return BP_OK;
}

BP_PUBLIC bp_status bp_run(const bp_session* session, const bp_input* inputs, const bp_output* outputs, void* arena,
                           size_t arena_bytes, const bp_workers* workers) {
    if (session == nullptr || arena == nullptr) return BP_BAD_ARGUMENT;
    const Graph& graph = core(session).model().graph();
    const std::size_t input_count = graph.inputs().size();
    const std::size_t output_count = graph.outputs().size();
    if (inputs == nullptr && input_count != 0) return BP_BAD_ARGUMENT;
    if (outputs == nullptr && output_count != 0) return BP_BAD_ARGUMENT;
    Bytes in[bitpress::max_node_links];
    MutableBytes out[bitpress::max_node_links];
    for (std::size_t i = 0; i < input_count; ++i) {
        if (inputs[i].data == nullptr) return BP_BAD_ARGUMENT;
        in[i] = bytes(inputs[i].data, inputs[i].bytes);
    }
    for (std::size_t i = 0; i < output_count; ++i) {
        if (outputs[i].data == nullptr) return BP_BAD_ARGUMENT;
        out[i] = bytes(outputs[i].data, outputs[i].bytes);
    }
    bitpress::Workers lent;
    if (workers != nullptr && workers->count > 1) {
        if (workers->run == nullptr) return BP_BAD_ARGUMENT;
        lent = {workers->count < bitpress::max_workers ? workers->count : bitpress::max_workers,
                const_cast<bp_workers*>(workers), run_on};
    }
    return result(core(session).run({in, input_count}, {out, output_count}, bytes(arena, arena_bytes), lent));
}

}  // extern "C"
