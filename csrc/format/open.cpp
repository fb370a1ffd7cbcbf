// File::open: everything that must hold of a container before any of it is used.
#include "format/parts.h"
#include "format/text.h"
#include "tensor/panels.h"

namespace bitpress {

using namespace format;  // NOLINT(google-build-using-namespace): its own parts

// The steps of open(), which share the file under construction and the place for the reason.
struct File::Reader {
    File& out;
    Refusal& refusal;

    Status refuse(Status status, const char* why, std::uint32_t tensor = Refusal::no_index) noexcept {
        refusal = {why, tensor, {}};
        if (tensor < out.tensor_count_) {
            const std::uint8_t* p = out.tensors_.data() + tensor * tensor_bytes;
            const std::size_t begin = load_le<std::uint32_t>(p);
            const std::size_t end =
                tensor + 1 == out.tensor_count_ ? out.names_.size() : load_le<std::uint32_t>(p + tensor_bytes);
            if (begin < end && end <= out.names_.size() && valid_utf8(out.names_.subspan(begin, end - begin))) {
                refusal.name = {reinterpret_cast<const char*>(out.names_.data()) + begin, end - begin};
            }
        }
        return status;
    }

    // No manifest where it should be: say what the file is instead.
    Status refuse_without_manifest(Bytes json, Bytes data) noexcept {
        const std::uint8_t* key = find_text(json, "\"bitpress.manifest\"");
        if (key == nullptr) return refuse(Status::unsupported, "not a bitpress file");
        const std::size_t left = static_cast<std::size_t>(json.data() + json.size() - key);
        const bool first = find_text(Bytes(key, left < 128 ? left : 128), "\"data_offsets\":[0,") != nullptr;
        if (!first) return refuse(Status::resaved, "another tool rewrote the file: its manifest moved");
        if (data.size() < 8) return refuse(Status::truncated, "the file ends inside its manifest");
        return refuse(Status::corrupt, "its manifest does not begin as one");
    }

    Status locate(Bytes file) noexcept {
        if (file.size() < 8) return refuse(Status::truncated, "the file is shorter than 8 bytes");
        const std::uint64_t n = load_le<std::uint64_t>(file.data());
        if (n > max_json) return refuse(Status::unsupported, "not a bitpress file");
        if (n == 0 || (file.size() > 8 && file[8] != '{')) return refuse(Status::unsupported, "not a bitpress file");
        if (n > file.size() - 8) return refuse(Status::truncated, "the file ends inside its JSON header");
        const Bytes json = file.subspan(8, n);
        const Bytes data = file.subspan(8 + n);
        if (data.size() < 8 || memcmp(data.data(), "BITPRESS", 8) != 0) return refuse_without_manifest(json, data);
        if (n % 8 != 0) return refuse(Status::corrupt, "the JSON's length is not a multiple of 8");
        if (data.size() < manifest_head) return refuse(Status::truncated, "the file ends inside its manifest");
        if (load_le<std::uint16_t>(data.data() + 8) != 0) {
            return refuse(Status::unsupported, "of a newer version of the format");
        }
        const std::uint64_t m = load_le<std::uint32_t>(data.data() + 12);
        if (m % 8 != 0 || m < manifest_head) return refuse(Status::corrupt, "the manifest's length is wrong");
        if (m > data.size()) return refuse(Status::truncated, "the file ends inside its manifest");
        out.file_ = file;
        out.manifest_ = data.first(m);
        return Status::ok;
    }

    Status check_length() noexcept {
        const std::uint64_t length = load_le<std::uint64_t>(out.manifest_.data() + 16);
        if (out.file_.size() < length) return refuse(Status::truncated, "the file is shorter than it says");
        if (out.file_.size() > length) return refuse(Status::corrupt, "the file is longer than it says");
        return Status::ok;
    }

    Status checksums() noexcept {
        if (manifest_checksum(out.manifest_) != load_le<std::uint64_t>(out.manifest_.data() + 32)) {
            return refuse(Status::corrupt, "checksum of the manifest");
        }
        BP_TRY(check_length());
        if (out.check_head() != Status::ok) return refuse(Status::corrupt, "checksum of the JSON header");
        return Status::ok;
    }

