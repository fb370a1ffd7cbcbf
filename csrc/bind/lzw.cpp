// LZW in others' framings as Python sees it: bytes-like in, bytes out. The GIL is released while the core runs.
#include <deque>
#include <optional>
#include <vector>

#include <pybind11/stl.h>

#include "bind/bind.h"
#include "bind/buffers.h"
#include "bind/threads.h"
#include "codings/frame.h"
#include "codings/lzw_image.h"
#include "codings/lzw_z.h"
#include "codings/lzw_z_stream.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

// `encode(in, out, workspace, written)` into bytes of `bound` at most.
template <class Encode>
py::bytes encode_with(const char* name, const Buffer& in, std::size_t bound, std::size_t need, Encode encode) {
    OutputBytes out(bound);
    std::size_t written = 0;
    Status status;
    {
        const py::gil_scoped_release unlocked;
        const Workspace workspace(need);
        status = encode(in.bytes(), out.bytes(), workspace.bytes(), &written);
    }
    raise_for(status, name);
    return out.take(written);
}

// Counts with `count(limit, workspace, size)`, unless the size is given, then fills bytes of that size with
// `decode(out, workspace)`.
template <class Count, class Decode>
py::bytes decode_with(const char* name, std::optional<std::uint64_t> size, std::optional<std::uint64_t> max_size,
                      Count count, Decode decode) {
    const Workspace workspace(sizeof(lzw::DecodeDictionary));
    const std::uint64_t limit = max_size ? *max_size : frame_max_decoded;
    Status status = Status::ok;
    if (!size) {
        size = 0;
        const py::gil_scoped_release unlocked;
        status = count(limit, workspace.bytes(), &*size);
    } else if (*size > limit) {
        status = Status::too_large;
    }
    const std::string subject(name);
    if (status == Status::too_large) {
        raise_for(status, subject + ": more than " + std::to_string(limit) + " decoded bytes");
    }
    raise_for(status, subject);
    OutputBytes out(*size);
    {
        const py::gil_scoped_release unlocked;
        status = decode(out.bytes(), workspace.bytes());
    }
    raise_for(status, subject);
    return out.take(out.bytes().size());
}

py::bytes encode_z(const py::object& data, unsigned max_bits) {
    const Buffer in(data);
    return encode_with(".Z", in, lzw::z_bound(in.bytes().size()), lzw::z_encode_workspace,
                       [&](Bytes from, MutableBytes out, MutableBytes workspace, std::size_t* written) {
                           return lzw::z_encode(from, max_bits, out, workspace, written);
                       });
}

py::bytes decode_z(const py::object& blob, std::optional<std::uint64_t> max_size) {
    const Buffer in(blob);
    return decode_with(
        ".Z", std::nullopt, max_size,
        [&](std::uint64_t limit, MutableBytes workspace, std::uint64_t* size) {
            return lzw::z_decoded_size(in.bytes(), limit, workspace, size);
        },
        [&](MutableBytes out, MutableBytes workspace) { return lzw::z_decode(in.bytes(), out, workspace); });
}

py::bytes encode_tiff(const py::object& data) {
    const Buffer in(data);
    return encode_with("tiff", in, lzw::tiff_bound(in.bytes().size()), lzw::image_encode_workspace, lzw::tiff_encode);
}

py::bytes decode_image(const char* name, const lzw::Rules& rules, Bytes codes, std::optional<std::uint64_t> size,
                       std::optional<std::uint64_t> max_size) {
    return decode_with(
        name, size, max_size,
        [&](std::uint64_t limit, MutableBytes workspace, std::uint64_t* counted) {
            return lzw::image_decoded_size(rules, codes, limit, workspace, counted);
        },
        [&](MutableBytes out, MutableBytes workspace) { return lzw::image_decode(rules, codes, out, workspace); });
}

py::bytes decode_tiff(const py::object& blob, std::optional<std::uint64_t> size,
                      std::optional<std::uint64_t> max_size) {
    const Buffer in(blob);
    return decode_image("tiff", lzw::tiff_rules(in.bytes()), in.bytes(), size, max_size);
}

