#include "tensor/rate.h"

#include <math.h>

namespace bitpress {
namespace {

// The code for a target; `weight` is what an error of 1 costs.
int pick(float target, float weight, const float* prices, int most) noexcept {
    const auto bound = static_cast<float>(most);
    const float inside = target >= bound ? bound : target > -bound ? target : -bound;
    const int nearest = static_cast<int>(nearbyintf(inside));
    const auto cost = [&](int code) {
        const float error = target - static_cast<float>(code);
        return error * error * weight + prices[code + most];
    };
    int best = nearest;
    float least = cost(best);
    if (nearest == 0) return best;
    const int less = nearest > 0 ? nearest - 1 : nearest + 1;
    if (const float c = cost(less); c < least) {
        best = less;
        least = c;
    }
    return cost(0) < least ? 0 : best;
}

// A column whose rows make each other's errors good: of E, S^T E R with unit S = `row_factor` holds what is to be
// small. `errors` [rows] gets this column's; `asked` [rows] is scratch.
void round_linked(const RateProblem& p, const float* exact, const float* before, float cost, float* asked,
                  float* errors, std::int16_t* codes) noexcept {
    for (std::size_t i = 0; i < p.rows; ++i) asked[i] = before[i];
    for (std::size_t i = 0; i < p.rows; ++i) {
        const int code = pick(exact[i] + asked[i], cost * p.row_cost[i], p.prices, p.most);
        codes[i] = static_cast<std::int16_t>(code);
        errors[i] = exact[i] - static_cast<float>(code);
        const float all = before[i] + errors[i];
        const float* factor = p.row_factor + i * p.rows;
        for (std::size_t k = i + 1; k < p.rows; ++k) asked[k] += factor[k] * all;
    }
}

}  // namespace

Status rate_workspace(const RateProblem& problem, std::uint64_t* floats) noexcept {
    std::uint64_t weights = 0;
    std::uint64_t rows = 0;
    if (!checked_mul(problem.columns, problem.rows, &weights)) return Status::too_large;
    if (!checked_mul(problem.rows, 2, &rows)) return Status::too_large;
    return checked_add(weights, rows, floats) ? Status::ok : Status::too_large;
}

void rate_round(const RateProblem& p, std::span<float> workspace, std::int16_t* codes) noexcept {
    float* moved = workspace.data();             // [columns, rows]: what errors of earlier columns ask of each weight
    float* errors = moved + p.columns * p.rows;  // [rows]
    float* asked = errors + p.rows;              // [rows]
    for (std::size_t i = 0; i < p.columns * p.rows; ++i) moved[i] = 0.0F;
    for (std::size_t j = 0; j < p.columns; ++j) {
        const float* exact = p.weights + j * p.rows;
        const float* before = moved + j * p.rows;
        if (p.row_factor != nullptr) {
            round_linked(p, exact, before, p.cost[j], asked, errors, codes + j * p.rows);
        } else {
            for (std::size_t i = 0; i < p.rows; ++i) {
                const int code = pick(exact[i] + before[i], p.cost[j] * p.row_cost[i], p.prices, p.most);
                codes[j * p.rows + i] = static_cast<std::int16_t>(code);
                errors[i] = exact[i] - static_cast<float>(code);
            }
        }
        const float* factor = p.factor + j * p.columns;
        for (std::size_t l = j + 1; l < p.columns; ++l) {
            if (factor[l] == 0.0F) continue;
            float* to = moved + l * p.rows;
            for (std::size_t i = 0; i < p.rows; ++i) to[i] += factor[l] * errors[i];
        }
    }
}

}  // namespace bitpress
