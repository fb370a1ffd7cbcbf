// Opening: a file's streams become views, decoded where they are coded.
#include "session.h"

namespace bitpress {

namespace {

Status refuse(Refusal* refusal, Status status, const char* why, std::uint32_t tensor = Refusal::no_index,
              std::span<const char> name = {}) noexcept {
    if (refusal != nullptr) *refusal = {why, tensor, name};
    return status;
}

// What the graph says of a stored value must be what the container says of the tensor.
bool agrees(const GraphValue& value, const StoredTensor& tensor) noexcept {
    if (value.dtype != tensor.dtype) return false;
    if (!value.has_rank) return true;
    if (value.dims.count != tensor.shape.rank) return false;
    for (std::uint32_t d = 0; d < value.dims.count; ++d) {
        if (value.dims[d] != -1 && value.dims[d] != static_cast<std::int64_t>(tensor.shape.dims[d])) return false;
    }
    return true;
}

}  // namespace

Status Model::read(Bytes file, Check check, Refusal* refusal) noexcept {
    BP_TRY(File::open(file, check, &file_, refusal));
    if (file_.graph().empty())
        return refuse(refusal, Status::unsupported, "it holds no graph: there is nothing to run");
    const Status status = Graph::open(file_.graph(), file_.tensor_count(), &graph_);
    if (status == Status::ok) return status;
    return refuse(refusal, status,
                  status == Status::unsupported ? "its graph uses an operator, attribute or type that this build lacks"
                                                : "its graph contradicts itself");
}

// The largest workspace of the codings in use.
std::uint64_t Model::workspace_bytes() const noexcept {
    std::uint64_t most = 0;
    for (std::uint32_t i = 0; i < file_.stream_count(); ++i) {
        const StoredStream stream = file_.stream(i);
        if (stream.coding == CodingId::raw) continue;
        const Coding* with = coding(stream.coding);
        if (with != nullptr && with->decode_workspace > most) most = with->decode_workspace;
    }
    return most;
}

Status Model::load_stream(const StoredStream& stream, std::uint64_t most_bytes, Memory* memory, MutableBytes workspace,
                          Bytes* out) noexcept {
    if (stream.coding == CodingId::raw) {
        *out = stream.stored;
        weights_.in_place += stream.stored.size();
        return Status::ok;
    }
    const Coding* with = coding(stream.coding);
    if (with == nullptr) return Status::unsupported;
    std::uint64_t claimed = 0;
    BP_TRY(with->decoded_size(stream.stored, &claimed));
    if (claimed != stream.decoded_bytes || claimed > most_bytes) return Status::corrupt;
    std::uint8_t* decoded = nullptr;
    BP_TRY(memory->take(claimed, &decoded));
    weights_.decoded += claimed;
    if (memory->counting()) return Status::ok;
    const MutableBytes to = {decoded, static_cast<std::size_t>(claimed)};
    BP_TRY(with->decode(stream.stored, to, workspace));
    *out = to;
    return Status::ok;
}

Status Model::load_tensor(const StoredTensor& tensor, Memory* memory, MutableBytes workspace,
                          TensorView* view) noexcept {
    TensorView loaded;
    loaded.dtype = tensor.dtype;
    loaded.shape = tensor.shape;
    loaded.scheme = tensor.scheme;
    std::uint64_t count = 0;
    BP_TRY(element_count(tensor.shape, &count));
    std::uint64_t most[role_count] = {};  // with every element stored
    BP_TRY(stream_sizes(tensor.dtype, tensor.shape, tensor.scheme, count, most));
    for (std::uint32_t i = 0; i < tensor.stream_count; ++i) {
        const StoredStream stream = file_.stream(tensor.first_stream + i);
        const auto role = static_cast<unsigned>(stream.role);
        if (role >= role_count) return Status::unsupported;
        BP_TRY(load_stream(stream, most[role], memory, workspace, &loaded.streams[role]));
    }
    if (view == nullptr) return Status::ok;  // only counting
    *view = loaded;
    return validate(loaded);
}

Status Model::load(Memory* memory, Refusal* refusal) noexcept {
    const std::uint32_t values = graph_.value_count();
    std::uint32_t stored = 0;
    for (std::uint32_t i = 0; i < values; ++i) stored += graph_.value(i).kind == ValueKind::stored ? 1U : 0U;
    std::uint8_t* workspace = nullptr;
    const std::uint64_t workspace_size = workspace_bytes();
    BP_TRY(memory->take_array(values, &view_of_));
    BP_TRY(memory->take_array(stored, &views_));
    BP_TRY(memory->take(workspace_size, &workspace));
    if (!memory->counting()) {
        // One byte a value is needed for a moment: view_of_ is not in use yet.
        const Status status = graph_.check_order({reinterpret_cast<std::uint8_t*>(view_of_), values});
        if (status != Status::ok)
            return refuse(refusal, status, "its graph's nodes are not in an order that can be run");
    }
    std::uint32_t next = 0;
    for (std::uint32_t i = 0; i < values; ++i) {
        const GraphValue value = graph_.value(i);
        if (view_of_ != nullptr) view_of_[i] = value.kind == ValueKind::stored ? next : no_value;
        if (value.kind != ValueKind::stored) continue;
        const StoredTensor tensor = file_.tensor(value.tensor);
        if (!agrees(value, tensor)) {
            return refuse(refusal, Status::corrupt, "the graph says another shape or type", value.tensor, tensor.name);
        }
        TensorView* view = views_ == nullptr ? nullptr : views_ + next;
        const Status status = load_tensor(tensor, memory, {workspace, static_cast<std::size_t>(workspace_size)}, view);
        if (status != Status::ok) return refuse(refusal, status, message(status), value.tensor, tensor.name);
        ++next;
    }
    return Status::ok;
}

Status Model::size(Bytes file, std::uint64_t* memory_bytes, Refusal* refusal) noexcept {
    Model model;
    BP_TRY(model.read(file, Check::none, refusal));
    Memory counter;
    Model* self = nullptr;
    BP_TRY(counter.take_array(1, &self));
    BP_TRY(model.load(&counter, refusal));
    *memory_bytes = counter.needed();
    return Status::ok;
}

Status Model::open(Bytes file, Check check, MutableBytes memory, const Model** out, Refusal* refusal) noexcept {
    Memory from(memory);
    Model* self = nullptr;
    BP_TRY(from.take_array(1, &self));
    BP_TRY(self->read(file, check, refusal));
    BP_TRY(self->load(&from, refusal));
    *out = self;
    return Status::ok;
}

const TensorView* Model::stored(std::uint32_t value) const noexcept {
    return view_of_[value] == no_value ? nullptr : &views_[view_of_[value]];
}

}  // namespace bitpress