py::bytes encode_gif(const py::object& data, unsigned min_code_size) {
    const Buffer in(data);
    return encode_with("gif", in, lzw::gif_bound(in.bytes().size()), lzw::image_encode_workspace,
                       [&](Bytes from, MutableBytes out, MutableBytes workspace, std::size_t* written) {
                           return lzw::gif_encode(from, min_code_size, out, workspace, written);
                       });
}

py::bytes decode_gif(const py::object& blob, std::optional<std::uint64_t> size, std::optional<std::uint64_t> max_size) {
    const Buffer in(blob);
    const Workspace joined(in.bytes().size());
    lzw::Gif gif;
    raise_for(lzw::gif_open(in.bytes(), joined.bytes(), &gif), "gif");
    return decode_image("gif", lzw::gif_rules(gif.min_code_size), gif.codes, size, max_size);
}

// `encode(workers, pieces, workspace)` of several inputs, each into bytes of its `bound`.
template <class Bound, class Encode>
py::list encode_many(const char* name, const py::list& blocks, unsigned threads, Bound bound, Encode encode) {
    std::deque<Buffer> in;
    std::deque<OutputBytes> out;
    std::vector<lzw::Piece> pieces;
    std::size_t total = 0;
    for (const py::handle block : blocks) {
        const Bytes bytes = in.emplace_back(py::reinterpret_borrow<py::object>(block)).bytes();
        const MutableBytes room = out.emplace_back(bound(bytes.size())).bytes();
        pieces.push_back({bytes, room, 0, {}});
        total += bytes.size();
    }
    Status status;
    {
        const py::gil_scoped_release unlocked;
        const Threads crew(threads, total);
        const Workspace workspace(workers_need(lzw::image_lanes_workspace, crew.workers()));
        status = encode(crew.workers(), std::span(pieces), workspace.bytes());
    }
    raise_for(status, name);
    py::list results;
    for (std::size_t i = 0; i < pieces.size(); ++i) results.append(out[i].take(pieces[i].written));
    return results;
}

py::list encode_tiff_many(const py::list& blocks, unsigned threads) {
    return encode_many("tiff", blocks, threads, lzw::tiff_bound, lzw::tiff_encode_many);
}

py::list encode_gif_many(const py::list& blocks, unsigned min_code_size, unsigned threads) {
    return encode_many("gif", blocks, threads, lzw::gif_bound,
                       [&](const Workers& workers, std::span<lzw::Piece> pieces, MutableBytes workspace) {
                           return lzw::gif_encode_many(workers, min_code_size, pieces, workspace);
                       });
}

// As much of a .Z file as there is: (bytes of the input that were used, bytes of the output that were written).
py::tuple z_read(lzw::ZReader& reader, const py::object& blob, bool last, const py::object& out) {
    const Buffer in(blob);
    const Buffer to(out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE);
    std::size_t used = 0, written = 0;
    Status status;
    {
        const py::gil_scoped_release unlocked;
        status = reader.read(in.bytes(), last, to.writable(), &used, &written);
    }
    if (written == 0) raise_for(status, ".Z");  // else what is right before the fault goes out first
    return py::make_tuple(used, written);
}

}  // namespace

void register_lzw(py::module_& module) {
    module.def("encode_z", encode_z, py::arg("data"), py::arg("max_bits"));
    module.def("decode_z", decode_z, py::arg("blob"), py::arg("max_size") = py::none());
    module.def("encode_tiff", encode_tiff, py::arg("data"));
    module.def("decode_tiff", decode_tiff, py::arg("blob"), py::arg("size") = py::none(),
               py::arg("max_size") = py::none());
    module.def("encode_gif", encode_gif, py::arg("data"), py::arg("min_code_size"));
    module.def("encode_tiff_many", encode_tiff_many, py::arg("blocks"), py::arg("threads"));
    module.def("encode_gif_many", encode_gif_many, py::arg("blocks"), py::arg("min_code_size"), py::arg("threads"));
    module.def("decode_gif", decode_gif, py::arg("blob"), py::arg("size") = py::none(),
               py::arg("max_size") = py::none());
    py::class_<lzw::ZReader>(module, "ZReader")
        .def(py::init<>())
        .def("read", z_read, py::arg("blob"), py::arg("last"), py::arg("out"))
        .def_property_readonly("done", &lzw::ZReader::done);
}

}  // namespace bitpress::bind
