// CPU probe and the choice of a kernel table.
#ifdef BITPRESS_WITH_AVX2
#include <cpuid.h>
#endif
#if defined(BITPRESS_WITH_DOTPROD) && defined(__linux__)
#include <sys/auxv.h>
#endif
#ifndef BITPRESS_MINIMAL
#include <stdlib.h>
#include <string.h>
#endif

#include "kernels/kernels.h"

namespace bitpress {
namespace {

constexpr const char* names[isa_count] = {"scalar",     "avx2", "avxvnni", "avx512",
                                          "avx512vnni", "neon", "dotprod", "i8mm"};

Kernels make_scalar() noexcept {
    Kernels table{};
    table.isa = Isa::scalar;
#define BP_KERNEL(name, result, parameters) table.name = scalar::name;
#ifdef BITPRESS_MINIMAL
#define BP_WRITER(name, result, parameters)  // null: nothing that reads a file or runs it calls these
#endif
#include "kernels/kernels.def"
#undef BP_KERNEL
    return table;
}

#ifdef BITPRESS_WITH_AVX2
bool cpu_has_avx2() noexcept {
    __builtin_cpu_init();  // these builtins also ask whether the system saves the wide registers
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("bmi") ||
        !__builtin_cpu_supports("bmi2") || !__builtin_cpu_supports("popcnt")) {
        return false;
    }
    // Older compilers have no name for these two.
    unsigned a = 0, b = 0, c = 0, d = 0;
    const bool f16c = __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
    const bool lzcnt = __get_cpuid(0x80000001U, &a, &b, &c, &d) != 0 && (c & bit_LZCNT) != 0;
    return f16c && lzcnt;
}
#endif

#ifdef BITPRESS_WITH_AVX512
// Ice Lake, Zen 4 and later: the first AVX-512 without byte permutes is not worth a table of its own.
bool cpu_has_avx512() noexcept {
    return cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
}
#endif

#ifdef BITPRESS_WITH_AVX512VNNI
bool cpu_has_avx512vnni() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return cpu_has_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & 1U << 11U) != 0;
}
#endif

#ifdef BITPRESS_WITH_DOTPROD
bool cpu_has_dotprod() noexcept {
#if defined(__linux__)
    return (getauxval(AT_HWCAP) & 1U << 20U /* HWCAP_ASIMDDP */) != 0;
#elif defined(__ARM_FEATURE_DOTPROD)
    return true;  // what the compiler was told of the CPU, where no system can be asked
#else
    return false;
#endif
}
#endif

struct Tables {
    Kernels table[isa_count] = {};
    bool present[isa_count] = {};
    const Kernels* chosen = nullptr;

    void add(Isa isa, const Kernels& below, void (*fill)(Kernels&) noexcept) noexcept {
        const int i = static_cast<int>(isa);
        table[i] = below;
        table[i].isa = isa;
        fill(table[i]);
        present[i] = true;
        chosen = &table[i];
    }

    Tables() noexcept {
        table[0] = make_scalar();
        present[0] = true;
        chosen = &table[0];
#ifdef BITPRESS_WITH_AVX2
        if (cpu_has_avx2()) add(Isa::avx2, table[0], avx2::fill);
#endif
#ifdef BITPRESS_WITH_AVX512
        if (cpu_has_avx512()) add(Isa::avx512, table[static_cast<int>(Isa::avx2)], avx512::fill);
#endif
#ifdef BITPRESS_WITH_AVX512VNNI
        if (cpu_has_avx512vnni()) add(Isa::avx512vnni, table[static_cast<int>(Isa::avx512)], avx512vnni::fill);
#endif
#ifdef BITPRESS_WITH_NEON
        add(Isa::neon, table[0], neon::fill);  // every 64-bit Arm has it
#endif
#ifdef BITPRESS_WITH_DOTPROD
        if (cpu_has_dotprod()) add(Isa::dotprod, table[static_cast<int>(Isa::neon)], dotprod::fill);
#endif
#ifndef BITPRESS_MINIMAL
        const char* forced = getenv("BITPRESS_ISA");
        if (forced == nullptr || *forced == '\0') return;
        chosen = nullptr;
        for (int i = 0; i < isa_count; ++i) {
            if (present[i] && strcmp(forced, names[i]) == 0) chosen = &table[i];
        }
#endif
    }
};

// Filled before main: no lock, no guard, no state that changes afterwards.
const Tables tables;

}  // namespace

const Kernels* kernels() noexcept { return tables.chosen; }

const Kernels* kernels(Isa isa) noexcept {
    const int i = static_cast<int>(isa);
    return i >= 0 && i < isa_count && tables.present[i] ? &tables.table[i] : nullptr;
}

const char* isa_name(Isa isa) noexcept {
    const int i = static_cast<int>(isa);
    return i >= 0 && i < isa_count ? names[i] : "unknown";
}

}  // namespace bitpress
