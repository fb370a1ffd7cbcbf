#!/usr/bin/env bash
# Runs libFuzzer targets of a build, each for SECONDS: tools/fuzz.sh BUILD_DIR SECONDS [RUNS [TARGET...]]
# With RUNS above 0, each stops after that many inputs instead, however long that takes. TARGETs are names of
# tests/fuzz/*.cpp; without any, all are run. What was found is kept in BUILD_DIR/corpus, where the next run goes on. A
# finding stops the script with its input's path, and so does an input that takes more than a second of CPU by itself.
set -euo pipefail
build=$1 seconds=$2 runs=${3:--1}
names=("${@:4}")
if [ ${#names[@]} -eq 0 ]; then
  for source in tests/fuzz/*.cpp; do names+=("$(basename "$source" .cpp)"); done
fi
for name in "${names[@]}"; do
  target="$build/tests/fuzz/fuzz_$name"
  [ -x "$target" ] || { echo "no fuzz target $name in $build" >&2; exit 1; }
  work="$build/corpus/$name" log="$build/fuzz_$name.log"
  mkdir -p "$work"
  seeds=()
  [ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
  limit=(-max_total_time="$seconds")
  [ "$runs" -gt 0 ] && limit=(-runs="$runs")
  # A kilobyte holds all that a coding can say; files begin with more.
  case $name in container | session) ;; *) limit+=(-max_len=1024) ;; esac
  if ! UBSAN_OPTIONS=print_stacktrace=1 "$target" "${limit[@]}" -timeout=30 -report_slow_units=1 -rss_limit_mb=1024 \
      -malloc_limit_mb=256 -print_final_stats=1 -artifact_prefix="$build/finding_${name}_" "$work" "${seeds[@]}" \
      >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "fuzz $name: a finding, see $build/finding_${name}_*" >&2
    exit 1
  fi
  for unit in "$build/finding_${name}_slow-unit-"*; do  # most were slow because the machine was busy
    [ -e "$unit" ] || continue
    (ulimit -t 1 && exec "$target" "$unit") >/dev/null 2>&1 || { echo "fuzz $name: slow, see $unit" >&2; exit 1; }
    rm "$unit"
  done
  echo "fuzz $name: $(sed -n 's/^#\([0-9]*\)\tDONE *cov: \([0-9]*\) ft: \([0-9]*\) .*exec\/s: \([0-9]*\) .*/\1 inputs, \4 a second, \2 edges, \3 features/p' "$log"), no finding"
done
