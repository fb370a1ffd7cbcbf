// The table of hot loops, one an instruction set. kernels.def lists them; a missing scalar kernel is a link error.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace bitpress {

// In order of preference within a CPU family. Names as in BITPRESS_ISA.
enum class Isa : int { scalar = 0, avx2, avxvnni, avx512, avx512vnni, neon, dotprod, i8mm };
inline constexpr int isa_count = 8;

// Which bits of an element go to which of its byte planes; numbers are the file format's.
enum class PlaneKind : uint8_t { bytes1 = 0, bytes2, bytes4, bytes8, bf16, f32, f64, signed2, signed4, signed8 };
inline constexpr unsigned plane_kinds = 10;
inline constexpr unsigned max_planes = 8;
// Bytes an element, which is how many planes it has.
constexpr unsigned plane_count(PlaneKind kind) noexcept {
    return static_cast<unsigned>(0x8428428421ULL >> (4 * static_cast<unsigned>(kind))) & 15U;
}

// What a slot (the low 12 bits of a state) of rANS means: docs/format.md, section 5.
struct RansTable {
    uint32_t entry[4096];  // of each slot: symbol | rank << 8 | frequency << 20
    // The same by buckets of equal size, 2^bucket_log of them (4 or 8). A slot whose offset in its bucket is below the
    // threshold belongs to the bucket's own item, with the offset as its rank; any other to the bucket's alias, with
    // the offset plus alias_rank. Items are byte values where there are 256 buckets, else indices of `value`.
    unsigned bucket_log;
    uint8_t threshold[256], alias[256], alias_rank_low[256], alias_rank_high[256];
    uint8_t frequency_low[256], frequency_high[256];  // by item
    uint8_t value[16];
};

// The same for encoding, where a symbol of frequency f has its slots, by rank, from slot[start] on; from start + f on
// each once more, with 4096 added, for a quotient that is one too small and its rank.
struct RansEncodeTable {
    uint64_t symbol[256];         // of each that occurs: floor(2^32 / f), 2^32 - 1 where f is 1 | f << 32 | start << 48
    uint16_t slot[2 * 4096 + 2];  // the last two are 0
};

// What the next bits of a Huffman stream mean: docs/format.md, section 5. `bits` bits are the index; an entry's bytes
// are, the lowest first: the bits that its code words take in all, their number, 1 to `most` (not where that is 1), and
// their symbols in order.
struct HuffmanTable {
    unsigned most;  // 1, 2 or 6 symbols an entry
    unsigned bits;  // 11 where `most` is 6, 12 where it is 2; 11 or 12 where it is 1
    union {
        uint64_t six[2048];
        uint32_t two[4096];
        uint16_t one[4096];
    };
    uint8_t length[256];  // of each symbol's code word
};

// One bit stream on its way: `in` is the byte of the next bit, of which `shift` bits (0..7) are used already.
struct HuffmanStream {
    const uint8_t* in;
    const uint8_t* in_end;
    uint8_t* out;
    uint8_t* out_end;
    unsigned shift;
};

// Codes of 9 to 16 bits as byte symbols and raw bits: docs/format.md, "Wide codes". Of each symbol that may occur: the
// least u it stands for, and ones in the low bits that are raw.
struct WideTable {
    uint16_t base[256];
    uint16_t raw[256];
    uint16_t middle;  // the code whose u is 0
    uint16_t most;    // 2^bits - 1
    unsigned split;   // 1..3: each power of two from 128 up has 2^split symbols
};

struct Kernels {
    Isa isa;
#define BP_KERNEL(name, result, parameters) result(*name) parameters noexcept;
#include "kernels/kernels.def"
#undef BP_KERNEL
};

// Whether products of bytes by gemm_codes_s8 are faster than those of 16 bits by gemm_s16, which give the same sums.
inline bool multiplies_codes(const Kernels& table) noexcept { return table.isa == Isa::avx512vnni; }

// Whether panel_dots_u8s8 is faster for a row or a few than spread_panel_u8 and gemm_u8s8, which give the same sums.
inline bool multiplies_panels(const Kernels& table) noexcept { return table.isa == Isa::avx512vnni; }

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
namespace avx512 {
void fill(Kernels& table) noexcept;
}
namespace avx512vnni {
void fill(Kernels& table) noexcept;
}
namespace neon {
void fill(Kernels& table) noexcept;
}
namespace dotprod {
void fill(Kernels& table) noexcept;
}

}  // namespace bitpress
