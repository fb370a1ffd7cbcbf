// A Model and its last plan as Python sees them. The GIL is released while the core opens, plans and runs.
#include "session.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <string.h>

#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "bind/bind.h"
#include "bind/pool.h"
#include "bind/steps.h"

namespace py = pybind11;

namespace bitpress::bind {
namespace {

std::string text(std::span<const char> name) {
    // Names are checked to be UTF-8 nowhere in the graph: what is not becomes a replacement character.
    const auto decoded = py::reinterpret_steal<py::object>(
        PyUnicode_DecodeUTF8(name.data(), static_cast<py::ssize_t>(name.size()), "replace"));
    if (!decoded) throw py::error_already_set();
    return decoded.cast<std::string>();
}

// Uninitialized bytes; MemoryError where the system has none.
class Block {
  public:
    void reserve(std::uint64_t bytes, const std::string& what) {
        if (bytes <= size_) return;
        data_.reset(bytes > static_cast<std::uint64_t>(PTRDIFF_MAX) ? nullptr : new (std::nothrow) std::uint8_t[bytes]);
        size_ = data_ ? bytes : 0;
        if (data_) return;
        PyErr_SetString(PyExc_MemoryError, (what + " needs " + std::to_string(bytes) + " bytes").c_str());
        throw py::error_already_set();
    }
    MutableBytes bytes() const { return {data_.get(), size_}; }

  private:
    std::unique_ptr<std::uint8_t[]> data_;
    std::size_t size_ = 0;
};

using Array = py::array;  // row-major, of the input's type
using Shapes = std::vector<std::vector<std::int64_t>>;

class PySession {
  public:
    PySession(py::object file, bool check, std::string name, unsigned activations, int load, std::uint64_t memory_limit,
              unsigned threads)
        : name_(std::move(name)),
          activations_(static_cast<Activations>(activations % 3)),
          load_(static_cast<Load>(load)),
          memory_limit_(memory_limit),
          pool_(threads) {
        if (load < 0 || load > static_cast<int>(Load::unpack)) throw py::value_error("load must be 0 to 2");
        if (PyObject_GetBuffer(file.ptr(), &view_, PyBUF_C_CONTIGUOUS) != 0) throw py::error_already_set();
        try {
            open(check);
        } catch (...) {
            PyBuffer_Release(&view_);
            throw;
        }
    }
    ~PySession() { PyBuffer_Release(&view_); }
    PySession(const PySession&) = delete;
    PySession& operator=(const PySession&) = delete;

    py::list inputs() const {
        py::list list;
        for (const GraphValue& value : model_->graph().inputs()) list.append(describe(value));
        return list;
    }
    py::list outputs() const {
        py::list list;
        for (const std::uint32_t index : model_->graph().outputs())
            list.append(describe(model_->graph().values()[index]));
        return list;
    }

    py::list run(const std::vector<Array>& arrays, const Observer& told = {}) {
        const Guard guard(&busy_, name_);
        Progress progress{told};
        const Observer observer = {&progress, Progress::note};
        Shapes shapes;
        shapes.reserve(arrays.size());
        for (const Array& array : arrays) {
            if ((array.flags() & py::array::c_style) == 0) throw py::value_error("arrays must be row-major");
        }
        for (const Array& array : arrays) shapes.emplace_back(array.shape(), array.shape() + array.ndim());
        plan(shapes);
        std::vector<Bytes> in;
        in.reserve(arrays.size());
        for (const Array& array : arrays) {
            in.emplace_back(reinterpret_cast<const std::uint8_t*>(array.data()),
                            static_cast<std::size_t>(array.nbytes()));
        }
        std::vector<MutableBytes> out;
        py::list results;
        for (const std::uint32_t index : model_->graph().outputs()) {
            py::array result = make_array(session_->value(index));
            out.emplace_back(static_cast<std::uint8_t*>(result.mutable_data()),
                             static_cast<std::size_t>(result.nbytes()));
            results.append(std::move(result));
        }
        Status status;
        {
            const py::gil_scoped_release unlocked;
            status = session_->run(in, out, arena_.bytes(), pool_.workers(), observer);
        }
        if (status != Status::ok) {
            const std::uint32_t node = progress.node;
            raise_as(status, name_ + ": " + (node == no_value ? "" : node_text(node) + ": ") + message(status));
        }
        for (std::size_t i = 0; i < out.size(); ++i) {
            const std::uint32_t index = model_->graph().outputs()[i];
            if (session_->value(index).varying != 0) results[i] = shrunk(index, results[i]);
        }
        return results;
    }

    // `runs` runs, each as (node, nanoseconds from its begin, nanoseconds it took) of every step.
    py::list profile(const std::vector<Array>& arrays, unsigned runs) {
        py::list all;
        for (unsigned number = 0; number < runs; ++number) {
            StepClock clock(model_->graph().nodes().size());
            run(arrays, {&clock, StepClock::note});
            all.append(clock.steps());
        }
        return all;
    }

