#include "format.h"

#include "format/parts.h"

namespace bitpress {

using namespace format;  // NOLINT(google-build-using-namespace): its own parts

namespace {

bool starts_with(Bytes text, const char* prefix) noexcept {
    const std::size_t n = strlen(prefix);
    return text.size() >= n && memcmp(text.data(), prefix, n) == 0;
}

// Names that are never a plain tensor's: the container's own, and the key that safetensors gives the metadata.
bool reserved_name(Bytes name) noexcept {
    constexpr const char* metadata_key = "__metadata__";
    return starts_with(name, "bitpress.") || (name.size() == strlen(metadata_key) && starts_with(name, metadata_key));
}

unsigned roles_of(const StoredTensor& tensor, Role (&roles)[max_streams]) noexcept {
    const Scheme& scheme = tensor.scheme;
    unsigned count = 0;
    const bool coded = scheme.values != Values::keep;
    const bool book = scheme.values == Values::codebook;
    roles[count++] = coded ? Role::codes : Role::data;
    if (is_sparse(scheme)) roles[count++] = Role::mask;
    const bool scaled = coded && (!book || scheme.granularity != Granularity::tensor);
    if (scaled) roles[count++] = Role::scales;
    if (book) {
        if (!tensor.shares) roles[count++] = Role::codebook;
    } else if (scheme.affine) {
        roles[count++] = Role::zeros;
    }
    return count;
}

// Numbers of a tensor before its streams' stored lengths.
unsigned fixed_numbers(const StoredTensor& tensor) noexcept {
    return tensor.shape.rank + (tensor.scheme.granularity == Granularity::group ? 1U : 0U) +
           (tensor.scheme.values == Values::codebook ? 1U : 0U) + (tensor.shares ? 1U : 0U) +
           structure_numbers(static_cast<unsigned>(tensor.scheme.structure));
}

Class class_of(const StoredTensor& tensor, std::uint64_t stored) noexcept {
    if (stored >= large_stream) return large;
    if (!tensor.plain) return small_pressed;
    switch (dtype_bits(tensor.dtype)) {
        case 64: return plain8;
        case 32: return plain4;
        case 16: return plain2;
        default: return plain1;
    }
}

}  // namespace

std::uint64_t File::number_count() const noexcept { return numbers_.size() / (wide_ ? 8 : 4); }

std::uint64_t File::number(std::uint64_t index) const noexcept {
    return wide_ ? load_le<std::uint64_t>(numbers_.data() + index * 8)
                 : load_le<std::uint32_t>(numbers_.data() + index * 4);
}

StoredTensor File::tensor(std::uint32_t index) const noexcept {
    const std::uint8_t* p = tensors_.data() + index * tensor_bytes;
    const bool last = index + 1 == tensor_count_;
    const std::size_t name = load_le<std::uint32_t>(p);
    const std::size_t name_end = last ? names_.size() : load_le<std::uint32_t>(p + tensor_bytes);
    std::uint64_t first_number = load_le<std::uint32_t>(p + 4);

    StoredTensor out;
    out.name = {reinterpret_cast<const char*>(names_.data()) + name, name_end - name};
    out.dtype = static_cast<Dtype>(p[16]);
    out.shape.rank = p[17] & 15U;
    for (unsigned i = 0; i < out.shape.rank; ++i) out.shape.dims[i] = number(first_number++);
    out.scheme.structure = static_cast<Structure>(p[17] >> 4);
    out.bounded = (p[18] & 15U) == bounded_values;
    out.scheme.values = out.bounded ? Values::keep : static_cast<Values>(p[18] & 15U);
    out.scheme.bits = out.scheme.values == Values::integer && p[18] >> 4 == 0 ? max_bits : p[18] >> 4;
    out.scheme.affine = (p[19] & 1U) != 0;
    out.scheme.granularity = static_cast<Granularity>((p[19] >> 1) & 3U);
    out.scheme.axis = (p[19] >> 3) & 7U;
    if (out.scheme.granularity == Granularity::group) {
        out.scheme.group_size = static_cast<std::uint32_t>(number(first_number++));
    }
    if (out.scheme.values == Values::codebook) out.scheme.vector = static_cast<std::uint8_t>(number(first_number++));
    out.shares = (p[19] & shared_flag) != 0;
    if (out.shares) out.book = static_cast<std::uint32_t>(number(first_number++));
    if (has_pattern(p[17] >> 4)) {
        const std::uint64_t pattern = number(first_number++);
        out.scheme.pattern[0] = static_cast<std::uint16_t>(pattern);
        out.scheme.pattern[1] = static_cast<std::uint16_t>(pattern >> 16);
    }
    if (element_count(out.shape, &out.survivors) != Status::ok) out.survivors = 0;  // open() refuses such a file
    if (out.scheme.structure == Structure::nm && out.scheme.pattern[1] != 0) {
        out.survivors = out.survivors / out.scheme.pattern[1] * out.scheme.pattern[0];
    }
    if (has_survivors(p[17] >> 4)) out.survivors = number(first_number);
    out.first_stream = load_le<std::uint32_t>(p + 8);
    out.stream_count = (last ? stream_count_ : load_le<std::uint32_t>(p + tensor_bytes + 8)) - out.first_stream;
    out.plain = out.scheme.structure == Structure::dense && out.scheme.values == Values::keep &&
                streams_[out.first_stream * stream_bytes + 14] == 0 && !reserved_name(bytes_of(out.name));
    return out;
}

Status File::streams_of(std::uint32_t index, const StoredTensor& tensor, Streams* out) const noexcept {
    std::uint64_t decoded[role_count];
    BP_TRY(stream_sizes(tensor.dtype, tensor.shape, tensor.scheme, tensor.survivors, decoded));
    Role roles[max_streams] = {};
    out->count = roles_of(tensor, roles);
    out->numbers_end = load_le<std::uint32_t>(tensors_.data() + index * tensor_bytes + 4) + fixed_numbers(tensor);
    for (unsigned k = 0; k < out->count; ++k) {
        const std::uint8_t* p = streams_.data() + (tensor.first_stream + k) * stream_bytes;
        auto& s = out->at[k];
        s.role = roles[k];
        s.coding = static_cast<CodingId>(p[14]);
        s.decoded = s.stored = decoded[static_cast<unsigned>(s.role)];
        if (s.coding != CodingId::raw) {
            if (out->numbers_end >= number_count()) return Status::corrupt;
            s.stored = number(out->numbers_end++);
        }
        s.layout = static_cast<Layout>(p[15]);
        const bool codes = s.layout == Layout::codes || s.layout == Layout::wide;
        s.code_bits = codes ? tensor.scheme.bits : 0;
        s.frame = codes ? tensor.survivors / elements_a_code(tensor.scheme) : s.decoded;
        s.kind = class_of(tensor, s.stored);
        s.offset = load_le<std::uint64_t>(p + 8) & offset_mask;
        s.checksum = load_le<std::uint64_t>(p);
    }
    return Status::ok;
}

StoredStream File::stream(std::uint32_t index) const noexcept {
    std::uint32_t low = 0;  // the last tensor whose first stream is not after index
    for (std::uint32_t high = tensor_count_; high - low > 1;) {
        const std::uint32_t middle = low + (high - low) / 2;
        (load_le<std::uint32_t>(tensors_.data() + middle * tensor_bytes + 8) <= index ? low : high) = middle;
    }
    const StoredTensor owner = tensor(low);
    Streams streams;
    if (streams_of(low, owner, &streams) != Status::ok) return {};  // open() has seen to it
    const auto& s = streams.at[index - owner.first_stream];
    const std::uint64_t padding = with_padding(s.kind, s.stored) - s.stored;
    return {s.role,      s.coding, file_.subspan(s.offset, s.stored),   s.decoded, s.frame,    s.layout,
            s.code_bits, s.offset, static_cast<std::uint32_t>(padding), low,       s.checksum, s.kind == large};
}

StoredStream File::shared_book(const StoredTensor& tensor) const noexcept {
    const StoredTensor owner = this->tensor(tensor.book);
    return stream(owner.first_stream + owner.stream_count - 1);  // the last of its roles
}

Delta File::delta(std::uint32_t index) const noexcept {
    const std::uint8_t* p = base_.data() + index * delta_bytes;
    return {load_le<std::uint32_t>(p), p[4], load_le<std::uint64_t>(p + 8)};
}

bool File::find(std::span<const char> name, std::uint32_t* index) const noexcept {
    std::uint32_t low = 0;
    for (std::uint32_t high = tensor_count_; low < high;) {
        const std::uint32_t middle = low + (high - low) / 2;
        const std::uint32_t candidate = load_le<std::uint32_t>(tensors_.data() + middle * tensor_bytes + 12);
        const int order = compare(bytes_of(tensor(candidate).name), bytes_of(name));
        if (order == 0) {
            *index = candidate;
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

Status File::check_stream(std::uint32_t index) const noexcept {
    const StoredStream s = stream(index);
    const Bytes padded = file_.subspan(s.offset, s.stored.size() + s.padding);
    return hash(padded) == s.checksum && all_zero(padded.last(s.padding)) ? Status::ok : Status::corrupt;
}

Status File::check_head() const noexcept {
    const Bytes head = file_.first(static_cast<std::size_t>(manifest_.data() - file_.data()));
    return manifest_checksum(manifest_) == load_le<std::uint64_t>(manifest_.data() + 32) &&
                   hash(head) == load_le<std::uint64_t>(manifest_.data() + 24)
               ? Status::ok
               : Status::corrupt;
}

}  // namespace bitpress
