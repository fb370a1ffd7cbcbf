#!/usr/bin/env bash
# clang-tidy over every file of csrc that a build compiled: tools/tidy.sh BUILD_DIR [JOBS]. Warnings are errors (.clang-tidy).
set -euo pipefail
build=$1 jobs=${2:-2}
python3 - "$build/compile_commands.json" <<'PY' | xargs -0 -P "$jobs" -n 2 clang-tidy -p "$build" --quiet
import json, pathlib, sys
root = pathlib.Path("csrc").resolve()
files = {pathlib.Path(entry["directory"], entry["file"]).resolve() for entry in json.load(open(sys.argv[1]))}
print(*sorted(str(file) for file in files if root in file.parents), sep="\0", end="\0")
PY