    // Of each node of the last plan: name, operator, bytes that it reads and writes, work, whether that is
    // multiply-adds of floats (1), 16-bit integers (2) or bytes (3), workers.
    py::list nodes() const {
        py::list list;
        const std::span<const GraphNode> all = model_->graph().nodes();
        for (std::uint32_t n = 0; n < all.size() && session_ != nullptr; ++n) {
            const Step& step = session_->step(n);
            list.append(py::make_tuple(text(all[n].name), operator_name(all[n].op), traffic(*session_, all[n]),
                                       step.work, static_cast<int>(step.products), step.parts));
        }
        return list;
    }

    // Those of the last plan; empty before there is one.
    const Shapes& shapes() const noexcept { return shapes_; }

    void plan_for(const Shapes& shapes) {
        const Guard guard(&busy_, name_);
        plan(shapes);
    }

    // file, weights, tile, arena, plan, total: bytes. tile and arena are the last plan's, 0 before there is one.
    py::dict memory() const {
        py::dict sizes;
        sizes["file"] = view_.len;
        sizes["weights"] = model_->weights().in_place + model_->weights().decoded;
        sizes["decoded"] = model_->weights().decoded;
        sizes["tile"] = session_ == nullptr ? 0 : session_->bytes().tile;
        sizes["arena"] = session_ == nullptr ? 0 : session_->bytes().arena;
        sizes["live"] = session_ == nullptr ? 0 : session_->bytes().live;
        sizes["plan"] = plan_memory_.bytes().size();
        sizes["total"] = resident() + plan_memory_.bytes().size() + arena_.bytes().size();
        return sizes;
    }

  private:
    // The step that runs, for what is said when it fails.
    struct Progress {
        Observer next;
        std::uint32_t node = no_value;
        static void note(void* self, std::uint32_t at) noexcept {
            auto* progress = static_cast<Progress*>(self);
            progress->node = at;
            if (progress->next.before != nullptr) progress->next.before(progress->next.self, at);
        }
    };

    // One thread at a time: the plan and the arena are shared.
    class Guard {
      public:
        Guard(std::atomic<bool>* busy, const std::string& name) : busy_(busy) {
            if (busy_->exchange(true)) {
                const py::object type = py::module_::import("bitpress.errors").attr("BitpressError");
                PyErr_SetString(type.ptr(),
                                (name + ": the session is in use by another thread; give each its own").c_str());
                throw py::error_already_set();
            }
        }
        ~Guard() { busy_->store(false); }
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;

      private:
        std::atomic<bool>* busy_;
    };

    void open(bool check) {
        const Bytes file = {static_cast<const std::uint8_t*>(view_.buf), static_cast<std::size_t>(view_.len)};
        std::uint64_t bytes = 0;
        Refusal refusal;
        Status status = Model::size(file, load_, &bytes, &refusal);
        if (status == Status::ok) {
            check_limit(bytes, "the weights need");
            model_memory_.reserve(bytes, name_);
            const py::gil_scoped_release unlocked;
            status =
                Model::open(file, check ? Check::full : Check::none, load_, model_memory_.bytes(), &model_, &refusal);
        }
        if (status == Status::ok) {
            check_limit(resident(), "the weights need");
            return;
        }
        std::string line = name_ + ": ";
        if (!refusal.name.empty()) line += "tensor '" + text(refusal.name) + "': ";
        raise(status, line + (*refusal.why != '\0' ? refusal.why : message(status)));
    }

    // Of a file that was opened: unsupported is a well-formed network that this build cannot run, bad_argument an
    // attribute of a node.
    [[noreturn]] static void raise(Status status, const std::string& line) {
        const char* type = status == Status::unsupported    ? "UnsupportedError"
                           : status == Status::bad_argument ? "FormatError"
                                                            : nullptr;
        if (type != nullptr) {
            PyErr_SetString(py::module_::import("bitpress.errors").attr(type).ptr(), line.c_str());
            throw py::error_already_set();
        }
        raise_as(status, line);
    }

