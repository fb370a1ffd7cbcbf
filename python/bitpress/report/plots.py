"""Plots as inline SVG: plain strings, no library. Colours are the page's CSS classes: light and dark both read."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .statistics import Histogram

__all__ = ["bar", "histogram", "number", "strip"]

_WIDTH, _HEIGHT = 256, 72


def number(value: float) -> str:
    """Up to four significant digits, with a true minus sign."""
    text = f"{value:.4g}" if value else "0"
    return text.replace("-", "\N{MINUS SIGN}")


def _trim(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _bars(counts: Sequence[int]) -> str:
    """One path of bars over the whole box; a bar that is not empty is at least one unit high."""
    top = max(counts, default=0) or 1
    wide = _WIDTH / max(len(counts), 1)
    gap = 0.18 * wide if len(counts) <= 64 else 0.0
    parts = []
    for index, count in enumerate(counts):
        if count:
            high = max(1.0, _HEIGHT * count / top)
            left = _trim(index * wide + gap / 2)
            parts.append(f"M{left} {_HEIGHT}v-{_trim(high)}h{_trim(wide - gap)}v{_trim(high)}z")
    return "".join(parts)


def histogram(data: Histogram, label: str, kind: str) -> str:
    """A figure: ``label`` says what is counted, ``kind`` is the CSS class that colours it."""
    zero = ""
    if data.low < 0 < data.high:
        at = _trim(_WIDTH * -data.low / (data.high - data.low))
        zero = f'<line class="zero" x1="{at}" x2="{at}" y1="0" y2="{_HEIGHT}"/>'
    top = max(data.counts, default=0)
    text = f"{label}: {len(data.counts)} bins from {number(data.low)} to {number(data.high)}, the fullest holds {top}"
    return (
        f'<figure class="plot"><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(text)}"><title>{escape(text)}</title>'
        f'<path class="{kind}" d="{_bars(data.counts)}"/>{zero}</svg>'
        f"<figcaption><span>{number(data.low)}</span><b>{escape(label)}</b><span>{number(data.high)}</span>"
        "</figcaption></figure>"
    )


def _segments(parts: Sequence[tuple[str, float]], total: float) -> str:
    left = 0.0
    made = []
    for kind, amount in parts:
        wide = 1000 * amount / total if total else 0.0
        made.append(f'<rect class="{kind}" x="{_trim(left)}" width="{_trim(wide)}" height="10"/>')
        left += wide
    return "".join(made)


def bar(parts: Sequence[tuple[str, float]], total: float, label: str) -> str:
    """One bar of segments (CSS class, amount); ``total`` is the full width."""
    return (
        f'<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{escape(label)}">'
        f"<title>{escape(label)}</title>{_segments(parts, total)}</svg>"
    )


def strip(parts: Sequence[tuple[str, float]], label: str) -> str:
    """A full-width bar of segments."""
    return bar(parts, sum(amount for _, amount in parts), label).replace('class="bar"', 'class="strip"')
