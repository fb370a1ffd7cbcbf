// Whoever runs the parts of one piece of work: threads of the caller's, or the caller alone. The core starts none.
#pragma once

#include <stddef.h>

#include "status.h"

namespace bitpress {

inline constexpr unsigned max_workers = 64;

struct Workers {
    using Task = void (*)(void* argument, unsigned part) noexcept;
    unsigned count = 1;  // 1..max_workers
    void* self = nullptr;
    // Calls task(argument, i) once for each i < parts, in any order or side by side, and returns when all have; null
    // where the caller works alone.
    void (*run)(void* self, unsigned parts, Task task, void* argument) noexcept = nullptr;
};

inline constexpr Workers one_worker;

// Calls part(i) for each i < parts, at most max_workers.
template <class Part>
void each_part(const Workers& workers, unsigned parts, const Part& part) noexcept {
    const Workers::Task task = [](void* argument, unsigned i) noexcept { (*static_cast<const Part*>(argument))(i); };
    if (workers.run != nullptr && parts > 1) {
        workers.run(workers.self, parts, task, const_cast<Part*>(&part));
    } else {
        for (unsigned i = 0; i < parts; ++i) part(i);
    }
}

// The same where part(i) gives a Status: that of the first part that failed.
template <class Part>
Status in_parts(const Workers& workers, unsigned parts, const Part& part) noexcept {
    Status results[max_workers] = {};
    each_part(workers, parts, [&](unsigned i) noexcept { results[i] = part(i); });
    for (const Status result : results) {
        if (result != Status::ok) return result;
    }
    return Status::ok;
}

// Calls body(argument, unit, part) once for each unit < units: each worker takes the next one when it is free, so which
// part does a unit is not known; calls with the same part (below workers.count) never overlap. Gives the status of the
// lowest unit that failed; the others are done all the same.
using UnitBody = Status (*)(const void* argument, size_t unit, unsigned part) noexcept;
Status share_units(const Workers& workers, size_t units, UnitBody body, const void* argument) noexcept;

template <class Body>
Status in_units(const Workers& workers, unsigned long long units, const Body& body) noexcept {
    const UnitBody call = [](const void* argument, size_t unit, unsigned part) noexcept {
        return (*static_cast<const Body*>(argument))(unit, part);
    };
    return share_units(workers, static_cast<size_t>(units), call, &body);
}

// The same where body(unit, part) cannot fail.
template <class Body>
void each_unit(const Workers& workers, unsigned long long units, const Body& body) noexcept {
    const Status done = in_units(workers, units, [&](size_t unit, unsigned part) noexcept {
        body(unit, part);
        return Status::ok;
    });
    (void)done;
}

// As many parts as there are workers, but none without a unit.
inline unsigned part_count(const Workers& workers, unsigned long long units) noexcept {
    return units < workers.count ? static_cast<unsigned>(units) : workers.count;
}

// Where part `index` of `parts` begins among `units`; part number `parts` begins at their end.
inline unsigned long long part_begin(unsigned long long units, unsigned parts, unsigned index) noexcept {
    return units / parts * index + units % parts * index / parts;
}

// The state of one worker after the other, in one workspace: their distance keeps them out of each other's cache lines.
inline constexpr size_t worker_stride(size_t state) noexcept { return (state + 63) / 64 * 64; }
inline constexpr size_t workers_need(size_t state, const Workers& workers) noexcept {
    return state == 0 ? 0 : worker_stride(state) * (workers.count - 1) + state;
}

}  // namespace bitpress
