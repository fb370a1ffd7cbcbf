// Opening: a file's streams become views, decoded where they are coded.
#include <string.h>

#include "codings/packed.h"
#include "ops/stored.h"
#include "ops/weights.h"
#include "session.h"

namespace bitpress {

namespace {

Status refuse(Refusal* refusal, Status status, const char* why, std::uint32_t tensor = Refusal::no_index,
              std::span<const char> name = {}) noexcept {
    if (refusal != nullptr) *refusal = {why, tensor, name};
    return status;
}

// The stream without its coding, in `memory`; *out stays as it is while that is only counting.
Status decode_stream(const StoredStream& stream, Memory* memory, MutableBytes workspace, Bytes* out) noexcept {
    const Coding* with = coding(stream.coding);
    if (with == nullptr) return Status::unsupported;
    std::uint64_t claimed = 0;
    BP_TRY(stored_claim(*with, stream.layout, stream.stored, &claimed));
    if (claimed != stream.frame_bytes) return Status::corrupt;
    std::uint8_t* decoded = nullptr;
    BP_TRY(memory->take(stream.decoded_bytes, &decoded));
    if (memory->counting()) return Status::ok;
    const MutableBytes to = {decoded, static_cast<std::size_t>(stream.decoded_bytes)};
    BP_TRY(decode_stored(*with, stream.layout, stream.stored, stream.code_bits, claimed, to, workspace));
    *out = to;
    return Status::ok;
}

// Streams below this are decoded at once, whatever Load says.
constexpr std::uint64_t least_left = 4096;

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
        const std::uint64_t need = stored_workspace(*with, stream.layout);
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
    if (stream.decoded_bytes > most_bytes) return Status::corrupt;
    weights_.decoded += stream.decoded_bytes;
    return decode_stream(stream, memory, workspace, out);
}

Status Model::load_tensor(const StoredTensor& tensor, bool leave, Memory* memory, MutableBytes workspace,
                          TensorView* view, std::uint32_t* left) noexcept {
    TensorView loaded;
    loaded.dtype = tensor.dtype;
    loaded.shape = tensor.shape;
    loaded.scheme = tensor.scheme;
    std::uint64_t most[role_count] = {};
    BP_TRY(stream_sizes(tensor.dtype, tensor.shape, tensor.scheme, tensor.survivors, most));
    bool whole = true;
    for (std::uint32_t i = 0; i < tensor.stream_count; ++i) {
        const StoredStream stream = file_.stream(tensor.first_stream + i);
        const auto role = static_cast<unsigned>(stream.role);
        if (role >= role_count) return Status::unsupported;
        if (stream.role == Role::codes) loaded.order = order_of(stream.layout);
        if (leave && stream.role == Role::codes && stream.coding != CodingId::raw &&
            stream.decoded_bytes >= least_left) {
            if (stream.decoded_bytes > most[role]) return Status::corrupt;
            loaded.streams[role] = {static_cast<const std::uint8_t*>(nullptr),
                                    static_cast<std::size_t>(stream.decoded_bytes)};
            weights_.in_place += stream.stored.size();
            whole = false;
            if (left != nullptr) *left = tensor.first_stream + i;
            continue;
        }
        BP_TRY(load_stream(stream, most[role], memory, workspace, &loaded.streams[role]));
    }
    if (tensor.shares) {
        const StoredStream stream = file_.shared_book(tensor);
        Bytes& book = loaded.streams[static_cast<unsigned>(Role::codebook)];
        book = stream.stored;  // raw ones are counted where they belong
        if (stream.coding != CodingId::raw) {
            BP_TRY(load_stream(stream, most[static_cast<unsigned>(Role::codebook)], memory, workspace, &book));
        }
    }
    if (view != nullptr) *view = loaded;
    return memory->counting() || !whole ? Status::ok : validate(loaded);  // what is not whole, decode() validates
}

Status Model::load_floats(const StoredTensor& tensor, Memory* memory, const Loading& loading,
                          TensorView* view) noexcept {
    Memory counter;
    Memory streams(loading.streams);
    const bool counting = memory->counting();
    const WeightBytes before = weights_;
    TensorView packed;
    BP_TRY(load_tensor(tensor, false, counting ? &counter : &streams, loading.workspace, &packed, nullptr));
    Dtype dtype = Dtype::f32;
    std::uint64_t count = 0;
    std::uint64_t floats = 0;
    BP_TRY(element_count(tensor.shape, &count));
    const bool in_file = weights_.decoded == before.decoded && stored_floats(packed) != nullptr;
    const bool floats_already = stored_dtype(packed, &dtype) != Status::ok || dtype != Dtype::f32 || in_file;
    weights_ = before;
    if (floats_already) return load_tensor(tensor, false, memory, loading.workspace, view, nullptr);
    if (!checked_mul(count, sizeof(float), &floats)) return Status::too_large;
    std::uint8_t* to = nullptr;
    BP_TRY(memory->take(floats, &to));
    weights_.decoded += floats;
    if (view == nullptr) return Status::ok;
    BP_TRY(unpack_stored(packed, count, to));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (std::uint64_t i = 0; i < count; ++i) {  // streams are little-endian
        float value = 0;
        memcpy(&value, to + i * sizeof(float), sizeof(float));
        store_le<float>(to + i * sizeof(float), value);
    }
#endif
    *view = {Dtype::f32, tensor.shape, Scheme{}, {}};
    view->streams[static_cast<unsigned>(Role::data)] = {to, static_cast<std::size_t>(floats)};
    return Status::ok;
}

// The most that the coded streams of one tensor decode to, each aligned.
Status Model::stream_bytes(std::uint64_t* most) const noexcept {
    *most = 0;
    for (StoredIndices indices = graph_.stored(); !indices.empty();) {
        const StoredTensor tensor = file_.tensor(indices.next());
        Memory counter;
        for (std::uint32_t i = 0; i < tensor.stream_count; ++i) {
            const StoredStream stream = file_.stream(tensor.first_stream + i);
            std::uint8_t* unused = nullptr;
            if (stream.coding != CodingId::raw) BP_TRY(counter.take(stream.decoded_bytes, &unused));
        }
        std::uint8_t* unused = nullptr;
        if (tensor.shares) BP_TRY(counter.take(file_.shared_book(tensor).decoded_bytes, &unused));
        *most = counter.needed() > *most ? counter.needed() : *most;
    }
    return Status::ok;
}

Status Model::load(Load how, Memory* memory, Refusal* refusal) noexcept {
    std::uint8_t* workspace = nullptr;
    std::uint8_t* streams = nullptr;
    const std::uint64_t workspace_size = workspace_bytes();
    std::uint64_t streams_size = 0;
    if (how == Load::unpack) BP_TRY(stream_bytes(&streams_size));
    BP_TRY(memory->take_array(graph_.stored_count(), &views_));
    if (how == Load::tile) BP_TRY(memory->take_array(graph_.stored_count(), &left_));
    BP_TRY(memory->take(workspace_size, &workspace));
    BP_TRY(memory->take(streams_size, &streams));
    const Loading loading = {{workspace, static_cast<std::size_t>(workspace_size)},
                             {streams, static_cast<std::size_t>(streams_size)}};
    std::uint32_t number = 0;
    for (StoredIndices indices = graph_.stored(); !indices.empty(); ++number) {
        const std::uint32_t index = indices.next();
        const StoredTensor tensor = file_.tensor(index);
        TensorView* view = memory->counting() ? nullptr : &views_[number];
        std::uint32_t* left = how != Load::tile || memory->counting() ? nullptr : &left_[number];
        if (left != nullptr) *left = no_value;
        const Status status = how == Load::unpack
                                  ? load_floats(tensor, memory, loading, view)
                                  : load_tensor(tensor, how == Load::tile, memory, loading.workspace, view, left);
        if (status != Status::ok) return refuse(refusal, status, message(status), index, tensor.name);
    }
    return Status::ok;
}

Status Model::size(Bytes file, Load load, std::uint64_t* memory_bytes, Refusal* refusal) noexcept {
    Model model;
    Memory counter;
    Model* self = nullptr;
    BP_TRY(counter.take_array(1, &self));
    BP_TRY(model.read(file, Check::none, &counter, refusal));
    BP_TRY(model.load(load, &counter, refusal));
    *memory_bytes = counter.needed();
    return Status::ok;
}

Status Model::open(Bytes file, Check check, Load load, MutableBytes memory, const Model** out,
                   Refusal* refusal) noexcept {
    Memory from(memory);
    Model* self = nullptr;
    BP_TRY(from.take_array(1, &self));
    BP_TRY(self->read(file, check, &from, refusal));
    BP_TRY(self->load(load, &from, refusal));
    *out = self;
    return Status::ok;
}

const TensorView* Model::stored(std::uint32_t value) const noexcept {
    const std::uint32_t index = graph_.stored_index(value);
    return index < graph_.stored_count() ? &views_[index] : nullptr;
}

std::uint64_t Model::undecoded(std::uint32_t value) const noexcept {
    const std::uint32_t index = graph_.stored_index(value);
    if (left_ == nullptr || index >= graph_.stored_count() || left_[index] == no_value) return 0;
    const StoredStream stream = file_.stream(left_[index]);
    Memory counter;
    std::uint8_t* unused = nullptr;
    const std::uint64_t pieces[] = {sizeof(TensorView), stored_workspace(*coding(stream.coding), stream.layout),
                                    stream.decoded_bytes};
    for (const std::uint64_t piece : pieces) {
        if (counter.take(piece, &unused) != Status::ok)
            return max_elements;  // more than any arena: planning refuses it
    }
    return counter.needed();
}

Status Model::decode(std::uint32_t value, MutableBytes memory, const TensorView** out) const noexcept {
    const std::uint32_t index = graph_.stored_index(value);
    const StoredStream stream = file_.stream(left_[index]);
    const std::uint64_t workspace_size = stored_workspace(*coding(stream.coding), stream.layout);
    Memory from(memory);
    TensorView* view = nullptr;
    std::uint8_t* workspace = nullptr;
    BP_TRY(from.take_array(1, &view));
    *view = views_[index];
    BP_TRY(from.take(workspace_size, &workspace));
    BP_TRY(decode_stream(stream, &from, {workspace, static_cast<std::size_t>(workspace_size)},
                         &view->streams[static_cast<unsigned>(Role::codes)]));
    BP_TRY(validate(*view));
    *out = view;
    return Status::ok;
}

}  // namespace bitpress
