// The codings as Python sees them: bytes-like in, bytes out. The GIL is released while they run.
#include "codings/codings.h"

#include <pybind11/stl.h>

#include <optional>

#include "bind/bind.h"
#include "bind/buffers.h"
#include "bind/threads.h"
#include "codings/code_room.h"
#include "codings/encode_rows.h"
#include "codings/packed.h"
#include "codings/planes.h"
#include "codings/wide.h"
#include "kernels/kernels.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

const Coding& coding_named(const std::string& name) {
    const Coding* const found = coding(name.c_str());
    if (found == nullptr) throw py::value_error("unknown coding '" + name + "'");
    return *found;
}

void check_limit(std::uint64_t size, std::optional<std::uint64_t> max_size, const std::string& what) {
    if (max_size && size > *max_size) {
        raise_for(Status::too_large, what + ": " + std::to_string(size) + " decoded bytes, at most " +
                                         std::to_string(*max_size) + " allowed");
    }
}

py::bytes encode(const std::string& name, const py::object& data, unsigned threads, std::size_t row) {
    const Coding& coder = coding_named(name);
    const Buffer in(data);
    OutputBytes out(coder.bound(in.bytes().size()));
    std::size_t written = 0;
    Status status;
    {
        const py::gil_scoped_release unlocked;
        const Threads crew(threads, in.bytes().size());
        const Workspace workspace(workers_need(coder.encode_workspace, crew.workers()));
        status = encode_rows(coder, crew.workers(), row, in.bytes(), out.bytes(), workspace.bytes(), &written);
    }
    raise_for(status, name);
    return out.take(written);
}

py::bytes encode_planes(unsigned kind, const py::object& data, unsigned threads) {
    if (kind >= plane_kinds) throw py::value_error("unknown kind of planes " + std::to_string(kind));
    const auto elements = static_cast<PlaneKind>(kind);
    const Buffer in(data);
    if (in.bytes().size() % plane_count(elements) != 0) throw py::value_error("planes: not a whole number of elements");
    OutputBytes out(planes_bound(elements, in.bytes().size()));
    std::size_t written = 0;
    Status status;
    {
        const py::gil_scoped_release unlocked;
        const Threads crew(threads, in.bytes().size());
        const Workspace workspace(workers_need(planes_coding.encode_workspace, crew.workers()));
        status = planes_encode(crew.workers(), elements, in.bytes(), out.bytes(), workspace.bytes(), &written);
    }
    raise_for(status, "planes");
    return out.take(written);
}

std::uint64_t decoded_size(const std::string& name, const py::object& blob) {
    const Buffer in(blob);
    std::uint64_t size = 0;
    raise_for(coding_named(name).decoded_size(in.bytes(), &size), name);
    return size;
}

Status decode_by_threads(const Coding& coder, Bytes in, MutableBytes out, unsigned threads) {
    const py::gil_scoped_release unlocked;
    const Threads crew(threads, out.size());
    const Workspace workspace(workers_need(coder.decode_workspace, crew.workers()));
    return coder.decode_by(crew.workers(), in, out, workspace.bytes());
}

py::bytes decode(const std::string& name, const py::object& blob, std::optional<std::uint64_t> max_size,
                 unsigned threads) {
    const Coding& coder = coding_named(name);
    const Buffer in(blob);
    std::uint64_t size = 0;
    raise_for(coder.decoded_size(in.bytes(), &size), name);
    check_limit(size, max_size, name);
    OutputBytes out(size);
    raise_for(decode_by_threads(coder, in.bytes(), out.bytes(), threads), name);
    return out.take(out.bytes().size());
}

void decode_into(const std::string& name, const py::object& blob, const py::object& out, unsigned threads) {
    const Coding& coder = coding_named(name);
    const Buffer in(blob);
    const Buffer to(out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE);
    const Status status = decode_by_threads(coder, in.bytes(), to.writable(), threads);
    if (status == Status::bad_argument) throw py::value_error(name + ": the output is larger than the result");
    raise_for(status, name);
}

// The layout of coded codes of so many bits.
Layout layout_of(unsigned bits) {
    if (bits >= 1 && bits <= 7) return Layout::codes;
    if (bits >= wide_min_bits && bits <= wide_max_bits) return Layout::wide;
    throw py::value_error("bits must be 1..7 or 9..16");
}

