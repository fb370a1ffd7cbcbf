// What a run works on.
#pragma once

#include "session.h"

namespace bitpress {

struct Session::Buffers {
    std::span<const Bytes> inputs;
    std::span<const MutableBytes> outputs;
    std::uint8_t* arena = nullptr;
    Workers workers;
    Observer observer;

    // What runs next.
    void tell(std::uint32_t node) const noexcept {
        if (observer.before != nullptr) observer.before(observer.self, node);
    }
};

}  // namespace bitpress
