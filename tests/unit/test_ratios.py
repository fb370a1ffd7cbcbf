"""The committed sizes still hold: every cheap row of bench/ratios.csv, computed again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
if not BENCH.exists():
    pytest.skip("the sources without bench/: use a checkout", allow_module_level=True)
sys.path.insert(0, str(BENCH))

import rows  # noqa: E402, F401  (registers the rows)
import sizes  # noqa: E402


@pytest.mark.parametrize("name", sorted(sizes.ROWS))
def test_row_still_holds(name: str) -> None:
    assert sizes.ROWS[name]() == sizes.read()[name], "make bench writes the new size; say why it changed"


def test_ratios_are_sorted_and_consistent() -> None:
    lines = sizes.RATIOS.read_text().splitlines()
    assert lines[0] == ",".join(sizes.HEADER)
    assert lines[1:] == sorted(lines[1:], key=lambda line: line.rsplit(",", 3)[0].strip('"'))
    for line in lines[1:]:
        _, nbytes, raw_bytes, ratio = line.rsplit(",", 3)
        assert f"{int(nbytes) / int(raw_bytes):.4f}" == ratio
