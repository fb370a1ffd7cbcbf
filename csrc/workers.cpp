// Units of work that the caller's workers take one after the other.
#include "workers.h"

#include <stdint.h>

namespace bitpress {
namespace {

struct Failure {
    size_t unit = SIZE_MAX;
    Status status = Status::ok;
};

struct Shared {
    UnitBody body;
    const void* argument;
    size_t units;
    size_t next;  // the first unit that no worker has taken; atomic
    Failure failures[max_workers];
};

void take_units(void* argument, unsigned part) noexcept {
    Shared& shared = *static_cast<Shared*>(argument);
    for (;;) {
        const size_t unit = __atomic_fetch_add(&shared.next, 1, __ATOMIC_RELAXED);
        if (unit >= shared.units) return;
        const Status status = shared.body(shared.argument, unit, part);
        if (status != Status::ok && shared.failures[part].status == Status::ok) shared.failures[part] = {unit, status};
    }
}

}  // namespace

Status share_units(const Workers& workers, size_t units, UnitBody body, const void* argument) noexcept {
    const unsigned parts = part_count(workers, units);
    Failure first;
    if (workers.run == nullptr || parts < 2) {
        for (size_t unit = 0; unit < units; ++unit) {
            const Status status = body(argument, unit, 0);
            if (status != Status::ok && first.status == Status::ok) first.status = status;
        }
        return first.status;
    }
    Shared shared = {body, argument, units, 0, {}};
    workers.run(workers.self, parts, take_units, &shared);
    for (unsigned part = 0; part < parts; ++part) {
        const Failure& failure = shared.failures[part];
        if (failure.status != Status::ok && failure.unit < first.unit) first = failure;
    }
    return first.status;
}

}  // namespace bitpress
