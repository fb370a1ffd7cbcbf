// XXH64, from the xxHash specification (doc/xxhash_spec.md, version 0.1.1).
#include "bytes.h"
#include "kernels/kernels.h"

namespace bitpress::scalar {
namespace {

constexpr uint64_t prime1 = 0x9E3779B185EBCA87U;
constexpr uint64_t prime2 = 0xC2B2AE3D27D4EB4FU;
constexpr uint64_t prime3 = 0x165667B19E3779F9U;
constexpr uint64_t prime4 = 0x85EBCA77C2B2AE63U;
constexpr uint64_t prime5 = 0x27D4EB2F165667C5U;

uint64_t rotate(uint64_t x, int by) noexcept { return (x << by) | (x >> (64 - by)); }

uint64_t round(uint64_t lane, uint64_t input) noexcept { return rotate(lane + input * prime2, 31) * prime1; }

uint64_t merge(uint64_t hash, uint64_t lane) noexcept { return (hash ^ round(0, lane)) * prime1 + prime4; }

}  // namespace

uint64_t xxh64(const uint8_t* data, size_t n_bytes, uint64_t seed) noexcept {
    const uint8_t* p = data;
    size_t left = n_bytes;
    uint64_t hash = seed + prime5;
    if (left >= 32) {
        uint64_t lane[4] = {seed + prime1 + prime2, seed + prime2, seed, seed - prime1};
        for (; left >= 32; p += 32, left -= 32) {
            for (int i = 0; i < 4; ++i) lane[i] = round(lane[i], load_le<uint64_t>(p + 8 * i));
        }
        hash = rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) + rotate(lane[3], 18);
        for (int i = 0; i < 4; ++i) hash = merge(hash, lane[i]);
    }
    hash += n_bytes;
    for (; left >= 8; p += 8, left -= 8) hash = rotate(hash ^ round(0, load_le<uint64_t>(p)), 27) * prime1 + prime4;
    for (; left >= 4; p += 4, left -= 4) hash = rotate(hash ^ (load_le<uint32_t>(p) * prime1), 23) * prime2 + prime3;
    for (; left >= 1; p += 1, left -= 1) hash = rotate(hash ^ (*p * prime5), 11) * prime1;
    hash = (hash ^ (hash >> 33)) * prime2;
    hash = (hash ^ (hash >> 29)) * prime3;
    return hash ^ (hash >> 32);
}

}  // namespace bitpress::scalar
