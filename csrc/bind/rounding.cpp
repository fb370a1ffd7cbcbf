// Rate-aware rounding as Python sees it.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <vector>

#include "bind/bind.h"
#include "tensor/rate.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Codes = py::array_t<std::int16_t, py::array::c_style>;

void need(bool condition) {
    if (!condition) throw py::value_error("array sizes do not fit each other");
}

bool has_shape(const Floats& array, std::initializer_list<py::ssize_t> shape) {
    return array.ndim() == static_cast<py::ssize_t>(shape.size()) &&
           std::equal(shape.begin(), shape.end(), array.shape());
}

Codes round_by_rate(const Floats& weights, const Floats& factor, const Floats& cost, const Floats& prices,
                    const Floats& row_cost, const std::optional<Floats>& row_factor) {
    need(weights.ndim() == 3 && prices.ndim() == 1 && prices.size() % 2 == 1 && prices.size() < 65536);
    const py::ssize_t groups = weights.shape(0);
    const py::ssize_t columns = weights.shape(1);
    const py::ssize_t rows = weights.shape(2);
    need(has_shape(factor, {groups, columns, columns}) && has_shape(cost, {groups, columns}));
    need(has_shape(row_cost, {groups, rows}) && (!row_factor || has_shape(*row_factor, {groups, rows, rows})));
    Codes codes({groups, columns, rows});
    std::int16_t* out = codes.mutable_data();
    RateProblem problem;
    problem.columns = static_cast<std::size_t>(columns);
    problem.rows = static_cast<std::size_t>(rows);
    problem.prices = prices.data();
    problem.most = static_cast<int>(prices.size() / 2);
    std::uint64_t floats = 0;
    raise_for(rate_workspace(problem, &floats), "rate-aware rounding");
    std::vector<float> workspace(static_cast<std::size_t>(floats));
    const py::gil_scoped_release unlocked;
    for (py::ssize_t g = 0; g < groups; ++g) {
        problem.weights = weights.data() + g * columns * rows;
        problem.factor = factor.data() + g * columns * columns;
        problem.cost = cost.data() + g * columns;
        problem.row_cost = row_cost.data() + g * rows;
        problem.row_factor = row_factor ? row_factor->data() + g * rows * rows : nullptr;
        rate_round(problem, workspace, out + g * columns * rows);
    }
    return codes;
}

}  // namespace

void register_rounding(py::module_& module) {
    module.def("rate_round", &round_by_rate, py::arg("weights"), py::arg("factor"), py::arg("cost"), py::arg("prices"),
               py::arg("row_cost"), py::arg("row_factor") = py::none(), "Codes [groups, columns, rows].");
}

}  // namespace bitpress::bind
