#!/usr/bin/env bash
# Fetches and builds the peers of the benches that exist only as C sources, outside the tree: tools/peers.sh [DIR]
# DIR (default: ../bitpress-peers, beside the checkout) then holds their sources and libpeers.so, which bench/peers.py
# loads; BITPRESS_PEERS names another DIR. A source that is there already is taken as it is. Needs git, a C and a C++ compiler.
#   zstd (its coders huff0 and FSE), htscodecs (rANS, 32 states, AVX2 or AVX-512), wuffs (a decoder of LZW), FastLanes
#   (its generated unpacking of 8-bit lanes, compiled for AVX2 and for this CPU)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-${BITPRESS_PEERS:-$root/../bitpress-peers}}
mkdir -p "$work/build"
work=$(cd "$work" && pwd)

fetch() { # name, repository, commit, folders that are needed
  local at=$work/$1 from=$2 commit=$3
  shift 3
  [ -e "$at" ] && return
  git init -q "$at.part"
  git -C "$at.part" remote add origin "https://github.com/$from"
  git -C "$at.part" sparse-checkout set "$@"
  git -C "$at.part" fetch -q --depth 1 --filter=blob:none origin "$commit"
  git -C "$at.part" checkout -q FETCH_HEAD
  mv "$at.part" "$at"
}
fetch zstd facebook/zstd 2dddf0905619b70c25faeca7f1a39601dc97616f lib
fetch htscodecs samtools/htscodecs b9fc194f772e45bb0a1f44b08cbf8697a1384bae htscodecs
fetch wuffs google/wuffs c89b3bc6d819bde0b569102905a67f90c3441150 release/c
fetch fastlanes cwida/FastLanes 6c2e8df38519b479a1e3d5496b765b40538de52d include/fls_gen \
  primitives/fls_generated/fallback/scalar_aav_uf1

cc=${CC:-cc}
flags=(-O3 -fPIC -w -DNDEBUG)
objects=()
compile() { # object's name, source, more flags
  local object=$work/build/$1.o source=$2
  shift 2
  $cc "${flags[@]}" "$@" -c "$source" -o "$object"
  objects+=("$object")
}

for file in common/{debug,entropy_common,error_private,fse_decompress} compress/{fse_compress,hist,huf_compress} \
    decompress/huf_decompress; do
  compile "zstd_${file##*/}" "$work/zstd/lib/$file.c"
done
[ "$(uname -m)" = x86_64 ] && compile zstd_huf_amd64 "$work/zstd/lib/decompress/huf_decompress_amd64.S"

printf '%s\n' '#ifdef __x86_64__' '#define HAVE_SSSE3 1' '#define HAVE_SSE4_1 1' '#define HAVE_POPCNT 1' '#define HAVE_AVX2 1' \
  '#define HAVE_AVX512 1' '#define HAVE_DECL___CPUID_COUNT 1' '#define HAVE_DECL___GET_CPUID_MAX 1' '#endif' >"$work/build/config.h"
hts=$work/htscodecs/htscodecs
for file in "$hts"/rANS_static{4x16pr,32x16pr,32x16pr_neon} "$hts"/{pack,rle,utils}; do
  compile "hts_${file##*/}" "$file.c" -I"$work/build" -DHAVE_CONFIG_H
done
if [ "$(uname -m)" = x86_64 ]; then
  compile hts_sse4 "$hts/rANS_static32x16pr_sse4.c" -I"$work/build" -DHAVE_CONFIG_H -mssse3 -msse4.1 -mpopcnt
  compile hts_avx2 "$hts/rANS_static32x16pr_avx2.c" -I"$work/build" -DHAVE_CONFIG_H -mavx2 -mpopcnt
  compile hts_avx512 "$hts/rANS_static32x16pr_avx512.c" -I"$work/build" -DHAVE_CONFIG_H -mavx512f -mpopcnt
fi

# Named by instruction set, so that one library holds them side by side.
lanes=$work/fastlanes/primitives/fls_generated/fallback/scalar_aav_uf1/fallback_scalar_aav_1024_uf1_unpack_src.cpp
unpacker() { # name, flags of the instruction set
  local name=$1
  shift
  cc=${CXX:-c++} compile "fastlanes_$name" "$lanes" -I"$work/fastlanes/include" -Dgenerated="fastlanes_$name" "$@"
  cc=${CXX:-c++} compile "peers_$name" "$root/bench/peers.cpp" -I"$work/fastlanes/include" \
    -Dgenerated="fastlanes_$name" -DUNPACK="fastlanes_$name""_unpack" "$@"
}
unpacker native -march=native
[ "$(uname -m)" = x86_64 ] && unpacker avx2 -mavx2

compile peers "$root/bench/peers.c" -I"$work/zstd/lib/common" -I"$work/zstd/lib/compress" -I"$hts" -I"$work/wuffs/release/c"
$cc -shared -o "$work/libpeers.so" "${objects[@]}" -lpthread -lm
echo "$work/libpeers.so"
