// Any bytes as a .Z file that is read piece by piece: it gives what decoding in one piece gives, and refuses the same.
// The first two bytes pick the sizes of the pieces.
#include <new>
#include <vector>

#include "codings/lzw_z_stream.h"

#include "codings_fuzz.h"

namespace {

using namespace bitpress;

constexpr std::size_t most = 4500;

Status read_all(Bytes file, std::size_t in_piece, std::size_t out_piece, std::vector<std::uint8_t>* result) {
    static lzw::ZReader reader;
    new (&reader) lzw::ZReader;  // its tables keep what the last input left
    const fuzz::Memory piece(out_piece, 0);
    for (std::size_t at = 0; !reader.done() && result->size() <= most;) {
        const std::size_t size = file.size() - at < in_piece ? file.size() - at : in_piece;
        std::size_t used = 0, written = 0;
        const Status status =
            reader.read(file.subspan(at, size), at + size == file.size(), piece.span(), &used, &written);
        fuzz::require(used <= size && written <= out_piece, "more than there is");
        const Bytes out = piece.span().first(written);
        result->insert(result->end(), out.begin(), out.end());
        if (status != Status::ok) return status;
        fuzz::require(used > 0 || written > 0 || reader.done(), "nothing is done");
        at += used;
    }
    return Status::ok;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 3) return 0;
    std::vector<std::uint8_t> file = {0x1f, 0x9d, static_cast<std::uint8_t>((data[0] & 0x80) | (9 + data[0] % 8))};
    file.insert(file.end(), data + 2, data + size);
    std::vector<std::uint8_t> pieces;
    const Status reading = read_all(file, 1 + data[1] % 16, 1 + data[1] / 16 * 7, &pieces);
    if (pieces.size() > most) return 0;
    static const fuzz::Workspaces work(lzw::z_decode_workspace);
    std::uint64_t counted = 0;
    const Status counting = lzw::z_decoded_size(file, most, work.one.span(), &counted);
    fuzz::require((reading == Status::ok) == (counting == Status::ok), "one refuses what the other takes");
    if (counting != Status::ok) return 0;
    fuzz::require(counted == pieces.size(), "another size");
    const fuzz::Memory whole(pieces.size(), 0);
    fuzz::require(lzw::z_decode(file, whole.span(), work.one.span()) == Status::ok, "cannot decode");
    fuzz::require(fuzz::equal(whole.span(), pieces), "other bytes");
    return 0;
}
