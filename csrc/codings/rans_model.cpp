#include "codings/rans_model.h"

#include "codings/bits.h"

namespace bitpress {
namespace {

unsigned bit_length(unsigned value) noexcept {
    return value == 0 ? 0 : 32 - static_cast<unsigned>(__builtin_clz(value));
}

// Of the symbols that occur (and, to lower, have a frequency over 1), the one whose frequency costs least to move by
// one. To a whole number's precision the derivative of count * log(f) at the middle of the step decides: count / (2 f
// +- 1).
unsigned cheapest(const std::uint64_t counts[256], const RansFrequencies& frequencies, bool raise) noexcept {
    unsigned best = 256;
    std::uint64_t best_count = 0;
    std::uint64_t best_middle = 1;
    for (unsigned s = 0; s < 256; ++s) {
        const std::uint64_t f = frequencies.of[s];
        if (f == 0 || (!raise && f == 1)) continue;
        const std::uint64_t middle = raise ? 2 * f + 1 : 2 * f - 1;
        const std::uint64_t here = counts[s] * best_middle;
        const std::uint64_t there = best_count * middle;
        if (best == 256 || (raise ? here > there : here < there)) {
            best = s;
            best_count = counts[s];
            best_middle = middle;
        }
    }
    return best;
}

}  // namespace

// The digits by repeated squaring.
std::uint32_t rans_log2(unsigned value) noexcept {
    const unsigned whole = bit_length(value) - 1;
    std::uint64_t mantissa = static_cast<std::uint64_t>(value) << (31 - whole);  // 1.0 is 2^31
    std::uint32_t digits = 0;
    for (int i = 0; i < 16; ++i) {
        mantissa = (mantissa * mantissa) >> 31;
        digits <<= 1;
        if (mantissa >> 32 != 0) {
            mantissa >>= 1;
            digits |= 1;
        }
    }
    return (whole << 16) | digits;
}

void rans_frequencies(const std::uint64_t counts[256], RansFrequencies* frequencies) noexcept {
    std::uint64_t total = 0;
    for (unsigned s = 0; s < 256; ++s) total += counts[s];
    unsigned sum = 0;
    for (unsigned s = 0; s < 256; ++s) {
        const std::uint64_t nearest = (counts[s] * rans_sum + total / 2) / total;
        frequencies->of[s] = counts[s] == 0 ? std::uint16_t{0} : static_cast<std::uint16_t>(nearest == 0 ? 1 : nearest);
        sum += frequencies->of[s];
        if (counts[s] != total) continue;
        std::memset(frequencies, 0, sizeof *frequencies);  // alone: another one has to have a slot
        frequencies->of[s] = rans_sum - 1;
        frequencies->of[s == 0 ? 1 : 0] = 1;
        return;
    }
    for (; sum < rans_sum; ++sum) ++frequencies->of[cheapest(counts, *frequencies, true)];
    for (; sum > rans_sum; --sum) --frequencies->of[cheapest(counts, *frequencies, false)];
}

std::uint64_t rans_cost(const std::uint64_t counts[256], const RansFrequencies& frequencies) noexcept {
    std::uint64_t cost = 0;
    for (unsigned s = 0; s < 256; ++s) {
        if (counts[s] != 0 && frequencies.of[s] == 0) return rans_cannot;
        if (counts[s] != 0) cost += counts[s] * ((rans_sum_log << 16) - rans_log2(frequencies.of[s]));
    }
    return cost;
}

std::size_t write_rans_table(const RansFrequencies& frequencies, std::uint8_t* out) noexcept {
    BitWriter bits(out, out + rans_max_table_bytes);
    unsigned previous = 0;
    for (unsigned s = 0; s < 256;) {
        const unsigned f = frequencies.of[s++];
        const unsigned length = bit_length(f);
        const unsigned zigzag = length >= previous ? 2 * (length - previous) : 2 * (previous - length) - 1;
        bits.put(std::uint64_t{1} << zigzag, zigzag + 1);
        bits.flush();
        if (f != 0) bits.put(f & ((1u << (length - 1)) - 1), length - 1);
        previous = length;
        if (f == 0) {
            unsigned run = 1;
            for (; s < 256 && frequencies.of[s] == 0; ++s) ++run;
            const unsigned digits = bit_length(run);
            bits.put(std::uint64_t{1} << (digits - 1), digits);
            bits.put(run & ((1u << (digits - 1)) - 1), digits - 1);
        }
        bits.flush();
    }
    return static_cast<std::size_t>(bits.finish() - out);
}

void make_rans_model(RansModel* model) noexcept {
    rans_frequencies(model->counts, &model->frequencies);
    model->cost = rans_cost(model->counts, model->frequencies);
    model->table_bytes = write_rans_table(model->frequencies, model->table);
}

namespace {

// A unary number: zeros, then a one. False where it is over the limit.
bool read_unary(Bytes in, std::size_t* position, unsigned limit, unsigned* value) noexcept {
    const std::uint64_t bits = peek_bits(in, *position);
    *value = bits == 0 ? 64 : static_cast<unsigned>(__builtin_ctzll(bits));
    *position += *value + 1;
    return *value <= limit;
}

unsigned read_bits(Bytes in, std::size_t* position, unsigned count) noexcept {
    const std::uint64_t bits = peek_bits(in, *position);
    *position += count;
    return static_cast<unsigned>(bits & ((std::uint64_t{1} << count) - 1));
}

}  // namespace

Status read_rans_table(Bytes in, RansFrequencies* frequencies, std::size_t* used) noexcept {
    std::memset(frequencies, 0, sizeof *frequencies);
    std::size_t position = 0;
    unsigned length = 0;
    unsigned sum = 0;
    for (unsigned s = 0; s < 256;) {
        unsigned zigzag = 0;
        if (!read_unary(in, &position, 2 * rans_sum_log, &zigzag)) return Status::corrupt;
        const unsigned step = (zigzag + 1) / 2;
        if (zigzag % 2 == 1 ? step > length : length + step > rans_sum_log) return Status::corrupt;
        length = zigzag % 2 == 1 ? length - step : length + step;
        if (length == 0) {
            unsigned digits = 0;
            if (!read_unary(in, &position, 8, &digits)) return Status::corrupt;
            const unsigned run = (1u << digits) | read_bits(in, &position, digits);
            if (run > 256 - s) return Status::corrupt;
            s += run;
        } else {
            const unsigned f = (1u << (length - 1)) | read_bits(in, &position, length - 1);
            frequencies->of[s++] = static_cast<std::uint16_t>(f);
            sum += f;
        }
    }
    *used = (position + 7) / 8;
    if (*used > in.size()) return Status::truncated;
    if (sum != rans_sum || !ends_in_last_byte(in.first(*used), position)) return Status::corrupt;
    return Status::ok;
}

namespace {

struct Buckets {
    unsigned count = 0;
    unsigned size = 0;
    unsigned own[256];    // slots of a bucket that are its own item's
    unsigned alias[256];  // the item that has the others
};

// Fills each bucket that its own item cannot fill from one item that has too much. The lowest item stands on top of
// each stack.
Buckets fill_buckets(const std::uint16_t* frequency, unsigned count) noexcept {
    Buckets buckets{count, rans_sum / count, {}, {}};
    unsigned rest[256];
    unsigned small[256];
    unsigned large[256];
    unsigned smalls = 0;
    unsigned larges = 0;
    for (unsigned i = count; i-- > 0;) {
        rest[i] = frequency[i];
        buckets.own[i] = buckets.size;
        buckets.alias[i] = i;
        if (rest[i] < buckets.size) {
            small[smalls++] = i;
        } else {
            large[larges++] = i;
        }
    }
    while (smalls > 0) {
        const unsigned i = small[--smalls];
        // NOLINTNEXTLINE(clang-analyzer-security.ArrayBound): there are 256 items at most
        const unsigned j = large[larges - 1];  // the rest of all is size * buckets left: one has at least its size  //
        buckets.own[i] = rest[i];
        buckets.alias[i] = j;
        rest[j] -= buckets.size - rest[i];
        if (rest[j] < buckets.size) {
            --larges;
            small[smalls++] = j;
        }
    }
    return buckets;
}

// The slots of a bucket: below `own` its item's, by rank; then the alias's, whose rank is added already.
template <unsigned size>
void fill_bucket(std::uint32_t mine, std::uint32_t others, unsigned own, std::uint32_t* entry) noexcept {
    for (std::uint32_t o = 0; o < size; ++o) entry[o] = (o < own ? mine : others) + (o << 8);
}

}  // namespace

void make_rans_table(const RansFrequencies& frequencies, RansTable* table) noexcept {
    std::memset(table->threshold, 0, sizeof *table - offsetof(RansTable, threshold));  // entries are all set
    std::uint8_t value[256] = {};
    std::uint16_t frequency[256] = {};
    unsigned items = 0;
    for (unsigned s = 0; s < 256; ++s) {
        if (frequencies.of[s] != 0) value[items++] = static_cast<std::uint8_t>(s);
    }
    const bool few = items <= 16;
    table->bucket_log = few ? 4 : 8;
    for (unsigned i = 0; i < (few ? items : 256); ++i) {
        if (!few) value[i] = static_cast<std::uint8_t>(i);
        frequency[i] = frequencies.of[value[i]];
        table->frequency_low[i] = static_cast<std::uint8_t>(frequency[i]);
        table->frequency_high[i] = static_cast<std::uint8_t>(frequency[i] >> 8);
        if (few) table->value[i] = value[i];
    }
    const Buckets buckets = fill_buckets(frequency, 1u << table->bucket_log);
    unsigned next[256];  // the first rank of an item that its own bucket does not hold
    for (unsigned i = 0; i < buckets.count; ++i) next[i] = buckets.own[i];
    for (unsigned i = 0; i < buckets.count; ++i) {
        const unsigned own = buckets.own[i];
        const unsigned j = buckets.alias[i];
        const bool full = own == buckets.size;  // a full bucket is its own alias: 8 bits are enough
        const unsigned base = full ? 0 : next[j] - own;
        table->threshold[i] = static_cast<std::uint8_t>(full ? 0 : own);
        table->alias[i] = static_cast<std::uint8_t>(j);
        table->alias_rank_low[i] = static_cast<std::uint8_t>(base);
        table->alias_rank_high[i] = static_cast<std::uint8_t>(base >> 8);
        const std::uint32_t mine = value[i] | std::uint32_t{frequency[i]} << 20;
        const std::uint32_t others = (value[j] | std::uint32_t{frequency[j]} << 20) + (base << 8);
        std::uint32_t* const entry = table->entry + std::size_t{i} * buckets.size;
        if (few) {
            fill_bucket<256>(mine, others, own, entry);
        } else {
            fill_bucket<16>(mine, others, own, entry);
        }
        next[j] += buckets.size - own;
    }
}

}  // namespace bitpress
