// Huffman's code, encoding: code words of 64 symbols by byte permutes, joined side by side as far as 56 bits hold them.
#include "kernels/avx512/bytes256.h"
#include "kernels/avx512/overrides.h"
#include "kernels/huffman_loops.h"

namespace bitpress::avx512 {
namespace {

// Code words as 16 bits: the word in the low 12, its length above.
struct Words {
    alignas(64) uint8_t low[256], high[256];

    explicit Words(const uint64_t* words) {
        for (size_t i = 0; i < 256; i += 64) {
            for (size_t k = 0; k < 64; k += 32) {
                const __m512i packed =
                    _mm512_inserti64x4(_mm512_castsi256_si512(sixteen(words + i + k)), sixteen(words + i + k + 16), 1);
                _mm256_store_si256(reinterpret_cast<__m256i*>(low + i + k), _mm512_cvtepi16_epi8(packed));
                _mm256_store_si256(reinterpret_cast<__m256i*>(high + i + k),
                                   _mm512_cvtepi16_epi8(_mm512_srli_epi16(packed, 8)));
            }
        }
    }

  private:
    static __m128i eight(const uint64_t* words) {
        const __m512i x = _mm512_loadu_si512(words);
        const __m512i length = _mm512_and_si512(x, _mm512_set1_epi64(63));
        const __m512i word = _mm512_srlv_epi64(x, _mm512_sub_epi64(_mm512_set1_epi64(64), length));
        return _mm512_cvtepi64_epi16(_mm512_or_si512(word, _mm512_slli_epi64(length, 12)));
    }
    static __m256i sixteen(const uint64_t* words) {
        return _mm256_inserti128_si256(_mm256_castsi128_si256(eight(words)), eight(words + 8), 1);
    }
};

// Bits in the low end of 64-bit lanes, zeros above, and how many.
struct Runs {
    __m512i bits, count;
};

inline Runs join(const Runs& first, const Runs& second) {
    return {_mm512_or_si512(first.bits, _mm512_sllv_epi64(second.bits, first.count)),
            _mm512_add_epi64(first.count, second.count)};
}

// The code words of each four symbols.
inline Runs join_four(__m512i words) {
    const __m512i low = _mm512_set1_epi32(65535);
    const __m512i word = _mm512_and_si512(words, _mm512_set1_epi16(4095));
    const __m512i length = _mm512_srli_epi16(words, 12);
    const __m512i first = _mm512_and_si512(word, low);
    const __m512i second = _mm512_sllv_epi32(_mm512_srli_epi32(word, 16), _mm512_and_si512(length, low));
    const __m512i two = _mm512_or_si512(first, second);
    const __m512i count = _mm512_madd_epi16(length, _mm512_set1_epi16(1));
    const __m512i half = _mm512_set1_epi64(0xFFFFFFFF);
    return join({_mm512_and_si512(two, half), _mm512_and_si512(count, half)},
                {_mm512_srli_epi64(two, 32), _mm512_srli_epi64(count, 32)});
}

// In the highest bits, as the sink wants them.
struct Ready {
    alignas(64) uint64_t bits[8], count[8];

    explicit Ready(const Runs& runs) {
        _mm512_store_si512(bits, _mm512_sllv_epi64(runs.bits, _mm512_sub_epi64(_mm512_set1_epi64(64), runs.count)));
        _mm512_store_si512(count, runs.count);
    }
};

inline void put(const Ready& ready, HuffmanSink* sink) {
    for (unsigned i = 0; i < 8; ++i) sink->put(ready.bits[i], ready.count[i]);
}

}  // namespace

uint8_t* huffman_encode(const uint64_t* words, const uint64_t* pairs, const uint8_t* in, size_t n, uint8_t* out,
                        uint8_t* out_end) noexcept {
    constexpr ptrdiff_t most = 64 * 12 / 8 + 8;  // bytes that 64 symbols write
    HuffmanSink sink{out, 0, 0};
    if (n >= 512) {  // shorter ones do not pay for the tables
        const Words table(words);
        const Bytes256 low(table.low), high(table.high);
        for (; n >= 64 && out_end - sink.out >= most; in += 64, n -= 64) {
            const __m512i symbols = _mm512_loadu_si512(in);
            const __m512i a = low.at(symbols), b = high.at(symbols);
            const Runs even = join_four(_mm512_unpacklo_epi8(a, b)), odd = join_four(_mm512_unpackhi_epi8(a, b));
            // Fours 0, 1 of each sixteen symbols are in `even`, 2 and 3 in `odd`.
            const Runs first = {_mm512_unpacklo_epi64(even.bits, odd.bits),
                                _mm512_unpacklo_epi64(even.count, odd.count)};
            const Runs second = {_mm512_unpackhi_epi64(even.bits, odd.bits),
                                 _mm512_unpackhi_epi64(even.count, odd.count)};
            const __m512i count = _mm512_add_epi64(first.count, second.count);
            if (_mm512_cmpgt_epu64_mask(count, _mm512_set1_epi64(56)) == 0) {
                put(Ready(join(first, second)), &sink);
            } else {
                const Ready fours[2] = {Ready(first), Ready(second)};
                for (unsigned i = 0; i < 8; ++i) {
                    sink.put(fours[0].bits[i], fours[0].count[i]);
                    sink.put(fours[1].bits[i], fours[1].count[i]);
                }
            }
        }
    }
    return huffman_encode_rest(sink, words, pairs, in, n, out_end);
}

}  // namespace bitpress::avx512
