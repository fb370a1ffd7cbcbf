// The table of hot loops, one an instruction set. kernels.def lists them; a missing scalar kernel is a link error.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace bitpress {

// In order of preference within a CPU family. Names as in BITPRESS_ISA.
enum class Isa : int { scalar = 0, avx2, avxvnni, avx512, avx512vnni, neon, dotprod, i8mm };
inline constexpr int isa_count = 8;

struct Kernels {
    Isa isa;
#define BP_KERNEL(name, result, parameters) result(*name) parameters noexcept;
#include "kernels/kernels.def"
#undef BP_KERNEL
};

// The table in use: the best this CPU runs, or the one BITPRESS_ISA names. Null where BITPRESS_ISA names
// a set that this CPU or this build lacks: never a silent fallback.
const Kernels* kernels() noexcept;
// The table of one instruction set, or null where this CPU or this build lacks it.
const Kernels* kernels(Isa isa) noexcept;
const char* isa_name(Isa isa) noexcept;

namespace scalar {
#define BP_KERNEL(name, result, parameters) result name parameters noexcept;
#include "kernels/kernels.def"
#undef BP_KERNEL
}  // namespace scalar

// Each instruction set's folder defines one of these: it takes a copy of the table below and overrides slots.
namespace avx2 {
void fill(Kernels& table) noexcept;
}
namespace neon {
void fill(Kernels& table) noexcept;
}

}  // namespace bitpress