// The packed codes of a stream of layout 1 or 2 that holds `count` of them.
py::bytes decode_packed_codes(const std::string& name, const py::object& blob, unsigned bits, std::uint64_t count) {
    const Layout layout = layout_of(bits);
    const Coding& coder = coding_named(name);
    const Buffer in(blob);
    std::uint64_t size = 0;
    raise_for(stored_claim(coder, layout, in.bytes(), &size), name);
    if (size != count) raise_for(Status::corrupt, name);
    OutputBytes out(packed_bytes(count, bits));
    Status status;
    {
        const py::gil_scoped_release unlocked;
        const Workspace workspace(stored_workspace(coder, layout));
        status = decode_stored(coder, layout, in.bytes(), bits, count, out.bytes(), workspace.bytes());
    }
    raise_for(status, name);
    return out.take(out.bytes().size());
}

// The stream of layout 1 or 2 of the same codes, packed, in rows of `row` codes.
py::bytes encode_packed_codes(const std::string& name, const py::object& packed, unsigned bits, std::uint64_t count,
                              std::size_t row) {
    const bool wide = layout_of(bits) == Layout::wide;
    const Coding& coder = coding_named(name);
    if (!wide && coder.decode_codes == nullptr) throw py::value_error(name + " does not hold codes one a byte");
    const Buffer in(packed);
    if (in.bytes().size() != packed_bytes(count, bits)) throw py::value_error("not as many bytes as the codes take");
    OutputBytes out(wide ? wide_bound(coder, count) : coder.bound(count));
    std::size_t written = 0;
    Status status;
    if (wide) {
        const py::gil_scoped_release unlocked;
        const Workspace workspace(wide_encode_workspace(coder));
        status = encode_wide(coder, in.bytes(), bits, count, row, out.bytes(), workspace.bytes(), &written);
    } else {
        const py::gil_scoped_release unlocked;
        const Workspace codes(count), workspace(coder.encode_workspace);
        kernels()->unpack_bits(in.bytes().data(), in.bytes().size(), 0, count, bits, codes.memory.get());
        status = encode_rows(coder, one_worker, row, codes.bytes(), out.bytes(), workspace.bytes(), &written);
    }
    raise_for(status, name);
    return out.take(written);
}

}  // namespace

void register_codings(py::module_& module) {
    py::dict numbers;
    for (const Coding* entry : codings()) numbers[entry->name] = static_cast<int>(entry->id);
    module.attr("CODINGS") = numbers;
    module.def("encode", encode, py::arg("coding"), py::arg("data"), py::arg("threads") = 1, py::arg("row") = 0);
    module.def("encode_planes", encode_planes, py::arg("kind"), py::arg("data"), py::arg("threads") = 1);
    module.def("decode", decode, py::arg("coding"), py::arg("blob"), py::arg("max_size") = py::none(),
               py::arg("threads") = 1);
    module.def("decode_into", decode_into, py::arg("coding"), py::arg("blob"), py::arg("out"), py::arg("threads") = 1,
               "Decodes into a writable buffer of exactly the decoded size; on an error its content is unspecified.");
    module.def("decode_packed", decode_packed_codes, py::arg("coding"), py::arg("blob"), py::arg("bits"),
               py::arg("count"));
    module.def("encode_packed", encode_packed_codes, py::arg("coding"), py::arg("packed"), py::arg("bits"),
               py::arg("count"), py::arg("row") = 0);
    module.def(
        "decode_workspace", [](const std::string& name) { return coding_named(name).decode_workspace; },
        py::arg("coding"), "Bytes beside its output that a thread needs to decode.");
    module.def(
        "encode_workspace", [](const std::string& name) { return coding_named(name).encode_workspace; },
        py::arg("coding"), "Bytes beside input and output that a thread needs to encode.");
    module.def(
        "wide_encode_workspace", [](const std::string& name) { return wide_encode_workspace(coding_named(name)); },
        py::arg("coding"), "The same of codes of 9 to 16 bits.");
    module.def("decoded_size", decoded_size, py::arg("coding"), py::arg("blob"));
}

}  // namespace bitpress::bind
