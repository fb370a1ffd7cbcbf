// Elements to whole numbers of steps, or of units in the last place.
#include <math.h>

#include "codings/bounded_encode.h"

namespace bitpress::bounded {
namespace {

template <class T>
bool within(T restored, T value, double limit) noexcept {
    return fabs(static_cast<double>(restored) - static_cast<double>(value)) < limit;
}

// Every element's integer, by quantize(where it stands, value, &whole) -> whether it restores within the bound. An
// element that does not is an exception, and takes the integer before it: that is cheap to predict.
template <class T, class Quantize>
void quantize_rows(Work* work, const Quantize& quantize) noexcept {
    std::int32_t* const out = work->whole();
    std::memset(work->classes(), 0, work->elements);
    for (std::size_t r = 0; r < work->rows(); ++r) {
        const std::size_t start = r * work->row;
        const std::uint8_t* const in = work->values.data() + start * sizeof(T);
        std::int32_t last = r == 0 ? 0 : out[start - work->row];
        for (std::size_t j = 0; j < work->count(r); ++j) {
            std::int32_t whole = 0;
            if (quantize(in + j * sizeof(T), load_float<T>(in + j * sizeof(T)), &whole)) {
                last = whole;
            } else {
                work->classes()[start + j] = exception;
                ++work->exceptions;
            }
            out[start + j] = last;
        }
    }
}

template <class T>
void quantize_absolute(Work* work) noexcept {
    const double inverse = 1.0 / work->restore.step;
    quantize_rows<T>(work, [&](const std::uint8_t*, T value, std::int32_t* whole) noexcept {
        const double scaled = static_cast<double>(value) * inverse;
        if (!(fabs(scaled) < most_value)) return false;
        *whole = static_cast<std::int32_t>(scaled + (scaled < 0 ? -0.5 : 0.5));
        return within(work->restore.absolute<T>(*whole), value, work->limit);
    });
}

// The grid number of a value's magnitude: 0 for zero, and for what is nearest to zero.
template <class T>
std::uint64_t grid_number(const std::uint8_t* p, std::uint64_t grid) noexcept {
    using Int = typename FloatBits<T>::Int;
    constexpr Int no_sign = static_cast<Int>(~Int{0}) >> 1;
    return ((std::uint64_t{load_le<Int>(p)} & no_sign) + grid / 2) / grid;
}

template <class T>
void quantize_relative(Work* work) noexcept {
    const std::uint64_t grid = work->restore.grid;
    std::uint64_t least = ~std::uint64_t{0};
    for (std::size_t i = 0; i < work->elements; ++i) {
        const std::uint64_t number = grid_number<T>(work->values.data() + i * sizeof(T), grid);
        if (number != 0 && number < least) least = number;
    }
    work->restore.base = least == ~std::uint64_t{0} ? 0 : least - 1;
    quantize_rows<T>(work, [&](const std::uint8_t* p, T value, std::int32_t* whole) noexcept {
        const std::uint64_t number = grid_number<T>(p, grid);
        const std::uint64_t size = number == 0 ? 0 : number - work->restore.base;
        *whole = size < most_value ? static_cast<std::int32_t>(size) : 0;
        if (value < 0) *whole = -*whole;
        const double limit = work->limit * fabs(static_cast<double>(value));
        return value == 0 ? *whole == 0 : within(work->restore.relative<T>(*whole), value, limit);
    });
}

}  // namespace

void quantize(Work* work) noexcept {
    if (work->bound == Bound::absolute) {
        work->bytes == 4 ? quantize_absolute<float>(work) : quantize_absolute<double>(work);
    } else {
        work->bytes == 4 ? quantize_relative<float>(work) : quantize_relative<double>(work);
    }
}

}  // namespace bitpress::bounded