    Status sections() noexcept {
        const Bytes manifest = out.manifest_;
        const unsigned count = load_le<std::uint16_t>(manifest.data() + 10);
        std::uint64_t at = manifest_head + count * entry_bytes;
        if (count > max_sections || at > manifest.size()) return refuse(Status::corrupt, "too many sections");
        unsigned seen = 0;
        unsigned previous = 0;
        for (unsigned i = 0; i < count; ++i) {
            const std::uint8_t* p = manifest.data() + manifest_head + i * entry_bytes;
            const unsigned type = load_le<std::uint16_t>(p);
            const unsigned flags = load_le<std::uint16_t>(p + 2);
            const std::uint64_t length = load_le<std::uint32_t>(p + 4);
            const std::uint64_t end = up_to(at + length, 8);
            if (type <= previous) return refuse(Status::corrupt, "sections are not in the order of their types");
            if (end > manifest.size()) return refuse(Status::corrupt, "a section is outside the manifest");
            if (!all_zero(manifest.subspan(at + length, end - at - length))) {
                return refuse(Status::corrupt, "bytes between sections are not zero");
            }
            BP_TRY(section(type, flags, manifest.subspan(at, length)));
            if (type <= names_section) seen |= 1U << type;
            previous = type;
            at = end;
        }
        if (at != manifest.size()) return refuse(Status::corrupt, "bytes after the last section");
        if (seen != 0x1E) return refuse(Status::corrupt, "a required section is missing");
        return Status::ok;
    }

    Status section(unsigned type, unsigned flags, Bytes content) noexcept {
        const unsigned allowed = type == numbers_section ? flag_required | flag_wide : flag_required;
        if ((flags & ~allowed) != 0) return refuse(Status::unsupported, "a section has a flag of a newer version");
        const bool required = (flags & flag_required) != 0;
        if (type <= graph_section && required != (type <= names_section))
            return refuse(Status::corrupt, "a section's flags are wrong");
        if (type == base_section && !required) return refuse(Status::corrupt, "a section's flags are wrong");
        switch (type) {
            case tensors_section: out.tensors_ = content; break;
            case streams_section: out.streams_ = content; break;
            case numbers_section:
                out.numbers_ = content;
                out.wide_ = (flags & flag_wide) != 0;
                break;
            case names_section: out.names_ = content; break;
            case metadata_section: out.metadata_ = content; break;
            case graph_section: out.graph_ = content; break;
            case base_section:
                if (content.empty()) return refuse(Status::corrupt, "an empty section");
                out.base_ = content;
                break;
            default:
                if (required) return refuse(Status::unsupported, "it needs a section that this version does not know");
        }
        return Status::ok;
    }

    Status counts() noexcept {
        if (out.tensors_.size() % tensor_bytes != 0 || out.streams_.size() % stream_bytes != 0 ||
            out.numbers_.size() % (out.wide_ ? 8 : 4) != 0 || out.base_.size() % delta_bytes != 0) {
            return refuse(Status::corrupt, "a section is not a whole number of records");
        }
        out.tensor_count_ = static_cast<std::uint32_t>(out.tensors_.size() / tensor_bytes);
        out.stream_count_ = static_cast<std::uint32_t>(out.streams_.size() / stream_bytes);
        out.delta_count_ = static_cast<std::uint32_t>(out.base_.size() / delta_bytes);
        if (!valid_utf8(out.metadata_)) return refuse(Status::corrupt, "metadata is not UTF-8");
        return Status::ok;
    }

    // The fields of a record that stand by themselves; afterwards File::tensor(i) may be asked for it.
    Status scheme_fields(const std::uint8_t* p, std::uint32_t i) noexcept {
        const unsigned rank = p[17] & 15U;
        const unsigned structure = p[17] >> 4;
        const unsigned values = p[18] & 15U;
        const unsigned bits = p[18] >> 4;
        const unsigned granularity = (p[19] >> 1) & 3U;
        const unsigned axis = (p[19] >> 3) & 7U;
        if (p[16] >= dtype_count) return refuse(Status::unsupported, "unknown element type", i);
        if (rank > max_rank) return refuse(Status::too_large, "more than 8 dimensions", i);
        if (structure > 3) return refuse(Status::unsupported, "unknown structure", i);
        if (values == 0) {
            if (bits != 0 || p[19] != 0) return refuse(Status::corrupt, "fields that kept values do not have", i);
            return Status::ok;
        }
        if (values == bounded_values) {
            if (bits != 0 || p[19] != 0) return refuse(Status::corrupt, "fields that bounded values do not have", i);
            const auto dtype = static_cast<Dtype>(p[16]);
            const bool held = structure == 0 && (dtype == Dtype::f32 || dtype == Dtype::f64);
            return held ? Status::ok : refuse(Status::corrupt, "bounded values of what has none", i);
        }
        if (values != 3 && values != 4) return refuse(Status::unsupported, "unknown kind of values", i);
        if (values == 4 && (bits < 1 || bits > 8 || (p[19] & 1U) != 0)) {
            return refuse(Status::corrupt, "fields that a codebook does not have", i);
        }
        if (granularity > 2) return refuse(Status::unsupported, "unknown granularity", i);
        if (p[19] >> 6 > (values == 4 ? 1U : 0U)) return refuse(Status::corrupt, "a zero field is not zero", i);
        if (granularity == 1 ? axis >= rank : axis != 0) return refuse(Status::corrupt, "no such axis", i);
        return Status::ok;
    }

