// Rate-aware rounding with error feedback: the loop of python/bitpress/methods/rate.py, where its terms are defined.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <vector>

#include "bind/bind.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Codes = py::array_t<std::int16_t, py::array::c_style>;

void need(bool condition) {
    if (!condition) throw py::value_error("array sizes do not fit each other");
}

// A matrix of weights, column after column; the rest is by column or by row.
struct Problem {
    std::size_t columns;
    std::size_t rows;
    const float* weights;        // [columns, rows]
    const float* column_factor;  // [columns, columns], row l: what a unit of error of column l adds to each later one
    const float* row_factor;     // [rows, rows], the same for rows; or null
    const float* column_step;    // [columns]
    const float* row_step;       // [rows]
    const float* column_cost;    // [columns]
    const float* row_cost;       // [rows]: a squared error costs column_cost * row_cost
    const float* prices;         // [2 * most + 1]: what each code costs
    int most;                    // codes are -most .. most
};

// The code for a target in steps; `weight` is what one step squared costs.
inline int pick(float target, float weight, const float* prices, int most) noexcept {
    const float bound = static_cast<float>(most);
    const int nearest = static_cast<int>(std::nearbyint(std::clamp(target, -bound, bound)));
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

void round_all(const Problem& p, std::int16_t* codes) {
    std::vector<float> moved(p.columns * p.rows, 0.0F);  // what the errors of earlier columns ask of each weight
    std::vector<float> carried(p.rows, 0.0F);            // what those of earlier rows ask of this column's
    std::vector<float> errors(p.rows);
    for (std::size_t j = 0; j < p.columns; ++j) {
        const float* exact = p.weights + j * p.rows;
        const float* before = moved.data() + j * p.rows;
        std::fill(carried.begin(), carried.end(), 0.0F);
        for (std::size_t i = 0; i < p.rows; ++i) {
            const float step = p.column_step[j] * p.row_step[i];
            const float own = exact[i] + before[i];
            const float weight = p.column_cost[j] * p.row_cost[i] * step * step;
            const int code = pick((own + carried[i]) / step, weight, p.prices, p.most);
            const float value = step * static_cast<float>(code);
            codes[j * p.rows + i] = static_cast<std::int16_t>(code);
            errors[i] = exact[i] - value;
            if (p.row_factor == nullptr) continue;
            const float* factor = p.row_factor + i * p.rows;
            const float left = own - value;
            for (std::size_t k = i + 1; k < p.rows; ++k) carried[k] += factor[k] * left;
        }
        const float* factor = p.column_factor + j * p.columns;
        for (std::size_t l = j + 1; l < p.columns; ++l) {
            if (factor[l] == 0.0F) continue;
            float* to = moved.data() + l * p.rows;
            for (std::size_t i = 0; i < p.rows; ++i) to[i] += factor[l] * errors[i];
        }
    }
}

bool has_shape(const Floats& array, std::initializer_list<py::ssize_t> shape) {
    return array.ndim() == static_cast<py::ssize_t>(shape.size()) &&
           std::equal(shape.begin(), shape.end(), array.shape());
}

Codes rate_round(const Floats& weights, const Floats& column_factor, const std::optional<Floats>& row_factor,
                 const Floats& column_step, const Floats& row_step, const Floats& column_cost, const Floats& row_cost,
                 const Floats& prices) {
    need(weights.ndim() == 3 && prices.ndim() == 1 && prices.size() % 2 == 1 && prices.size() < 65536);
    const py::ssize_t groups = weights.shape(0);
    const py::ssize_t columns = weights.shape(1);
    const py::ssize_t rows = weights.shape(2);
    need(has_shape(column_factor, {groups, columns, columns}) && has_shape(column_step, {groups, columns}) &&
         has_shape(row_step, {groups, rows}) && has_shape(column_cost, {groups, columns}) &&
         has_shape(row_cost, {groups, rows}) && (!row_factor || has_shape(*row_factor, {groups, rows, rows})));
    Codes codes({groups, columns, rows});
    std::int16_t* out = codes.mutable_data();
    const py::gil_scoped_release unlocked;
    for (py::ssize_t g = 0; g < groups; ++g) {
        const Problem problem{static_cast<std::size_t>(columns),
                              static_cast<std::size_t>(rows),
                              weights.data() + g * columns * rows,
                              column_factor.data() + g * columns * columns,
                              row_factor ? row_factor->data() + g * rows * rows : nullptr,
                              column_step.data() + g * columns,
                              row_step.data() + g * rows,
                              column_cost.data() + g * columns,
                              row_cost.data() + g * rows,
                              prices.data(),
                              static_cast<int>(prices.size() / 2)};
        round_all(problem, out + g * columns * rows);
    }
    return codes;
}

}  // namespace

void register_rounding(py::module_& module) {
    module.def("rate_round", &rate_round, py::arg("weights"), py::arg("column_factor"), py::arg("row_factor"),
               py::arg("column_step"), py::arg("row_step"), py::arg("column_cost"), py::arg("row_cost"),
               py::arg("prices"), "Codes [groups, columns, rows].");
}

}  // namespace bitpress::bind
