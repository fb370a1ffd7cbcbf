#include "status.h"

namespace bitpress {

const char* message(Status status) noexcept {
    switch (status) {
        case Status::ok: return "ok";
        case Status::truncated: return "the input ends before what it announces";
        case Status::corrupt: return "the input contradicts itself or its checksum";
        case Status::unsupported: return "of a version or kind that this build does not know";
        case Status::too_large: return "a size, count, ratio or depth is over the limit";
        case Status::bad_argument: return "an argument is wrong";
        case Status::output_too_small: return "the output cannot hold the result";
        case Status::memory_too_small: return "the memory given is smaller than what was asked for";
        case Status::not_finite: return "NaN or infinity where a number is needed";
        case Status::bad_shape: return "the shapes do not fit";
        case Status::out_of_range: return "an index is outside its tensor";
        case Status::resaved: return "another tool rewrote the file: its manifest moved or its alignment is lost";
    }
    return "unknown status";
}

}  // namespace bitpress
