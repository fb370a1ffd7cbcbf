// Any streams as a tensor of any scheme: refused, or every element is finite where it must be and the same in any cut.
#include "codings_fuzz.h"
#include "tensor.h"

namespace {

using namespace bitpress;
using fuzz::Memory;
using fuzz::require;

constexpr std::uint64_t most_elements = 1 << 16;

// Reads the description of a tensor off the front of the input.
struct Input {
    Bytes data;
    std::uint8_t byte() {
        if (data.empty()) return 0;
        const std::uint8_t first = data[0];
        data = data.subspan(1);
        return first;
    }
    std::uint64_t dim() {
        const std::uint8_t first = byte();
        if (first < 0xF0) return first % 40;
        return std::uint64_t{1} << (first % 16 * 4);  // some that cannot be
    }
};

TensorView described(Input& in) {
    TensorView view;
    view.dtype = static_cast<Dtype>(in.byte() % 22);
    view.shape.rank = in.byte() % 5;
    if (in.byte() == 255) view.shape.rank = max_rank + 1;
    for (unsigned k = 0; k < view.shape.rank && k < max_rank; ++k) view.shape.dims[k] = in.dim();
    const std::uint8_t kinds = in.byte();
    view.scheme.structure = static_cast<Structure>(kinds % 16 == 15 ? 4 : (kinds & 1) == 0 ? 0 : 1 + in.byte() % 3);
    if (view.scheme.structure >= Structure::nm) {
        for (std::uint16_t& number : view.scheme.pattern) number = in.byte() % 18;
    }
    view.scheme.values = (kinds & 2) == 0 ? Values::keep : (kinds & 32) != 0 ? Values::codebook : Values::integer;
    view.scheme.granularity = static_cast<Granularity>(kinds >> 2 & 3);
    view.scheme.affine = (kinds & 16) != 0;
    view.scheme.bits = view.scheme.values != Values::keep ? in.byte() % 18 : 0;
    if (view.scheme.values == Values::codebook) {
        view.scheme.vector = in.byte() % 9;
        if (view.scheme.bits > 9) view.scheme.bits -= 8;
    }
    if (view.shape.rank == 2 && kinds >= 64) {  // some that are no whole panels
        view.order = static_cast<Order>(kinds >> 6 & 3) == Order::row_panels ? Order::row_panels : Order::column_panels;
        for (unsigned k = 0; k < 2; ++k) view.shape.dims[k] = view.shape.dims[k] / 2 % 4 * 16 + view.shape.dims[k] / 39;
    }
    if (view.scheme.granularity == Granularity::axis) view.scheme.axis = in.byte() % 6;
    if (view.scheme.granularity == Granularity::group) view.scheme.group_size = in.byte();
    return view;
}

// Streams of the right lengths (or one byte off) filled from the rest of the input, on the heap, exact.
struct Streams {
    Streams(TensorView& view, Input& in) {
        std::uint64_t count = 0;
        std::uint64_t bytes[role_count] = {};
        if (element_count(view.shape, &count) != Status::ok || count > 3000) count = 0;
        const bool sparse = is_sparse(view.scheme);
        std::uint64_t stored = sparse ? count * (in.byte() & 15) / 15 : count;
        if (view.scheme.structure == Structure::nm && view.scheme.pattern[1] != 0) {
            stored = count / view.scheme.pattern[1] * view.scheme.pattern[0];
        }
        if (stream_sizes(view.dtype, view.shape, view.scheme, stored, bytes) != Status::ok) {
            for (std::uint64_t& b : bytes) b = in.byte() % 16;
        }
        const std::uint8_t off = in.byte();
        for (int role = 0; role < role_count; ++role) {
            if (off == role + 1) ++bytes[role];
            if (off == role + 9 && bytes[role] > 0) --bytes[role];
            if (bytes[role] > (1U << 18)) bytes[role] = 1U << 18;
            held[role] = new Memory(static_cast<std::size_t>(bytes[role]), 0);
            fill(view, role, sparse ? stored : 0, in);
            view.streams[role] = held[role]->span();
        }
    }
    ~Streams() {
        for (Memory* memory : held) delete memory;
    }
    Streams(const Streams&) = delete;
    Streams& operator=(const Streams&) = delete;

