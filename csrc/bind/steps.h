// What a profile says of a run's steps: when they began, and the bytes that they move.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <utility>
#include <vector>

#include "session.h"

namespace bitpress::bind {

// An observer that notes when each step of one run began.
class StepClock {
  public:
    explicit StepClock(std::size_t nodes) { marks_.reserve(nodes + 1); }  // so that note() allocates nothing
    static void note(void* self, std::uint32_t node) noexcept {
        static_cast<StepClock*>(self)->marks_.emplace_back(node, std::chrono::steady_clock::now());
    }
    // (node, nanoseconds from the run's begin, nanoseconds it took)
    pybind11::list steps() const {
        pybind11::list list;
        for (std::size_t i = 0; i + 1 < marks_.size(); ++i) {
            list.append(pybind11::make_tuple(marks_[i].first, nanoseconds(0, i), nanoseconds(i, i + 1)));
        }
        return list;
    }

  private:
    std::int64_t nanoseconds(std::size_t from, std::size_t to) const {
        const auto between = marks_[to].second - marks_[from].second;
        return std::chrono::duration_cast<std::chrono::nanoseconds>(between).count();
    }
    std::vector<std::pair<std::uint32_t, std::chrono::steady_clock::time_point>> marks_;
};

// Bytes that a node reads and writes: values, and stored tensors as they are held; of a table only rows.
inline std::uint64_t traffic(const Session& session, const GraphNode& node) noexcept {
    std::uint64_t bytes = 0;
    for (const std::uint32_t index : node.outputs) bytes += session.value(index).bytes;
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const std::uint32_t index = node.inputs[i];
        if (index == no_value) continue;
        const TensorView* stored = session.model().stored(index);
        if (stored == nullptr) {
            bytes += session.value(index).bytes;
        } else if (node.op == OpId::Gather && i == 0) {
            bytes += session.value(node.outputs[0]).bytes;
        } else {
            for (const Bytes& stream : stored->streams) bytes += stream.size();
        }
    }
    return bytes;
}

}  // namespace bitpress::bind
