"""How the benches run: on one core, warmed up, medians; what they print: ours against the peer of the same run."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # sizes.py and rows.py, whatever folder pytest was started in

import sizes


def cpu_model() -> str:
    """$BITPRESS_CPU (some CPUs say too little), else its own name, or the architecture where /proc does not tell."""
    if "BITPRESS_CPU" in os.environ:
        return os.environ["BITPRESS_CPU"]
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return os.uname().machine
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), os.uname().machine)


def _core_isa() -> str:
    from bitpress import _core

    return _core.isa()


CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()  # before one is picked


def pytest_configure(config: pytest.Config) -> None:
    """One thread for every library, one core for the process, a warm-up before each measurement."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    config.option.benchmark_warmup = True
    config.option.benchmark_warmup_iterations = 3
    config.option.benchmark_min_rounds = 7


def pytest_report_header() -> str:
    """The CPU and the instruction set: without them no figure means anything."""
    return f"cpu: {cpu_model()}, isa: {_core_isa()}, one core"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Ratio tables and bench/ratios.csv.

    A bench of a peer sets ``benchmark.extra_info["peer"] = "zstd 0.25"``; benches of the same ``benchmark.group`` are
    held against each other. ``extra_info["bytes"]`` (bytes of plain data an iteration) adds GB/s.
    """
    session = getattr(config, "_benchmarksession", None)
    groups: dict[str, list] = defaultdict(list)
    for bench in session.benchmarks if session is not None else ():
        if bench.stats.rounds:
            groups[bench.group or ""].append(bench)
    if not groups:
        return
    write = terminalreporter.write_line
    terminalreporter.section("against the peers")
    write(pytest_report_header())
    write(f"{'bench':56} {'median ms':>10} {'GB/s':>7} {'best peer / this':>17}")
    for group, benches in sorted(groups.items()):
        peers = [bench.stats.median for bench in benches if "peer" in bench.extra_info]
        for bench in sorted(benches, key=lambda bench: bench.stats.median):
            median = bench.stats.median
            rate = f"{bench.extra_info['bytes'] / median / 1e9:.2f}" if "bytes" in bench.extra_info else ""
            name = bench.extra_info.get("peer") or bench.name
            ratio = f"{min(peers) / median:.2f}x" if peers else ""
            write(f"{f'{group}: {name}' if group else name:56} {median * 1e3:10.3f} {rate:>7} {ratio:>17}")
    import rows  # noqa: F401  (registers them)
    import table

    table.write(groups, f"{cpu_model()}, {_core_isa()}")
    sizes.write()
    write("bench/ratios.csv, bench/speeds.csv, docs/bench.md and its plots hold this run's lines")
