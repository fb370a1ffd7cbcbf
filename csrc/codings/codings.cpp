// The table of codings, made from codings.def, and the coding that leaves bytes as they are.
#include "codings/codings.h"

#ifndef BITPRESS_CHOSEN_CODINGS
#define BITPRESS_CHOSEN_CODINGS "codings/codings.def"
#endif

namespace bitpress {
namespace {

std::size_t raw_bound(std::size_t n) noexcept { return n; }

Status raw_encode(const Workers&, Bytes in, MutableBytes out, MutableBytes, std::size_t* written) noexcept {
    if (out.size() < in.size()) return Status::output_too_small;
    if (!in.empty()) std::memcpy(out.data(), in.data(), in.size());
    *written = in.size();
    return Status::ok;
}

Status raw_decoded_size(Bytes in, std::uint64_t* size) noexcept {
    *size = in.size();
    return Status::ok;
}

Status raw_decode(const Workers&, Bytes in, MutableBytes out, MutableBytes) noexcept {
    if (out.size() < in.size()) return Status::output_too_small;
    if (out.size() > in.size()) return Status::bad_argument;
    if (!in.empty()) std::memcpy(out.data(), in.data(), in.size());
    return Status::ok;
}

}  // namespace

const Coding raw_coding{CodingId::raw,    "raw",      raw_bound, 0, 0, if_encoding(raw_encode),
                        raw_decoded_size, raw_decode, nullptr};

namespace {

constexpr const Coding* table[] = {
#define BP_CODING(name, number) &name##_coding,
#include BITPRESS_CHOSEN_CODINGS
#undef BP_CODING
};

}  // namespace

std::span<const Coding* const> codings() noexcept { return table; }

const Coding* coding(CodingId id) noexcept {
    for (const Coding* entry : table) {
        if (entry->id == id) return entry;
    }
    return nullptr;
}

const Coding* coding(const char* name) noexcept {
    for (const Coding* entry : table) {
        if (std::strcmp(entry->name, name) == 0) return entry;
    }
    return nullptr;
}

}  // namespace bitpress
