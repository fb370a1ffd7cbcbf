// The loops of Huffman's code, compiled once an instruction set. Everything here is local to the file that includes it.
#pragma once

#include <string.h>

#include "kernels/kernels.h"

namespace bitpress {
namespace {

constexpr uint64_t huffman_sentinel = uint64_t{1} << 63;

inline uint64_t huffman_load(const uint8_t* p) noexcept {
    uint64_t value;
    memcpy(&value, p, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

template <class T>
inline void huffman_store(uint8_t* p, T value) noexcept {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = sizeof value == 8 ? static_cast<T>(__builtin_bswap64(value)) : static_cast<T>(__builtin_bswap16(value));
#endif
    memcpy(p, &value, sizeof value);
}

// How many batches of `lookups` lookups are safe: a batch uses at most 7 bytes and then loads 8; it writes at most
// `most` bytes a lookup, and up to 8 bytes beyond them.
template <unsigned streams>
inline size_t huffman_batches(const HuffmanStream* stream, const uint8_t* const* in, uint8_t* const* out,
                              size_t batch_bytes) noexcept {
    size_t batches = SIZE_MAX;
    for (unsigned s = 0; s < streams; ++s) {
        const auto left = static_cast<size_t>(stream[s].in_end - in[s]);
        const auto room = static_cast<size_t>(stream[s].out_end - out[s]);
        if (left < 8 || room < 8) return 0;
        const size_t loads = (left - 8) / 7, stores = (room - 8) / batch_bytes;
        const size_t both = loads < stores ? loads : stores;
        batches = both < batches ? both : batches;
    }
    return batches;
}

// The bits of a stream wait in 64 bits whose highest one is a sentinel: the zeros above it count the bits used.
template <unsigned streams, unsigned most, unsigned bits>
inline void huffman_decode_loop(const HuffmanTable& table, HuffmanStream* stream) noexcept {
    constexpr unsigned lookups = 56 / bits;
    constexpr uint64_t mask = (uint64_t{1} << bits) - 1;
    const uint8_t* in[streams];
    uint8_t* out[streams];
    uint64_t waiting[streams];
    for (unsigned s = 0; s < streams; ++s) {
        in[s] = stream[s].in;
        out[s] = stream[s].out;
    }
    size_t batches = huffman_batches<streams>(stream, in, out, lookups * most);
    if (batches == 0) return;
    for (unsigned s = 0; s < streams; ++s) waiting[s] = (huffman_load(in[s]) | huffman_sentinel) >> stream[s].shift;
    do {
        do {
#pragma GCC unroll 8
            for (unsigned k = 0; k < lookups; ++k) {
#pragma GCC unroll 8
                for (unsigned s = 0; s < streams; ++s) {
                    if constexpr (most == 6) {
                        const uint64_t entry = table.six[waiting[s] & mask];
                        waiting[s] >>= entry & 63;
                        huffman_store(out[s], entry >> 16);
                        out[s] += entry >> 8 & 255;
                    } else if constexpr (most == 2) {
                        const uint32_t entry = table.two[waiting[s] & mask];
                        waiting[s] >>= entry & 63;
                        huffman_store(out[s], static_cast<uint16_t>(entry >> 16));
                        out[s] += entry >> 8 & 255;
                    } else {
                        const uint32_t entry = table.one[waiting[s] & mask];
                        waiting[s] >>= entry & 63;
                        out[s][k] = static_cast<uint8_t>(entry >> 8);
                    }
                }
            }
#pragma GCC unroll 8
            for (unsigned s = 0; s < streams; ++s) {
                const auto used = static_cast<unsigned>(__builtin_clzll(waiting[s]));
                in[s] += used >> 3;
                waiting[s] = (huffman_load(in[s]) | huffman_sentinel) >> (used & 7);
                if constexpr (most == 1) out[s] += lookups;
            }
        } while (--batches != 0);
        batches = huffman_batches<streams>(stream, in, out, lookups * most);
    } while (batches != 0);
    for (unsigned s = 0; s < streams; ++s) {
        stream[s].in = in[s];
        stream[s].out = out[s];
        stream[s].shift = static_cast<unsigned>(__builtin_clzll(waiting[s]));
    }
}

template <unsigned streams>
inline void huffman_decode_streams(const HuffmanTable& table, HuffmanStream* stream) noexcept {
    if (table.most == 6) {
        huffman_decode_loop<streams, 6, 11>(table, stream);
    } else if (table.most == 2) {
        huffman_decode_loop<streams, 2, 12>(table, stream);
    } else if (table.bits == 11) {
        huffman_decode_loop<streams, 1, 11>(table, stream);
    } else {
        huffman_decode_loop<streams, 1, 12>(table, stream);
    }
}

inline void huffman_decode_any(const HuffmanTable* table, HuffmanStream* streams, unsigned count) noexcept {
    switch (count) {
        case 1: huffman_decode_streams<1>(*table, streams); break;
        case 2: huffman_decode_streams<2>(*table, streams); break;
        case 4: huffman_decode_streams<4>(*table, streams); break;
        default: huffman_decode_streams<6>(*table, streams); break;
    }
}

// Two runs of code words, the second behind the first: both in the highest bits, lengths in the lowest.
inline uint64_t huffman_join(uint64_t first, uint64_t second) noexcept { return first >> (second & 63) | second; }

// Bits wait in the highest `held` bits (0..7 between flushes) of `waiting`; what is below them means nothing.
struct HuffmanSink {
    uint8_t* out;
    uint64_t waiting, held;

    // At least 1 and at most 56 bits; 8 bytes can be written at `out`.
    void put(uint64_t run, uint64_t count) noexcept {
        waiting = waiting >> count | run;
        held += count;
        huffman_store(out, waiting >> (64 - held));
        out += held >> 3;
        held &= 7;
    }
};

// Two runs of at most 24 bits each.
inline void huffman_put_two(HuffmanSink* sink, uint64_t a, uint64_t b) noexcept {
    sink->put(huffman_join(a, b), (a + b) & 63);  // lengths add up in the lowest bits
}

inline void huffman_put_four(HuffmanSink* sink, uint64_t a, uint64_t b, uint64_t c, uint64_t d) noexcept {
    const uint64_t last = c + d;
    sink->put(huffman_join(a, b) >> (last & 63) | huffman_join(c, d), (a + b + last) & 63);
}

// What is left for scalars, from what waits on.
inline uint8_t* huffman_encode_rest(HuffmanSink sink, const uint64_t* words, const uint64_t* pairs, const uint8_t* in,
                                    size_t n, uint8_t* out_end) noexcept {
    size_t i = 0;
    if (pairs != nullptr) {
        for (; n - i >= 8 && out_end - sink.out >= 16; i += 8) {
            const uint64_t eight = huffman_load(in + i);
            const uint64_t four = eight | eight >> 4;  // a pair in every other byte
            huffman_put_two(&sink, pairs[four & 255], pairs[four >> 16 & 255]);
            huffman_put_two(&sink, pairs[four >> 32 & 255], pairs[four >> 48 & 255]);
        }
    }
    for (; n - i >= 8 && out_end - sink.out >= 16; i += 8) {
        const uint8_t* const eight = in + i;
        huffman_put_four(&sink, words[eight[0]], words[eight[1]], words[eight[2]], words[eight[3]]);
        huffman_put_four(&sink, words[eight[4]], words[eight[5]], words[eight[6]], words[eight[7]]);
    }
    for (;; ++i) {
        for (; sink.held >= 8 || (i == n && sink.held > 0); sink.held = sink.held < 8 ? 0 : sink.held - 8) {
            if (sink.out != out_end) *sink.out++ = static_cast<uint8_t>(sink.waiting >> (64 - sink.held));
        }
        if (i == n) return sink.out;
        const uint64_t word = words[in[i]];
        sink.waiting = sink.waiting >> (word & 63) | word;
        sink.held += word & 63;
    }
}

inline uint8_t* huffman_encode_any(const uint64_t* words, const uint64_t* pairs, const uint8_t* in, size_t n,
                                   uint8_t* out, uint8_t* out_end) noexcept {
    return huffman_encode_rest({out, 0, 0}, words, pairs, in, n, out_end);
}

}  // namespace
}  // namespace bitpress
