// The extension module: one register_* function a core header.
#include <pybind11/pybind11.h>

#include "bind/bind.h"

PYBIND11_MODULE(_core, module) {
    module.doc() = "bitpress's native core. Use the package's public names; these may change.";
    bitpress::bind::register_status(module);
    bitpress::bind::register_kernels(module);
    bitpress::bind::register_codings(module);
    bitpress::bind::register_bounded(module);
    bitpress::bind::register_lzw(module);
    bitpress::bind::register_tensor(module);
    bitpress::bind::register_bitpack(module);
    bitpress::bind::register_packing(module);
    bitpress::bind::register_format(module);
    bitpress::bind::register_session(module);
    bitpress::bind::register_float_kernels(module);
    bitpress::bind::register_integer_kernels(module);
    bitpress::bind::register_rounding(module);
    bitpress::bind::register_probe(module);
}
