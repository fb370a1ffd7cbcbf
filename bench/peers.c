/* Peers that exist only as C sources, each as two functions of one form; tools/peers.sh builds them into libpeers.so.
   encode: bytes written (room is enough by far), 0 on failure. decode: 1 where all n bytes came back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FSE_STATIC_LINKING_ONLY
#define HUF_STATIC_LINKING_ONLY
#include "fse.h"
#include "hist.h"
#include "huf.h"
#include "rANS_static4x16.h"
#define WUFFS_IMPLEMENTATION
#define WUFFS_CONFIG__MODULES
#define WUFFS_CONFIG__MODULE__BASE
#define WUFFS_CONFIG__MODULE__LZW
#include "wuffs-v0.4.c"

/* A block: its stored bytes (u32, as many as the block has where it is stored as it is), then those. */
typedef size_t (*block_encoder)(uint8_t* out, size_t room, const uint8_t* in, size_t n); /* 0: store it */
typedef size_t (*block_decoder)(uint8_t* out, size_t n, const uint8_t* in, size_t size);

static size_t encode_blocks(block_encoder encode, size_t block, const uint8_t* in, size_t n, uint8_t* out) {
    uint8_t* at = out;
    for (size_t i = 0; i < n; i += block) {
        const size_t m = n - i < block ? n - i : block;
        uint32_t size = (uint32_t)encode(at + 4, m + m / 4 + 65536, in + i, m);
        if (size == 0 || size >= m) memcpy(at + 4, in + i, size = (uint32_t)m);
        memcpy(at, &size, 4);
        at += 4 + size;
    }
    return (size_t)(at - out);
}

static int decode_blocks(block_decoder decode, size_t block, const uint8_t* in, uint8_t* out, size_t n) {
    for (size_t i = 0; i < n; i += block) {
        const size_t m = n - i < block ? n - i : block;
        uint32_t size;
        memcpy(&size, in, 4);
        in += 4;
        if (size == m) {
            memcpy(out + i, in, m);
        } else if (decode(out + i, m, in, size) != m) {
            return 0;
        }
        in += size;
    }
    return 1;
}

/* huff0: zstd's own blocks of 128 KiB, four streams. */
static size_t huff0_block(uint8_t* out, size_t room, const uint8_t* in, size_t n) {
    static uint64_t work[HUF_WORKSPACE_SIZE / 8 + 64];
    static HUF_CREATE_STATIC_CTABLE(table, 255);
    HUF_repeat repeat = HUF_repeat_none;
    const size_t size =
        HUF_compress4X_repeat(out, room, in, n, 255, 11, work, HUF_WORKSPACE_SIZE, table, &repeat, HUF_flags_bmi2);
    return HUF_isError(size) || size == 1 ? 0 : size;
}
static size_t huff0_unblock(uint8_t* out, size_t n, const uint8_t* in, size_t size) {
    static uint32_t work[HUF_DECOMPRESS_WORKSPACE_SIZE_U32 * 2];
    static HUF_DTable table[HUF_DTABLE_SIZE(HUF_TABLELOG_MAX)];
    table[0] = (HUF_DTable)HUF_TABLELOG_MAX * 0x01000001;
    return HUF_decompress4X_hufOnly_wksp(table, out, n, in, size, work, sizeof work, HUF_flags_bmi2);
}
size_t huff0_encode(const uint8_t* in, size_t n, uint8_t* out) {
    return encode_blocks(huff0_block, 131072, in, n, out);
}
int huff0_decode(const uint8_t* in, size_t size, uint8_t* out, size_t n) {
    (void)size;
    return decode_blocks(huff0_unblock, 131072, in, out, n);
}

/* FSE: blocks of 128 KiB, tables of 2^12. */
static size_t fse_block(uint8_t* out, size_t room, const uint8_t* in, size_t n) {
    static uint64_t work[1 << 14];
    static FSE_CTable table[FSE_CTABLE_SIZE_U32(12, 255)];
    unsigned count[256], most = 255;
    short normal[256];
    if (HIST_count(count, &most, in, n) == n) return 0;
    const unsigned log = FSE_optimalTableLog(12, n, most);
    if (FSE_isError(FSE_normalizeCount(normal, log, count, n, most, 1))) return 0;
    const size_t head = FSE_writeNCount(out, room, normal, most, log);
    if (FSE_isError(head) || FSE_isError(FSE_buildCTable_wksp(table, normal, most, log, work, sizeof work))) return 0;
    const size_t size = FSE_compress_usingCTable(out + head, room - head, in, n, table);
    return FSE_isError(size) || size == 0 ? 0 : head + size;
}
static size_t fse_unblock(uint8_t* out, size_t n, const uint8_t* in, size_t size) {
    static uint64_t work[1 << 15];
    return FSE_decompress_wksp_bmi2(out, n, in, size, 12, work, sizeof work, 1);
}
size_t fse_encode(const uint8_t* in, size_t n, uint8_t* out) { return encode_blocks(fse_block, 131072, in, n, out); }
int fse_decode(const uint8_t* in, size_t size, uint8_t* out, size_t n) {
    (void)size;
    return decode_blocks(fse_unblock, 131072, in, out, n);
}

/* htscodecs: rANS of order 0 with 32 states, by what this CPU has; blocks of 1 MiB. */
static size_t rans_block(uint8_t* out, size_t room, const uint8_t* in, size_t n) {
    unsigned size = (unsigned)room;
    return rans_compress_to_4x16((unsigned char*)in, (unsigned)n, out, &size, RANS_ORDER_X32) == NULL ? 0 : size;
}
static size_t rans_unblock(uint8_t* out, size_t n, const uint8_t* in, size_t size) {
    unsigned done = (unsigned)n;
    return rans_uncompress_to_4x16((unsigned char*)in, (unsigned)size, out, &done) == NULL ? 0 : done;
}
size_t htscodecs_encode(const uint8_t* in, size_t n, uint8_t* out) {
    return encode_blocks(rans_block, 1048576, in, n, out);
}
int htscodecs_decode(const uint8_t* in, size_t size, uint8_t* out, size_t n) {
    (void)size;
    return decode_blocks(rans_unblock, 1048576, in, out, n);
}

/* wuffs: the codes of a GIF of 8 bits without their sub-blocks. It has no encoder. */
int wuffs_decode(const uint8_t* in, size_t size, uint8_t* out, size_t n) {
    static wuffs_lzw__decoder* decoder;
    if (decoder == NULL) decoder = calloc(1, sizeof__wuffs_lzw__decoder());
    const uint32_t flags = WUFFS_INITIALIZE__LEAVE_INTERNAL_BUFFERS_UNINITIALIZED;
    if (wuffs_lzw__decoder__initialize(decoder, sizeof__wuffs_lzw__decoder(), WUFFS_VERSION, flags).repr != NULL)
        return 0;
    (void)wuffs_lzw__decoder__set_quirk(decoder, WUFFS_LZW__QUIRK_LITERAL_WIDTH_PLUS_ONE, 9);
    wuffs_base__io_buffer from = wuffs_base__ptr_u8__reader((uint8_t*)in, size, true);
    wuffs_base__io_buffer to = wuffs_base__ptr_u8__writer(out, n);
    const wuffs_base__status status =
        wuffs_lzw__decoder__transform_io(decoder, &to, &from, wuffs_base__empty_slice_u8());
    return status.repr == NULL && to.meta.wi == n;
}
