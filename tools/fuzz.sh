#!/usr/bin/env bash
# Runs every libFuzzer target of a build for SECONDS each: tools/fuzz.sh BUILD_DIR SECONDS [RUNS]
# With RUNS, each target stops after that many inputs instead. A finding stops the script with its input's path.
set -euo pipefail
build=$1 seconds=$2 runs=${3:--1}
shopt -s nullglob
targets=("$build"/tests/fuzz/fuzz_*)
[ ${#targets[@]} -gt 0 ] || { echo "no fuzz target in $build" >&2; exit 1; }
for target in "${targets[@]}"; do
  [ -x "$target" ] && [ -f "$target" ] || continue
  name=${target##*/fuzz_}
  work="$build/corpus/$name" log="$build/fuzz_$name.log"
  mkdir -p "$work"
  seeds=()
  [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
  limit=(-max_total_time="$seconds")
  [ "$runs" -gt 0 ] && limit=(-runs="$runs")
  if ! UBSAN_OPTIONS=print_stacktrace=1 "$target" "${limit[@]}" -timeout=5 -rss_limit_mb=1024 -malloc_limit_mb=256 \
      -print_final_stats=1 -artifact_prefix="$build/finding_${name}_" "$work" "${seeds[@]}" >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "fuzz $name: a finding, see $build/finding_${name}_*" >&2
    exit 1
  fi
  echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, no finding"
done