    // Where name, numbers and streams of the next tensor must begin.
    struct Cursor {
        std::uint64_t name = 0;
        std::uint64_t number = 0;
        std::uint64_t stream = 0;
    };

    Status record(std::uint32_t i, Cursor* at, std::uint64_t (&total)[class_count]) noexcept {
        const std::uint8_t* p = out.tensors_.data() + i * tensor_bytes;
        if (load_le<std::uint32_t>(p) != at->name || load_le<std::uint32_t>(p + 4) != at->number ||
            load_le<std::uint32_t>(p + 8) != at->stream) {
            return refuse(Status::corrupt, "its record does not follow the one before", i);
        }
        BP_TRY(scheme_fields(p, i));
        const bool last = i + 1 == out.tensor_count_;
        const std::uint64_t name_end = last ? out.names_.size() : load_le<std::uint32_t>(p + tensor_bytes);
        if (name_end <= at->name || name_end > out.names_.size()) return refuse(Status::corrupt, "no name", i);
        if (!valid_utf8(out.names_.subspan(at->name, name_end - at->name))) {
            return refuse(Status::corrupt, "its name is not UTF-8", i);
        }
        const unsigned rank = p[17] & 15U;
        const unsigned structure = p[17] >> 4;
        const bool sparse = structure != 0;
        const unsigned values = p[18] & 15U;
        const bool book = values == 4;
        const bool grouped = (p[19] >> 1 & 3U) == 2;
        const unsigned shares = (p[19] & shared_flag) != 0 ? 1 : 0;
        const bool scaled = values == 3 || (book && (p[19] >> 1 & 3U) != 0);
        const unsigned fixed = rank + (grouped ? 1U : 0U) + (book ? 1U : 0U) + shares + structure_numbers(structure);
        const unsigned stream_count =
            1U + (sparse ? 1U : 0U) + (scaled ? 1U : 0U) + (p[19] & 1U) + (book ? 1U - shares : 0U);
        if (fixed > out.number_count() - at->number) return refuse(Status::corrupt, "too few numbers", i);
        if (stream_count > out.stream_count_ - at->stream) return refuse(Status::corrupt, "too few streams", i);
        if (grouped && out.number(at->number + rank) - 1 >= 0xFFFFFFFFU) {
            return refuse(Status::corrupt, "its group size is not 1..2^32-1", i);
        }
        if (book && out.number(at->number + rank + (grouped ? 1U : 0U)) - 1 >= (sparse ? 1U : 8U)) {
            return refuse(Status::corrupt, "the vectors of its codebook are not of 1 to 8 elements", i);
        }
        if (shares != 0) BP_TRY(shared(i, at->number + rank + (grouped ? 1U : 0U) + 1));
        const std::uint64_t pattern_at = at->number + rank + (grouped ? 1U : 0U) + (book ? 1U : 0U) + shares;
        if (has_pattern(structure) && out.number(pattern_at) >> 32 != 0) {
            return refuse(Status::corrupt, "the numbers of its N:M or blocks are too large", i);
        }
        Streams streams;
        BP_TRY(lengths(i, &streams, total));
        *at = {name_end, streams.numbers_end, at->stream + stream_count};
        return Status::ok;
    }

