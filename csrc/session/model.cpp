// Opening: a file's streams become views, decoded where they are coded.
#include "codings/packed.h"
#include "session.h"

namespace bitpress {

namespace {

Status refuse(Refusal* refusal, Status status, const char* why, std::uint32_t tensor = Refusal::no_index,
              std::span<const char> name = {}) noexcept {
    if (refusal != nullptr) *refusal = {why, tensor, name};
    return status;
}

}  // namespace

Status Model::read(Bytes file, Check check, Memory* memory, Refusal* refusal) noexcept {
    BP_TRY(File::open(file, check, &file_, refusal));
    if (file_.delta_count() != 0)
        return refuse(refusal, Status::unsupported, "it holds differences from a base, which must be undone first");
    if (file_.graph().empty())
        return refuse(refusal, Status::unsupported, "it holds no graph: there is nothing to run");
    const Status status = Graph::open(file_, memory, &graph_);
    if (status == Status::ok || status == Status::memory_too_small) return status;
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
        if (with == nullptr) continue;
        const std::uint64_t need = stored_workspace(*with, stream.layout, stream.frame_bytes);
        most = need > most ? need : most;
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
    BP_TRY(stored_claim(*with, stream.layout, stream.stored, &claimed));
    if (claimed != stream.frame_bytes || stream.decoded_bytes > most_bytes) return Status::corrupt;
    std::uint8_t* decoded = nullptr;
    BP_TRY(memory->take(stream.decoded_bytes, &decoded));
    weights_.decoded += stream.decoded_bytes;
    if (memory->counting()) return Status::ok;
    const MutableBytes to = {decoded, static_cast<std::size_t>(stream.decoded_bytes)};
    BP_TRY(decode_stored(*with, stream.layout, stream.stored, stream.code_bits, claimed, to, workspace));
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
    std::uint8_t* workspace = nullptr;
    const std::uint64_t workspace_size = workspace_bytes();
    BP_TRY(memory->take_array(graph_.stored_count(), &views_));
    BP_TRY(memory->take(workspace_size, &workspace));
    TensorView* view = views_;
    for (StoredIndices indices = graph_.stored(); !indices.empty();) {
        const std::uint32_t index = indices.next();
        const StoredTensor tensor = file_.tensor(index);
        const Status status = load_tensor(tensor, memory, {workspace, static_cast<std::size_t>(workspace_size)}, view);
        if (status != Status::ok) return refuse(refusal, status, message(status), index, tensor.name);
        if (view != nullptr) ++view;
    }
    return Status::ok;
}

Status Model::size(Bytes file, std::uint64_t* memory_bytes, Refusal* refusal) noexcept {
    Model model;
    Memory counter;
    Model* self = nullptr;
    BP_TRY(counter.take_array(1, &self));
    BP_TRY(model.read(file, Check::none, &counter, refusal));
    BP_TRY(model.load(&counter, refusal));
    *memory_bytes = counter.needed();
    return Status::ok;
}

Status Model::open(Bytes file, Check check, MutableBytes memory, const Model** out, Refusal* refusal) noexcept {
    Memory from(memory);
    Model* self = nullptr;
    BP_TRY(from.take_array(1, &self));
    BP_TRY(self->read(file, check, &from, refusal));
    BP_TRY(self->load(&from, refusal));
    *out = self;
    return Status::ok;
}

const TensorView* Model::stored(std::uint32_t value) const noexcept {
    const std::uint32_t index = graph_.stored_index(value);
    return index < graph_.stored_count() ? &views_[index] : nullptr;
}

}  // namespace bitpress
