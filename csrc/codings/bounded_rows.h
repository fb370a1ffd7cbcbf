// The values of one chunk of a bounded frame, row after row, and what stands around each.
#pragma once

#include "codings/bounded_model.h"

namespace bitpress::bounded {

inline constexpr std::size_t block = 256;  // elements that are coded at a time

class Values {
  public:
    // values: an i32 an element, without gaps; first_row: of the chunk's rows in the array.
    Values(const std::uint8_t* values, std::size_t row, std::uint64_t plane, std::uint64_t first_row) noexcept
        : values_(values), row_(row), plane_(plane), first_(first_row) {}

    std::int32_t operator[](std::size_t e) const noexcept {
        std::int32_t value;
        std::memcpy(&value, values_ + 4 * e, sizeof value);
        return value;
    }

    // The numbers of the rows around one: a row that is not there is replaced by the nearest that is. Where there is
    // none at all, all count as zeros.
    struct Around {
        bool any, has_p;
        std::size_t n, nn, p, pn;
    };
    // The same with the numbers of their first elements, and what stands before those.
    struct Near {
        bool any, has_p;
        std::size_t n, nn, p, pn;
        std::int32_t left, n_left, p_left, pn_left;
        Around rows;
    };
    Near neighbours(std::size_t r) const noexcept {
        const Around rows = around(r);
        if (!rows.any) return {};
        return {true,
                rows.has_p,
                rows.n * row_,
                rows.nn * row_,
                rows.p * row_,
                rows.pn * row_,
                (*this)[rows.n * row_],
                left(rows.n),
                left(rows.p),
                left(rows.pn),
                rows};
    }

    // What stands around column j of a row of `count` elements.
    Far far(const Near& near, std::size_t j, std::size_t count) const noexcept {
        if (!near.any) return {};
        return j == 0 || j + 1 == count ? far_of<true>(near, j, count) : far_of<false>(near, j, count);
    }
    // far_sum of n elements, at least one, from column j on.
    void far_sums(const Predictor& model, const Near& near, std::size_t j, std::size_t n, std::size_t count,
                  std::int64_t* sums) const noexcept {
        if (!near.any) {
            for (std::size_t k = 0; k < n; ++k) sums[k] = far_sum(model, {});
            return;
        }
        sums[0] = far_sum(model, far(near, j, count));
        for (std::size_t k = 1; k + 1 < n; ++k) sums[k] = far_sum(model, far_of<false>(near, j + k, count));
        sums[n - 1] = far_sum(model, far(near, j + n - 1, count));
    }

  private:
    Around around(std::size_t r) const noexcept {
        // NOLINTNEXTLINE(clang-analyzer-core.DivideZero): where there are elements, there are rows and planes of some
        const std::uint64_t in_plane = (first_ + r) % plane_;
        const bool has_n = r >= 1 && in_plane >= 1;
        const bool has_nn = r >= 2 && in_plane >= 2;
        const bool has_p = r >= plane_;
        if (!has_n && !has_p) return {};
        const std::size_t p = has_p ? r - static_cast<std::size_t>(plane_) : r - 1;
        const std::size_t n = has_n ? r - 1 : p;
        return {true, has_p, n, has_nn ? r - 2 : n, p, has_p && has_n && r - 1 >= plane_ ? p - 1 : p};
    }
    // What stands before the first element of row r.
    std::int32_t left(std::size_t r) const noexcept {
        const Around rows = around(r);
        return rows.any ? (*this)[rows.n * row_] : 0;
    }
    template <bool at_edge>
    Far far_of(const Near& near, std::size_t j, std::size_t count) const noexcept {
        const Values& v = *this;
        const bool first = at_edge && j == 0;
        const std::size_t east = at_edge && j + 1 == count ? j : j + 1;
        return {v[near.n + j],
                v[near.nn + j],
                first ? near.n_left : v[near.n + j - 1],
                v[near.n + east],
                v[near.p + j],
                first ? near.p_left : v[near.p + j - 1],
                v[near.pn + j],
                first ? near.pn_left : v[near.pn + j - 1]};
    }

    const std::uint8_t* values_;
    std::size_t row_;
    std::uint64_t plane_;
    std::uint64_t first_;
};

// Fits the taps to the values of `rows` rows of `row` elements by least squares over a sample, and takes the best of
// that and fixed predictions.
void fit(const Values& values, std::size_t row, std::size_t rows, Predictor* model) noexcept;

}  // namespace bitpress::bounded
