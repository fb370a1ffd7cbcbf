#include "codings/huffman_streams.h"

namespace bitpress {
namespace {

unsigned side_by_side(unsigned streams) noexcept { return streams >= 6 ? 6 : streams >= 4 ? 4 : streams >= 2 ? 2 : 1; }

// Where the kernel leaves a stream to the caller.
bool is_near_end(const HuffmanStream& stream) noexcept {
    return stream.in_end - stream.in < 15 || stream.out_end - stream.out < 38;
}

// What a stream has decoded waits in a tile until it goes to its places.
struct TiledStream {
    std::uint8_t* tile;
    RowBytes places;
};
constexpr std::size_t tile_bytes = sizeof(HuffmanTableScratch) / huffman_max_streams;

// Puts what a stream has decoded into its places and gives it room for more.
bool empty_tile(const CodeRoom& room, TiledStream* tiled, HuffmanStream* stream) noexcept {
    const Bytes done(tiled->tile, static_cast<std::size_t>(stream->out - tiled->tile));
    if (!tiled->places.put(done, room)) return false;
    const std::size_t left = tiled->places.left();
    stream->out = tiled->tile;
    stream->out_end = tiled->tile + (left < tile_bytes ? left : tile_bytes);
    return true;
}

// Ends a stream whose input is too short for more than a tile has room for.
Status finish_tiled(const HuffmanTable& table, const CodeRoom& room, TiledStream* tiled,
                    HuffmanStream* stream) noexcept {
    const auto bytes = static_cast<std::size_t>(stream->out_end - tiled->tile);
    if (bytes != tiled->places.left()) return Status::corrupt;
    BP_TRY(finish_huffman_stream(table, *stream));
    return tiled->places.put({tiled->tile, bytes}, room) ? Status::ok : Status::corrupt;
}

}  // namespace

Status take_huffman_streams(Bytes* in, unsigned streams, bool last_told, HuffmanStream* stream) noexcept {
    std::size_t sizes[huffman_max_streams] = {};
    for (unsigned s = 0; s < streams - (last_told ? 0 : 1); ++s) {
        std::uint64_t size = 0;
        std::size_t used = 0;
        if (read_varint(*in, in->size(), &size, &used) != Status::ok) return Status::corrupt;
        sizes[s] = static_cast<std::size_t>(size);
        *in = in->subspan(used);
    }
    for (unsigned s = 0; s < streams; ++s) {
        if (s + 1 == streams && !last_told) sizes[s] = in->size();
        if (sizes[s] > in->size()) return Status::corrupt;
        stream[s] = {in->data(), in->data() + sizes[s], nullptr, nullptr, 0};
        *in = in->subspan(sizes[s]);
    }
    return Status::ok;
}

// As many side by side as can still go on: streams of unlike contents end at unlike times.
Status decode_huffman(const HuffmanTable& table, HuffmanStream* stream, unsigned streams, MutableBytes out) noexcept {
    const std::size_t size = huffman_segment(out.size(), streams);
    for (unsigned s = 0; s < streams; ++s) {
        stream[s].out = out.data() + s * size;
        stream[s].out_end = s + 1 < streams ? stream[s].out + size : out.data() + out.size();
    }
    while (streams > 0) {
        kernels()->huffman_decode(&table, stream, side_by_side(streams));
        unsigned left = 0;
        for (unsigned s = 0; s < streams; ++s) {
            if (is_near_end(stream[s])) {
                BP_TRY(finish_huffman_stream(table, stream[s]));
            } else {
                stream[left++] = stream[s];
            }
        }
        streams = left;
    }
    return Status::ok;
}

Status decode_huffman(const HuffmanTable& table, HuffmanStream* stream, unsigned streams, RowBytes places,
                      HuffmanTableScratch* tiles, const CodeRoom& room) noexcept {
    TiledStream tiled[huffman_max_streams];
    const std::size_t size = huffman_segment(places.left(), streams);
    for (unsigned s = 0; s < streams; ++s) {
        tiled[s].tile = reinterpret_cast<std::uint8_t*>(tiles) + s * tile_bytes;
        tiled[s].places = places.take(s + 1 < streams ? size : places.left());
        stream[s].out = tiled[s].tile;
        empty_tile(room, &tiled[s], &stream[s]);
    }
    while (streams > 0) {
        kernels()->huffman_decode(&table, stream, side_by_side(streams));
        unsigned left = 0;
        for (unsigned s = 0; s < streams; ++s) {
            if (is_near_end(stream[s])) {
                if (!empty_tile(room, &tiled[s], &stream[s])) return Status::corrupt;
                if (is_near_end(stream[s])) {
                    BP_TRY(finish_tiled(table, room, &tiled[s], &stream[s]));
                    continue;
                }
            }
            stream[left] = stream[s];
            tiled[left++] = tiled[s];
        }
        streams = left;
    }
    return Status::ok;
}

}  // namespace bitpress
