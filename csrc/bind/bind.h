// What the binding's files share: Status -> exception, and one register_* a core header.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "bytes.h"
#include "status.h"

namespace bitpress::bind {

// Raises the exception class that bitpress.errors documents for this status; `what` names the file, tensor or argument.
void raise_for(Status status, const std::string& what);
// The same class with a text of the caller's own; status is not ok.
[[noreturn]] void raise_as(Status status, const std::string& text);

void register_status(pybind11::module_& module);
void register_kernels(pybind11::module_& module);
void register_codings(pybind11::module_& module);
void register_bounded(pybind11::module_& module);
void register_lzw(pybind11::module_& module);
void register_tensor(pybind11::module_& module);
void register_bitpack(pybind11::module_& module);
void register_packing(pybind11::module_& module);
void register_format(pybind11::module_& module);
void register_session(pybind11::module_& module);
void register_float_kernels(pybind11::module_& module);
void register_integer_kernels(pybind11::module_& module);
void register_rounding(pybind11::module_& module);
void register_probe(pybind11::module_& module);

}  // namespace bitpress::bind
