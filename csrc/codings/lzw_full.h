// A dictionary that is full. What is a string from then on depends on where it begins alone, so several places of the
// input are searched at once, and the waits of one search are filled by the others.
#pragma once

#include "codings/lzw_core.h"

namespace bitpress::lzw {

// The strings as a double array (Aoe 1989): the children of a string stand in the slots base ^ byte, base being the
// string's own, so a step is one load. A slot holds byte << 24 | base of its string. No two strings have the same base
// but those without children, whose base is 0; slots below 256 stay empty, and are those of single bytes.
class FullDictionary {
  public:
    // Before the first word is defined; words stay below `last`.
    void clear(std::uint32_t last) noexcept;

    // While it grows: `word` is `prefix` and a byte.
    void define(std::uint32_t word, std::uint32_t prefix, std::uint8_t byte) noexcept {
        byte_[word] = byte;
        sibling_[word] = child_[prefix];
        child_[prefix] = static_cast<std::uint16_t>(word);
    }

    // Lays the strings out. False where they find no place, or not soon: chance does not do that, a forged input can.
    bool build() noexcept;

    // Calls take(word, end) for the strings of `in` one after another, the first beginning at `begin`: those of a
    // stretch of it, or as long as take returns true. Returns the end of the last one.
    template <class Take>
    std::size_t strings(Bytes in, std::size_t begin, Take take) noexcept {
        if (in.size() - begin < lane_count * least_stretch) return one_lane(in, begin, take);
        const std::size_t share = (in.size() - begin) / lane_count;
        const auto stretch = static_cast<std::uint32_t>(share < most_stretch ? share : most_stretch);
        search(in.data() + begin, stretch);
        std::uint32_t at[lane_count] = {};  // of each lane, its first string that begins at `begin` or later
        const std::size_t base = begin;
        for (unsigned k = 0;;) {
            for (; at[k] < count_[k]; ++at[k]) {
                const std::size_t end = base + k * stretch + end_of(k, at[k]);
                const std::uint32_t word = end - begin == 1 ? in[begin] : word_[slot_of(k, at[k])];
                begin = end;
                if (!take(word, end)) return end;
            }
            const std::size_t all = base + (k + 1) * stretch;
            Node node = {open_[k], all - begin == 1 ? in[begin] : slot_of(k, count_[k])};
            // On alone, until a string begins where one of another lane does.
            for (std::size_t end = all;;) {
                while (end < in.size() && extend(&node, in[end])) ++end;
                begin = end;
                if (!take(word_[node.slot], end) || end == in.size()) return end;
                k = static_cast<unsigned>((end - base) / stretch);
                if (k >= lane_count) return end;
                if (meets(k, static_cast<std::uint32_t>(end - base - k * stretch), &at[k])) break;
                node = literal(in[end++]);
            }
        }
    }

  private:
    static constexpr unsigned lane_count = 4;
    static constexpr unsigned min_log = 13, max_log = max_bits + 1;
    static constexpr std::uint32_t most_slots = 1u << max_log;
    static constexpr std::size_t least_stretch = 256, most_stretch = 4096;
    static constexpr std::uint32_t empty = ~0u;
    static_assert((most_stretch + 1) << max_log <= 1ull << 32);

    struct Node {
        std::uint32_t base, slot;
    };

    Node literal(std::uint8_t byte) const noexcept { return {literal_[byte], byte}; }
    bool extend(Node* node, std::uint8_t byte) const noexcept {
        const std::uint32_t slot = node->base ^ byte;
        const std::uint32_t base = slot_[slot] ^ std::uint32_t{byte} << 24;
        if (base >= slots_) return false;
        *node = {base, slot};
        return true;
    }

    void search(const std::uint8_t* in, std::uint32_t stretch) noexcept;

    std::uint32_t end_of(unsigned k, std::uint32_t i) const noexcept { return found_[k][i] >> max_log; }
    std::uint32_t slot_of(unsigned k, std::uint32_t i) const noexcept { return found_[k][i] & (most_slots - 1); }

    // Whether a string of lane k begins at `begin`; *at: the first one that does so or later.
    bool meets(unsigned k, std::uint32_t begin, std::uint32_t* at) const noexcept {
        if (begin == 0) return true;
        while (*at < count_[k] && end_of(k, *at) < begin) ++*at;
        if (*at == count_[k] || end_of(k, *at) != begin) return false;
        ++*at;
        return true;
    }

    template <class Take>
    std::size_t one_lane(Bytes in, std::size_t begin, Take take) noexcept {
        while (begin < in.size()) {
            Node node = literal(in[begin++]);
            while (begin < in.size() && extend(&node, in[begin])) ++begin;
            if (!take(word_[node.slot], begin)) break;
        }
        return begin;
    }

    std::uint32_t find_base(const std::uint16_t* children, std::uint32_t count, std::uint32_t* tries) noexcept;

    std::uint32_t words_, slots_;
    std::uint32_t cursor_;             // where places are looked for
    std::uint32_t count_[lane_count];  // strings of each lane that have ended
    std::uint32_t open_[lane_count];   // and the base of the one that has not
    std::uint32_t literal_[256];       // bases of single bytes
    // By lane and string: where in the stretch it ends << max_log | its slot, or anything where it is a single byte.
    std::uint32_t found_[lane_count][most_stretch];
    std::uint32_t slot_[most_slots];
    std::uint16_t word_[most_slots];                                  // by slot
    std::uint64_t filled_[most_slots / 64], taken_[most_slots / 64];  // slots; bases; a bit each
    std::uint32_t place_[most_words];                                 // slot of a word
    std::uint16_t child_[most_words], sibling_[most_words];           // 0: none
    std::uint8_t byte_[most_words];
};

}  // namespace bitpress::lzw
