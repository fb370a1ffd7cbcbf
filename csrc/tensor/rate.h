// Rate-aware rounding with error feedback: the loop of python/bitpress/methods/rate.py, where its terms are defined.
#pragma once

#include "bytes.h"
#include "status.h"

namespace bitpress {

// A matrix of weights in steps, column after column.
struct RateProblem {
    std::size_t columns = 0;
    std::size_t rows = 0;
    const float* weights = nullptr;  // [columns, rows]
    const float* factor =
        nullptr;                  // [columns, columns], row l: what a unit of error of column l adds to each later one
    const float* cost = nullptr;  // [columns]: of a squared error
    const float* row_factor = nullptr;  // [rows, rows], the same for rows; null: rows do not make errors good
    const float* row_cost = nullptr;    // [rows]: times `cost`
    const float* prices = nullptr;      // [2 * most + 1]: what each code costs
    int most = 0;                       // codes are -most .. most; at most 32767
};

// Floats of workspace that rate_round needs; too_large where 64 bits do not hold it.
Status rate_workspace(const RateProblem& problem, std::uint64_t* floats) noexcept;
// codes [columns, rows]. For each weight the nearest code, the next one toward zero, or zero: the one of least cost. A
// target that is NaN counts as -most. The same codes on every CPU.
void rate_round(const RateProblem& problem, std::span<float> workspace, std::int16_t* codes) noexcept;

}  // namespace bitpress