    void plan(const Shapes& shapes) {
        if (session_ != nullptr && shapes == shapes_) return;
        session_ = nullptr;
        std::uint64_t bytes = 0;
        raise_for(Session::size(*model_, &bytes), name_);
        check_limit(resident() + bytes, "weights and plan need");  // each at most a few times the file's length
        plan_memory_.reserve(bytes, name_);
        std::vector<InputShape> inputs;
        inputs.reserve(shapes.size());
        for (const auto& shape : shapes) inputs.push_back({static_cast<unsigned>(shape.size()), shape.data()});
        const Session* planned = nullptr;
        std::uint32_t failed = no_value;
        Status status;
        {
            const py::gil_scoped_release unlocked;
            status =
                Session::plan(*model_, inputs, plan_memory_.bytes(), &planned, &failed, {activations_, pool_.count()});
        }
        if (status != Status::ok) {
            raise(status, name_ + ": " + (failed == no_value ? "" : node_text(failed) + ": ") +
                              (status == Status::bad_argument ? "an attribute is wrong" : message(status)));
        }
        std::uint64_t needed = resident() + bytes + planned->bytes().arena;  // the last at most 2^43
        for (const std::uint32_t index : model_->graph().outputs()) needed += planned->value(index).bytes;
        check_limit(needed, "weights, plan, arena and results need");
        arena_.reserve(planned->bytes().arena, name_ + ": the arena");
        session_ = planned;
        shapes_ = shapes;
    }

    // Weights where they are read, and what opening took.
    std::uint64_t resident() const noexcept { return model_memory_.bytes().size() + model_->weights().in_place; }

    void check_limit(std::uint64_t bytes, const char* what) const {
        if (bytes <= memory_limit_) return;
        const std::string line =
            name_ + ": " + what + " " + std::to_string(bytes) + " bytes, the limit is " + std::to_string(memory_limit_);
        PyErr_SetString(py::module_::import("bitpress.errors").attr("MemoryLimitError").ptr(), line.c_str());
        throw py::error_already_set();
    }

    std::string node_text(std::uint32_t index) const {
        const GraphNode& node = model_->graph().nodes()[index];
        return "node '" + text(node.name) + "' (" + operator_name(node.op) + ")";
    }

    static py::tuple describe(const GraphValue& value) {
        py::object shape = py::none();
        if (value.has_rank) {
            const py::tuple dims(value.dims.size());
            for (std::size_t d = 0; d < value.dims.size(); ++d) dims[d] = value.dims[d];
            shape = dims;
        }
        return py::make_tuple(text(value.name), static_cast<int>(value.dtype), shape);
    }

    // What a run found of an output whose shape varies: the front of the array that holds the largest.
    py::array shrunk(std::uint32_t index, const py::array& largest) const {
        PlannedValue found = session_->value(index);
        found.shape = session_->shape(index, arena_.bytes());
        py::array array = make_array(found);
        if (array.nbytes() > 0) memcpy(array.mutable_data(), largest.data(), static_cast<std::size_t>(array.nbytes()));
        return array;
    }

    static py::array make_array(const PlannedValue& value) {
        std::vector<py::ssize_t> shape;
        shape.reserve(value.shape.rank);
        for (unsigned d = 0; d < value.shape.rank; ++d) shape.push_back(static_cast<py::ssize_t>(value.shape.dims[d]));
        static constexpr const char* names[dtype_count] = {"?",  "u1", "i1", "",   "",   "i2", "u2", "", "", "i4",
                                                           "u4", "f4", "i8", "u8", "f8", "",   "",   "", "", ""};
        return py::array(py::dtype(names[static_cast<int>(value.dtype)]), shape);
    }

    std::string name_;
    Activations activations_;
    Load load_;
    std::uint64_t memory_limit_;
    Pool pool_;
    Py_buffer view_{};
    Block model_memory_;
    Block plan_memory_;
    Block arena_;
    const Model* model_ = nullptr;
    const Session* session_ = nullptr;
    Shapes shapes_;
    std::atomic<bool> busy_{false};
};

}  // namespace

void register_session(py::module_& module) {
    py::class_<PySession>(module, "Session")
        .def(py::init<py::object, bool, std::string, unsigned, int, std::uint64_t, unsigned>(), py::arg("file"),
             py::arg("check"), py::arg("name"), py::arg("activations"), py::arg("load"), py::arg("memory_limit"),
             py::arg("threads"))
        .def("inputs", &PySession::inputs)
        .def("outputs", &PySession::outputs)
        .def("plan", &PySession::plan_for, py::arg("shapes"))
        .def(
            "run", [](PySession& session, const std::vector<Array>& arrays) { return session.run(arrays); },
            py::arg("arrays"))
        .def("profile", &PySession::profile, py::arg("arrays"), py::arg("runs"))
        .def("nodes", &PySession::nodes)
        .def("shapes", &PySession::shapes)
        .def("memory", &PySession::memory);
    const py::dict operators;
#define BP_OP(name, number) operators[#name] = number;
#include "ops/ops.def"
#undef BP_OP
    module.add_object("OPERATORS", operators);
    const py::dict attributes;
#define BP_ATTRIBUTE(name, number, type) \
    attributes[#name] = py::make_tuple(number, static_cast<int>(AttributeType::type));
#include "ops/attributes.def"
#undef BP_ATTRIBUTE
    module.add_object("ATTRIBUTES", attributes);
}

}  // namespace bitpress::bind
