#include "codings/code_room.h"

#include "kernels/kernels.h"

namespace bitpress {
namespace {

bool all_below(Bytes codes, unsigned bits) noexcept {
    std::uint64_t seen = 0;
    std::size_t i = 0;
    for (; codes.size() - i >= 8; i += 8) seen |= load_le<std::uint64_t>(codes.data() + i);
    for (; i < codes.size(); ++i) seen |= codes[i];
    return (seen & ~(0x0101010101010101U * ((1U << bits) - 1U))) == 0;
}

}  // namespace

void CodeRoom::replace(std::size_t at, std::uint8_t symbol) const noexcept {
    const std::size_t bit = at * bits_;
    const unsigned shift = bit % 8;
    const unsigned mask = ((1U << bits_) - 1U) << shift;
    const unsigned value = static_cast<unsigned>(symbol) << shift;
    std::uint8_t* const p = data_ + bit / 8;
    const unsigned kept = at + 1 == count_ ? (1U << shift) - 1U : ~mask;  // nothing stands after the last one
    p[0] = static_cast<std::uint8_t>((p[0] & kept) | value);
    if (shift + bits_ > 8) p[1] = static_cast<std::uint8_t>((at + 1 == count_ ? 0 : p[1] & ~(mask >> 8)) | value >> 8);
}

bool CodeRoom::put(std::size_t at, Bytes symbols) const noexcept {
    if (symbols.empty()) return true;
    if (!packed()) {
        std::memcpy(data_ + at, symbols.data(), symbols.size());
        return true;
    }
    if (!all_below(symbols, bits_)) return false;
    for (; at % 8 != 0 && !symbols.empty(); symbols = symbols.subspan(1)) replace(at++, symbols[0]);
    const std::size_t whole = symbols.size() / 8 * 8;
    kernels()->pack_bits(symbols.data(), whole, bits_, data_ + at / 8 * bits_);
    for (std::size_t i = whole; i < symbols.size(); ++i) replace(at + i, symbols[i]);
    return true;
}

void CodeRoom::get(std::size_t at, MutableBytes symbols) const noexcept {
    const auto bytes = static_cast<std::size_t>(packed_bytes(count_, bits_));
    kernels()->unpack_bits(data_, bytes, at, symbols.size(), bits_, symbols.data());
}

bool CodeRoom::fill(std::uint8_t symbol) const noexcept {
    if (!packed()) {
        std::memset(data_, symbol, count_);
        return true;
    }
    std::uint8_t piece[1024];
    std::memset(piece, symbol, sizeof piece);
    for (std::size_t at = 0; at < count_; at += sizeof piece) {
        if (!put(at, {piece, count_ - at < sizeof piece ? count_ - at : sizeof piece})) return false;
    }
    return true;
}

}  // namespace bitpress
