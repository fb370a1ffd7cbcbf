// What the core returns instead of throwing: every function that can fail gives back a Status.
#pragma once

namespace bitpress {

// The order is part of the C ABI (bp_status in bitpress.h): append, never renumber.
enum class [[nodiscard]] Status : int {
    ok = 0,
    truncated,         // the input ends before what it announces
    corrupt,           // the input contradicts itself or its checksum
    unsupported,       // well-formed, but of a version or kind this build does not know
    too_large,         // a size, count, ratio or depth over the stated limit
    bad_argument,      // the caller's own argument is wrong
    output_too_small,  // the caller's output cannot hold the result
    memory_too_small,  // the caller's arena or workspace is smaller than what was asked for
    not_finite,        // NaN or infinity where a number is needed
    bad_shape,         // shapes that do not fit each other or the operator
    out_of_range,      // an index computed at run time is outside its tensor
    resaved,           // another tool rewrote the file: manifest moved or alignment lost
};

// One clear line, static storage, never null.
const char* message(Status status) noexcept;

}  // namespace bitpress

// Return early on failure. For functions that return Status.
#define BP_TRY(expression)                                                                              \
    do {                                                                                                \
        if (const ::bitpress::Status bp_status_ = (expression); bp_status_ != ::bitpress::Status::ok) { \
            return bp_status_;                                                                          \
        }                                                                                               \
    } while (0)
