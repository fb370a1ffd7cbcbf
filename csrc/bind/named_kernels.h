// The kernels of one named instruction set, so that a test can hold them against each other and the oracles.
#pragma once

#include <string>

#include "bind/bind.h"
#include "kernels/kernels.h"

namespace bitpress::bind {

inline const Kernels& named(const std::string& isa) {
    for (int i = 0; i < isa_count; ++i) {
        const Kernels* table = kernels(static_cast<Isa>(i));
        if (table != nullptr && isa == isa_name(static_cast<Isa>(i))) return *table;
    }
    throw pybind11::value_error("no instruction set " + isa + " on this CPU");
}

// Refuses arrays that a kernel would be wrong to be given.
inline void need(bool condition) {
    if (!condition) throw pybind11::value_error("array sizes do not fit each other");
}

}  // namespace bitpress::bind
