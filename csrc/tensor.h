// How one tensor is held: its scheme, its streams, and the loops that pack and unpack it.
#pragma once

#include "bytes.h"
#include "status.h"

namespace bitpress {

// Numbers are the file format's (docs/format.md, "Element types"): append, never renumber.
enum class Dtype : std::uint8_t {
    boolean = 0,
    u8,
    i8,
    f8_e5m2,
    f8_e4m3,
    i16,
    u16,
    f16,
    bf16,
    i32,
    u32,
    f32,
    i64,
    u64,
    f64,
    f8_e8m0,
    f4,
    f6_e2m3,
    f6_e3m2,
    c64,
};
inline constexpr int dtype_count = 20;
// Bits an element takes, or 0 for an unknown dtype.
unsigned dtype_bits(Dtype dtype) noexcept;

enum class Structure : std::uint8_t { dense = 0, bitmap = 1, nm = 2, block = 3 };
enum class Values : std::uint8_t {
    keep = 0,
    integer = 3,
    codebook = 4 /* reserved: f16 = 1, bf16 = 2; 5: StoredTensor::bounded */
};
enum class Granularity : std::uint8_t { tensor = 0, axis = 1, group = 2 };
// What a stream holds. `data` is raw elements (all of them, or a bitmap's survivors).
enum class Role : std::uint8_t {
    data = 0,
    codes = 1,
    mask = 2,
    scales = 3,
    zeros = 4,
    codebook = 5 /* reserved: table = 6 */
};
inline constexpr int role_count = 6;
inline constexpr unsigned max_rank = 8;

struct Scheme {
    Structure structure = Structure::dense;
    Values values = Values::keep;
    std::uint8_t bits = 0;  // 1..16 for integer values, 1..8 for a codebook, else 0
    bool affine = false;
    Granularity granularity = Granularity::tensor;
    std::uint8_t axis = 0;         // for Granularity::axis
    std::uint32_t group_size = 0;  // for Granularity::group
    std::uint8_t vector = 0;       // elements that a code of a codebook stands for, 1..8; else 0
    std::uint16_t pattern[2] =
        {};  // nm: N and M, 1 <= N < M <= 16; block: rows and columns of 2..4096 elements; else 0
};
inline constexpr unsigned max_group = 16;
inline constexpr unsigned max_block = 4096;  // elements: bounds what one bit of a mask may claim
// Whether some elements may not be stored: the stream `mask` tells which are.
inline bool is_sparse(const Scheme& scheme) noexcept { return scheme.structure != Structure::dense; }
// How many consecutive elements one code stands for: 1 but for a codebook of vectors.
inline std::uint64_t elements_a_code(const Scheme& scheme) noexcept { return scheme.vector > 1 ? scheme.vector : 1; }

struct Shape {
    unsigned rank = 0;
    std::uint64_t dims[max_rank] = {};
};
// Product of the dims (1 for rank 0); too_large where it does not fit 63 bits.
Status element_count(const Shape& shape, std::uint64_t* count) noexcept;

// Scales are shared by runs of consecutive elements (row-major): run r covers `run` elements and uses scale
// r % scales. Per tensor: one run. Per axis k: run = product of the dims after k, scales = dims[k]. Per group: the
// tensor is rows x columns (dims[0] x the rest; a vector is one row), each row is cut into groups of group_size
// columns, the last may be short; then row is its length and run the group size. A codebook per tensor has no scales in
// its streams: its entries are the values.
struct Grid {
    std::uint64_t count = 0;  // elements
    std::uint64_t row = 0;    // elements a row: a run never crosses the end of a row
    std::uint64_t run = 0;    // elements a run
    std::uint64_t runs_per_row = 0;
    std::uint64_t scales = 0;  // how many scales there are; 0 where there are no elements
};
// bad_argument where the scheme is none or does not fit the shape (axis >= rank, group size 0).
Status make_grid(const Shape& shape, const Scheme& scheme, Grid* grid) noexcept;

// The exact length of each stream, by role, of a tensor of which `stored` elements are stored (all of them where
// dense, N of every M of nm). unsupported where the dtype cannot have such values (integer and codebook: f16, bf16,
// f32, f64; sparse ones kept: whole bytes an element), or the number of elements is none that a codebook's vectors or
// the groups of nm divide.
Status stream_sizes(Dtype dtype, const Shape& shape, const Scheme& scheme, std::uint64_t stored,
                    std::uint64_t (&bytes)[role_count]) noexcept;

// Integer codes of more than 8 bits are *wide*: two bytes each where they are not packed, and so are their zeros.
inline constexpr unsigned max_bits = 16;
inline constexpr bool is_wide(unsigned bits) noexcept { return bits > 8; }

// zero of symmetric codes: the middle code, or 1/2 for one bit.
inline float symmetric_zero(unsigned bits) noexcept { return bits == 1 ? 0.5F : static_cast<float>(1U << (bits - 1U)); }

// How the codes of a matrix stand (docs/format.md, "Panels"): in the order of the elements, or in panels of outputs,
// which are its rows or its columns.
enum class Order : std::uint8_t { elements, row_panels, column_panels };

// A tensor whose streams have been decoded (no coding left). Streams need no alignment.
struct TensorView {
    Dtype dtype = Dtype::f32;
    Shape shape;
    Scheme scheme;
    Bytes streams[role_count];
    Order order = Order::elements;  // of its codes
    Bytes stream(Role role) const noexcept { return streams[static_cast<int>(role)]; }
};

// Everything that must hold of a view before a kernel may touch it: known scheme, streams of the exact length that
// shape and scheme imply, mask population equal to the survivors. Call once; the functions below rely on it.
Status validate(const TensorView& view) noexcept;

// How many of the elements first..first+count-1, a range inside the tensor, are stored.
std::uint64_t survivors_between(const TensorView& view, std::uint64_t first, std::uint64_t count) noexcept;

// Elements first..first+out.size()-1 as float. Integer values, codebooks and f32/f16/bf16 keep only. Of a sparse
// tensor, survivors_before is how many elements before `first` are stored (0 for first == 0); it is advanced to the end
// of the range.
Status unpack_range(const TensorView& view, std::uint64_t first, std::span<float> out,
                    std::uint64_t* survivors_before) noexcept;

// Codes first..first+out.size()-1 of a view with integer values or a codebook, one an element (or vector); 0 where a
// bitmap holds none. Wide codes need wide room; narrow codes, bytes.
Status unpack_codes(const TensorView& view, std::uint64_t first, MutableBytes out,
                    std::uint64_t* survivors_before) noexcept;
Status unpack_codes(const TensorView& view, std::uint64_t first, std::span<std::uint16_t> out,
                    std::uint64_t* survivors_before) noexcept;
// All elements of a view with Values::keep, as bytes of its dtype. out has the dense length.
Status unpack_keep(const TensorView& view, MutableBytes out) noexcept;

// Elements that a bitmap of elements kept as they are stores: those with a byte that is not 0. element_bytes: 1, 2, 4
// or 8, of which data holds a whole number.
std::uint64_t count_survivors(Bytes data, unsigned element_bytes) noexcept;
// How many elements of `values` are stored: all of them where dense; of a sparse scheme those that are not +-0, and
// what N:M and blocks hold beside them. The scheme fits the shape.
std::uint64_t count_survivors(std::span<const float> values, const Shape& shape, const Scheme& scheme) noexcept;

// Integer values of all elements of `values`. `ranges` is workspace, 2 * grid.scales floats. `streams` have the lengths
// that stream_sizes gives. not_finite: NaN or infinity. too_large: a magnitude whose scale * 2^bits overflows float32.
// bad_argument: more than N of M elements are not zero.
Status pack(std::span<const float> values, const Shape& shape, const Scheme& scheme, std::span<float> ranges,
            const MutableBytes (&streams)[role_count]) noexcept;
// A bitmap of elements kept as they are; `survivors` and `mask` have the lengths that stream_sizes gives.
Status pack_keep(Bytes data, unsigned element_bytes, MutableBytes survivors, MutableBytes mask) noexcept;

}  // namespace bitpress