    void fill(const TensorView& view, int role, std::uint64_t stored, Input& in) {
        const MutableBytes out = held[role]->span();
        if (role == static_cast<int>(Role::mask)) {  // as many bits as were said, from the front, then a few changed
            if (view.scheme.structure == Structure::nm) {
                for (std::uint8_t& byte : out) byte = in.byte();
                return;
            }
            for (std::uint64_t i = 0; i < stored && i / 8 < out.size(); ++i) out[i / 8] |= 1U << i % 8;
            for (int swaps = in.byte() % 8; swaps > 0 && !out.empty(); --swaps) {
                const std::size_t a = in.byte() % out.size();
                const std::size_t b = in.byte() % out.size();
                const std::uint8_t old = out[a];
                out[a] = out[b];
                out[b] = old;
            }
        } else if (role == static_cast<int>(Role::scales) || role == static_cast<int>(Role::codebook)) {
            for (std::size_t i = 0; i + 4 <= out.size(); i += 4) {
                const std::uint8_t kind = in.byte();
                store_le(out.data() + i, kind < 250 ? static_cast<float>(kind + 1) / 64.0F : load_le<float>(noise(in)));
            }
        } else {
            const std::uint8_t limit = role == static_cast<int>(Role::zeros) ? 1U << (view.scheme.bits & 7) : 0;
            for (std::uint8_t& byte : out) byte = limit != 0 ? in.byte() % limit : in.byte();
        }
    }
    const std::uint8_t* noise(Input& in) {
        for (std::uint8_t& b : bits) b = in.byte();
        return bits;
    }

    Memory* held[role_count] = {};
    std::uint8_t bits[4] = {};
};

void check(const TensorView& view, std::size_t cut) {
    std::uint64_t count = 0;
    require(element_count(view.shape, &count) == Status::ok, "valid, but of no size");
    if (count > most_elements) return;  // a mask's bit may stand for 4096 of them
    const std::size_t n = static_cast<std::size_t>(count);
    cut += n / 16;  // few parts, for speed
    const bool has_codes = view.scheme.values != Values::keep;
    std::unique_ptr<float[]> whole(new float[n]), parts(new float[n]);
    std::uint64_t survivors = 0;
    const Status status = unpack_range(view, 0, {whole.get(), n}, &survivors);
    if (has_codes) require(status == Status::ok, "valid, but not unpacked");
    if (status == Status::ok && n > 0) {
        std::uint64_t before = 0;
        for (std::size_t i = 0; i < n; i += cut) {
            const std::size_t m = n - i < cut ? n - i : cut;
            require(unpack_range(view, i, {parts.get() + i, m}, &before) == Status::ok, "a part fails");
        }
        require(before == survivors, "parts hold other survivors");
        require(std::memcmp(whole.get(), parts.get(), n * sizeof(float)) == 0, "parts differ");
        for (std::size_t i = 0; has_codes && i < n; ++i) require(whole[i] - whole[i] == 0.0F, "a value is not finite");
    }
    require(unpack_range(view, count, {whole.get(), 1}, &survivors) == Status::bad_argument || n == 0, "past the end");
    if (has_codes) {
        std::unique_ptr<std::uint16_t[]> wide(new std::uint16_t[n]);
        const std::size_t count_of_codes = n / static_cast<std::size_t>(elements_a_code(view.scheme));
        const Memory codes(count_of_codes, 0);
        std::uint64_t before = 0;
        const bool is = is_wide(view.scheme.bits);
        const Status status_of_codes =
            is ? unpack_codes(view, 0, std::span<std::uint16_t>(wide.get(), count_of_codes), &before)
               : unpack_codes(view, 0, codes.span(), &before);
        require(status_of_codes == Status::ok, "no codes");
        for (std::size_t i = 0; i < count_of_codes; ++i) {
            require((is ? wide[i] : codes.span()[i]) >> view.scheme.bits == 0, "a code is too large");
        }
    } else {
        const Memory out(static_cast<std::size_t>(packed_bytes(count, dtype_bits(view.dtype))), 0xFF);
        require(unpack_keep(view, out.span()) == Status::ok, "not kept");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input in{{data, size}};
    TensorView view = described(in);
    const std::size_t cut = 1 + in.byte();
    const Streams streams(view, in);
    if (validate(view) == Status::ok) check(view, cut);
    return 0;
}
