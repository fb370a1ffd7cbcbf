#include "bind/bind.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

const char* class_for(Status status) {
    switch (status) {
        case Status::truncated:
        case Status::corrupt: return "CorruptError";
        case Status::unsupported:
        case Status::too_large:
        case Status::resaved: return "FormatError";
        case Status::not_finite: return "SchemeError";
        case Status::bad_shape: return "ShapeError";
        default: return "BitpressError";
    }
}

}  // namespace

void raise_for(Status status, const std::string& what) {
    if (status == Status::ok) return;
    raise_as(status, what.empty() ? message(status) : what + ": " + message(status));
}

void raise_as(Status status, const std::string& text) {
    if (status == Status::bad_argument || status == Status::output_too_small) throw py::value_error(text);
    const py::object type = py::module_::import("bitpress.errors").attr(class_for(status));
    PyErr_SetString(type.ptr(), text.c_str());
    throw py::error_already_set();
}

void register_status(py::module_& module) {
    module.def("message", [](int status) { return message(static_cast<Status>(status)); }, py::arg("status"));
}

}  // namespace bitpress::bind