    // The number at this index tells a tensor before, which has a codebook of its own and of the same make.
    Status shared(std::uint32_t i, std::uint64_t number) noexcept {
        if (out.number(number) >= i)
            return refuse(Status::corrupt, "the codebook of a tensor that is not before it", i);
        const auto index = static_cast<std::uint32_t>(out.number(number));
        const std::uint8_t* p = out.tensors_.data() + i * tensor_bytes;
        const std::uint8_t* owner = out.tensors_.data() + index * tensor_bytes;
        const StoredTensor tensor = out.tensor(index);
        std::uint64_t elements = 0;
        const bool fits = owner[18] == p[18] && !tensor.shares && out.number(number - 1) == tensor.scheme.vector &&
                          element_count(tensor.shape, &elements) == Status::ok && elements != 0;
        return fits ? Status::ok : refuse(Status::corrupt, "the codebook of a tensor that has none such", i);
    }

    // Shape and lengths of a tensor whose record's ranges were checked.
    Status lengths(std::uint32_t i, Streams* streams, std::uint64_t (&total)[class_count]) noexcept {
        const StoredTensor tensor = out.tensor(i);
        std::uint64_t elements = 0;
        if (element_count(tensor.shape, &elements) != Status::ok) return refuse(Status::too_large, "its shape", i);
        if (tensor.shares && elements == 0) return refuse(Status::corrupt, "a codebook of no elements", i);
        if (tensor.survivors > elements) return refuse(Status::corrupt, "more survivors than elements", i);
        const Status status = out.streams_of(i, tensor, streams);
        if (status == Status::bad_argument) return refuse(Status::corrupt, "no such scheme, or not of its shape", i);
        if (status != Status::ok) return refuse(status, "its streams do not fit its shape and scheme", i);
        for (unsigned k = 0; k < streams->count; ++k) {
            const auto& s = streams->at[k];
            if (coding(s.coding) == nullptr) return refuse(Status::unsupported, "unknown coding", i);
            if (s.layout > Layout::column_panels) return refuse(Status::unsupported, "unknown layout", i);
            if ((s.layout == Layout::bounded) != tensor.bounded || (tensor.bounded && s.coding != CodingId::rans)) {
                return refuse(Status::corrupt, "a layout or coding that its values do not have", i);
            }
            const Order order = order_of(s.layout);
            const bool coded_codes = s.role == Role::codes && s.coding != CodingId::raw;
            const bool codes = order == Order::elements ? coded_codes : s.role == Role::codes;
            if (s.layout != Layout::plain && !codes && !tensor.bounded) {
                return refuse(Status::corrupt, "a layout of codes where there are none", i);
            }
            if (!has_order(tensor.shape, tensor.scheme, order)) {
                return refuse(Status::corrupt, "panels of what does not fill them", i);
            }
            if (s.layout == Layout::codes && coding(s.coding)->decode_codes == nullptr) {
                return refuse(Status::corrupt, "a layout that its coding does not have", i);
            }
            if ((s.layout == Layout::codes && tensor.scheme.bits > 7) ||
                (s.layout == Layout::wide) != (coded_codes && is_wide(tensor.scheme.bits))) {
                return refuse(Status::corrupt, "a layout that its codes do not have", i);
            }
            if (s.stored > out.file_.size()) return refuse(Status::corrupt, "a stream is longer than the file", i);
            total[s.kind] += with_padding(s.kind, s.stored);
            if (total[s.kind] > out.file_.size()) return refuse(Status::corrupt, "streams exceed the file", i);
        }
        return Status::ok;
    }

    Status records(std::uint64_t (&total)[class_count]) noexcept {
        Cursor at;
        for (std::uint32_t i = 0; i < out.tensor_count_; ++i) BP_TRY(record(i, &at, total));
        if (at.name != out.names_.size() || at.stream != out.stream_count_ || at.number != out.number_count()) {
            return refuse(Status::corrupt, "names, numbers or streams of no tensor");
        }
        return Status::ok;
    }

