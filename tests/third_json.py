"""JSON as the third reader takes it: an object, no key twice, no fractions."""

from __future__ import annotations

import json
from typing import Any

from third_bits import Refused, must


def strict_json(text: bytes) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        must(len(dict(items)) == len(items), "a key is there twice")
        return dict(items)

    def refuse(text: str) -> Any:
        raise Refused(f"{text} in the JSON")

    try:
        table = json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_float=refuse, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Refused("malformed JSON") from None
    must(type(table) is dict, "the JSON is not an object")
    return table
