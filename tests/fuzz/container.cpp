// The container's reader on any bytes: opens, walks every tensor and stream, undoes codings into bounded memory, checks
// and unpacks what comes out. The mutator also sets checksums and lengths right, so that the search gets past them.
#include <array>
#include <map>

#include "codings/codings.h"
#include "codings/packed.h"
#include "format.h"
#include "kernels/kernels.h"

#include "memory.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using namespace bitpress;
using fuzz::require;

constexpr std::size_t most_decoded = 1 << 14;

// Of a tensor's streams; what stands in the file as it is needs none.
using Decoded = std::array<std::unique_ptr<fuzz::Memory>, role_count>;

// One of each size.
MutableBytes workspace(std::size_t size) {
    static std::map<std::size_t, fuzz::LastingMemory> made;
    return made.try_emplace(size, size, 0xA5).first->second.span();
}

// The decoded bytes of a stream, or false where it is malformed or over the limit.
bool decode(const StoredStream& stream, Decoded* decoded, Bytes* out) {
    if (stream.coding == CodingId::raw) {
        require(stream.decoded_bytes == stream.stored.size(), "a stream of another length");
        *out = stream.stored;
        return true;
    }
    const Coding* const coder = coding(stream.coding);
    require(coder != nullptr, "no such coding");
    if (stream.decoded_bytes > most_decoded || stream.frame_bytes > most_decoded) return false;
    auto& memory = (*decoded)[static_cast<std::size_t>(stream.role)];
    memory = std::make_unique<fuzz::Memory>(static_cast<std::size_t>(stream.decoded_bytes), 0);
    *out = memory->span();
    const MutableBytes work = workspace(static_cast<std::size_t>(stored_workspace(*coder, stream.layout)));
    return decode_stored(*coder, stream.layout, stream.stored, stream.code_bits, stream.frame_bytes, memory->span(),
                         work) == Status::ok;
}

void use(const StoredTensor& tensor, const TensorView& view) {
    if (validate(view) != Status::ok) return;
    std::uint64_t count = 0;
    require(element_count(tensor.shape, &count) == Status::ok, "valid, but of no size");
    const bool floats = tensor.scheme.values == Values::integer || tensor.dtype == Dtype::f32 ||
                        tensor.dtype == Dtype::f16 || tensor.dtype == Dtype::bf16;
    std::uint64_t survivors = 0;
    for (std::uint64_t first = 0; floats && first < count && first < 4096; first += 256) {
        float values[256];
        const std::uint64_t n = count - first < 256 ? count - first : 256;
        require(unpack_range(view, first, {values, n}, &survivors) == Status::ok, "valid, but not unpacked");
    }
}

void walk(const File& file) {
    for (std::uint32_t i = 0; i < file.delta_count(); ++i) {
        require(file.delta(i).tensor < file.tensor_count() && file.delta(i).how - 1 <= 1, "a delta of nothing");
    }
    for (std::uint32_t i = 0; i < file.tensor_count(); ++i) {
        const StoredTensor tensor = file.tensor(i);
        std::uint32_t found = 0;
        require(file.find(tensor.name, &found) && found == i, "a tensor is not found by its name");
        TensorView view{tensor.dtype, tensor.shape, tensor.scheme, {}};
        Decoded decoded;
        bool whole = true;
        for (std::uint32_t k = 0; k < tensor.stream_count; ++k) {
            const StoredStream stream = file.stream(tensor.first_stream + k);
            require(stream.tensor == i, "a stream of another tensor");
            if (stream.role == Role::codes) view.order = order_of(stream.layout);
            whole = decode(stream, &decoded, &view.streams[static_cast<int>(stream.role)]) && whole;
        }
        if (tensor.shares) {
            const StoredStream stream = file.shared_book(tensor);
            require(tensor.book < i && stream.role == Role::codebook, "no codebook before it");
            whole = decode(stream, &decoded, &view.streams[static_cast<int>(stream.role)]) && whole;
        }
        if (whole) use(tensor, view);
    }
    volatile std::uint32_t sum = 0;  // so that the reads are not left out
    for (const std::uint8_t byte : file.graph()) sum = sum + byte;
    for (const std::uint8_t byte : file.metadata()) sum = sum + byte;
}

std::uint64_t hash(Bytes bytes, std::uint64_t seed = 0) { return kernels()->xxh64(bytes.data(), bytes.size(), seed); }

// Sets file length and checksums right where there is a manifest.
void repair(MutableBytes file, bool length) {
    if (file.size() < 48) return;
    const std::uint64_t n = load_le<std::uint64_t>(file.data());
    if (n > file.size() - 48) return;
    std::uint8_t* const manifest = file.data() + 8 + n;
    const std::uint64_t m = load_le<std::uint32_t>(manifest + 12);
    if (m < 40 || m > file.size() - 8 - n) return;
    if (length) store_le<std::uint64_t>(manifest + 16, file.size());
    File opened;
    if (File::open(file, Check::none, &opened) == Status::ok) {
        const std::uint64_t sections = load_le<std::uint16_t>(manifest + 10);
        const std::uint64_t streams = 40 + 8 * sections + (load_le<std::uint32_t>(manifest + 44) + 7) / 8 * 8;
        for (std::uint32_t i = 0; i < opened.stream_count(); ++i) {
            const StoredStream s = opened.stream(i);
            store_le<std::uint64_t>(manifest + streams + 16 * i, hash({s.stored.data(), s.stored.size() + s.padding}));
        }
    }
    store_le<std::uint64_t>(manifest + 24, hash({file.data(), 8 + n}));
    store_le<std::uint64_t>(manifest + 32, hash({manifest + 40, m - 40}, hash({manifest, 32})));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes bytes(data, size);
    File fast;
    File full;
    Refusal refusal;
    const Status quick = File::open(bytes, Check::none, &fast, &refusal);
    require((quick == Status::ok) == (*refusal.why == '\0'), "refused without a reason, or the other way round");
    const Status checked = File::open(bytes, Check::full, &full, &refusal);
    require(checked != Status::ok || quick == Status::ok, "more checks find less");
    if (quick == Status::ok) {
        bool sound = fast.check_head() == Status::ok;
        for (std::uint32_t i = 0; i < fast.stream_count(); ++i) sound = fast.check_stream(i) == Status::ok && sound;
        require(sound == (checked == Status::ok), "checks by parts say something else");
        walk(fast);
    }
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
    if (size > 48 && seed % 4 != 0) {
        // Mutate inside the manifest alone: lengths stay, fields change.
        const std::uint64_t n = load_le<std::uint64_t>(data);
        if (n < size - 48) {
            const std::uint64_t m = load_le<std::uint32_t>(data + 8 + n + 12);
            const std::uint64_t room = m > 40 && m <= size - 8 - n ? m - 40 : size - 48 - n;
            const std::uint64_t at = seed / 16 % room;
            const std::uint64_t span = seed / 4 % 8 + 1 < room - at ? seed / 4 % 8 + 1 : room - at;
            LLVMFuzzerMutate(data + 48 + n + at, span, span);
            repair({data, size}, false);
            return size;
        }
    }
    const std::size_t changed = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 8 != 0) repair({data, changed}, true);
    return changed;
}