    // The streams tile the file: each begins where the lengths say, and a coded one claims the length that its tensor
    // implies (its own length bounds what it may claim).
    Status offsets(const std::uint64_t (&total)[class_count]) noexcept {
        std::uint64_t cursor[class_count];
        std::uint64_t end = static_cast<std::uint64_t>(out.manifest_.data() - out.file_.data()) + out.manifest_.size();
        if (total[large] != 0 && end % 64 != 0) return refuse(Status::corrupt, "its streams are not aligned");
        for (unsigned kind = 0; kind < class_count; ++kind) {
            cursor[kind] = end;
            end += total[kind];
        }
        if (end != out.file_.size()) return refuse(Status::corrupt, "its streams do not fill the file");
        for (std::uint32_t i = 0; i < out.tensor_count_; ++i) {
            Streams streams;
            BP_TRY(out.streams_of(i, out.tensor(i), &streams));
            for (unsigned k = 0; k < streams.count; ++k) {
                const auto& s = streams.at[k];
                if (s.offset != cursor[s.kind]) return refuse(Status::corrupt, "a stream is not in its place", i);
                cursor[s.kind] += with_padding(s.kind, s.stored);
                if (s.coding == CodingId::raw) continue;
                std::uint64_t claimed = 0;
                const Bytes stored = out.file_.subspan(s.offset, s.stored);
                const Status status = stored_claim(*coding(s.coding), s.layout, stored, &claimed);
                if (status != Status::ok) return refuse(status, "the head of a coded stream is wrong", i);
                if (claimed != s.frame) return refuse(Status::corrupt, "a coded stream claims a wrong length", i);
                if (s.layout == Layout::bounded && !is_array_of(out.tensor(i), stored)) {
                    return refuse(Status::corrupt, "its array has another type or shape", i);
                }
            }
        }
        return Status::ok;
    }

    // Deltas are of dense, kept tensors, whose one stream is coded (a plain one is its own elements), each named once.
    Status deltas() noexcept {
        std::uint64_t next = 0;
        for (std::uint32_t k = 0; k < out.delta_count_; ++k) {
            const Delta delta = out.delta(k);
            if (delta.tensor < next || delta.tensor >= out.tensor_count_) {
                return refuse(Status::corrupt, "the tensors of its base do not rise");
            }
            next = std::uint64_t{delta.tensor} + 1;
            if (!all_zero(out.base_.subspan(k * delta_bytes + 5, 3))) {
                return refuse(Status::corrupt, "a zero field is not zero", delta.tensor);
            }
            if (delta.how < 1 || delta.how > 2)
                return refuse(Status::unsupported, "unknown kind of delta", delta.tensor);
            const StoredTensor tensor = out.tensor(delta.tensor);
            const bool kept =
                tensor.scheme.structure == Structure::dense && tensor.scheme.values == Values::keep && !tensor.bounded;
            if (!kept || out.stream(tensor.first_stream).coding == CodingId::raw) {
                return refuse(Status::corrupt, "a delta of what cannot be one", delta.tensor);
            }
        }
        return Status::ok;
    }

    // The order of the names rises strictly, so they differ and the order names each tensor once.
    Status unique_names() noexcept {
        Bytes previous;
        for (std::uint32_t k = 0; k < out.tensor_count_; ++k) {
            const std::uint32_t i = load_le<std::uint32_t>(out.tensors_.data() + k * tensor_bytes + 12);
            if (i >= out.tensor_count_) return refuse(Status::corrupt, "the order of names is out of range", k);
            const Bytes name = bytes_of(out.tensor(i).name);
            const int order = k == 0 ? -1 : compare(previous, name);
            if (order == 0) return refuse(Status::corrupt, "its name is there twice", i);
            if (order > 0) return refuse(Status::corrupt, "the order of names does not rise", i);
            previous = name;
        }
        return Status::ok;
    }

    Status stream_checksums() noexcept {
        for (std::uint32_t i = 0; i < out.stream_count_; ++i) {
            if (out.check_stream(i) != Status::ok) {
                return refuse(Status::corrupt, "checksum of a stream", out.stream(i).tensor);
            }
        }
        return Status::ok;
    }
};

Status File::open(Bytes file, Check check, File* out, Refusal* refusal) noexcept {
    Refusal ignored;
    File opened;
    Reader reader{opened, refusal != nullptr ? *refusal : ignored};
    std::uint64_t total[class_count] = {};
    if (kernels() == nullptr) return reader.refuse(Status::unsupported, "BITPRESS_ISA names what this CPU lacks");
    BP_TRY(reader.locate(file));
    BP_TRY(check == Check::full ? reader.checksums() : reader.check_length());
    BP_TRY(reader.sections());
    BP_TRY(reader.counts());
    BP_TRY(reader.records(total));
    BP_TRY(reader.unique_names());
    BP_TRY(reader.offsets(total));
    BP_TRY(reader.deltas());
    if (check == Check::full) BP_TRY(reader.stream_checksums());
    *out = opened;
    return Status::ok;
}

}  // namespace bitpress
