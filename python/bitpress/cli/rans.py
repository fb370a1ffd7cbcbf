"""``bitpress rans``: a filter that codes bytes with rANS's frames, and decodes them."""

from __future__ import annotations

from .filters import plain_filter

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY, EXAMPLES, command = plain_filter("rans", "rANS")
