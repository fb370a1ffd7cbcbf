#!/usr/bin/env bash
# Runs the Python tests against the sanitized module: tools/asan.sh PYTHON BUILD_DIR [pytest arguments].
# A small virtual environment inside the build holds the sources and the sanitized module and borrows everything else
# from PYTHON's, so that the processes which the tests start use the sanitized module too.
set -euo pipefail
python=$1 build=$2
shift 2
venv="$build/venv"
[ -x "$venv/bin/python" ] || "$python" -m venv --without-pip "$venv"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/borrowed.pth"
rm -rf "$site/bitpress"
cp -r python/bitpress "$site/bitpress"
rm -f "$site"/bitpress/_core*.so
cp "$build"/_core*.so "$site/bitpress/"
# Python itself leaks on purpose, so leaks are not looked for.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:${ASAN_OPTIONS:-}
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:${UBSAN_OPTIONS:-}
preload="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)"
exec env LD_PRELOAD="$preload" "$venv/bin/python" -m pytest -p no:cacheprovider "$@"
