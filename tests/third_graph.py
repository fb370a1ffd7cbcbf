"""The third reader's part for section 6 of docs/format.md: a stored graph, written from that page alone."""

from __future__ import annotations

import struct

from third_bits import must


class Cursor:
    """Takes a section apart from its front."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        must(self.at + size <= len(self.data), "the graph ends early")
        self.at += size
        return self.data[self.at - size : self.at]

    def number(self) -> int:
        groups = [self.take(1)[0]]
        while groups[-1] & 0x80:
            groups.append(self.take(1)[0])
        must(groups[-1] > 0 or len(groups) == 1, "a number has a group too many")
        value = sum((group & 0x7F) << 7 * i for i, group in enumerate(groups))
        must(value < 2**64, "a number over 64 bits")
        return value

    def signed(self) -> int:
        number = self.number()
        return -(number + 1) // 2 if number % 2 else number // 2

    def text(self) -> str:
        return self.take(self.number()).decode("utf-8")

    def value(self) -> str:
        name = self.text()
        must(name != "" and self.take(1)[0] < 20, "value")
        rank = self.number()
        must(rank <= 9, "rank of a value")
        for _ in range(rank - 1):
            self.number()
        return name


def list_attributes(cursor: Cursor) -> list[str]:
    reals, lists = {9, 10, 19, 20, 21, 22}, {1, 2, 3, 5, 14, 16, 17, 25, 26, 27, 33}
    lines = []
    for _ in range(cursor.number()):
        key = cursor.number()
        must(1 <= key <= 40, "attribute")
        if key in reals:
            lines.append(f"{key}={struct.unpack('<f', cursor.take(4))[0]:g}")
        elif key in lists:
            lines.append(f"{key}={[cursor.signed() for _ in range(cursor.number())]}")
        else:
            lines.append(f"{key}={cursor.signed()}")
    return lines


def back(cursor: Cursor, names: list[str], closed: set[int]) -> str:
    distance = cursor.number()
    must(distance <= len(names), "input of a node")
    must(len(names) - distance not in closed, "a value of a body that has ended")
    return names[-distance] if distance else "-"


def list_nodes(cursor: Cursor, names: list[str], closed: set[int], indent: str) -> list[str]:
    """One line a node; those of its bodies, and what a body gives, further in."""
    lines = []
    must(len(indent) <= 8, "depth of bodies")
    for _ in range(cursor.number()):
        op, name = cursor.number(), cursor.text()
        reads = [back(cursor, names, closed) for _ in range(cursor.number())]
        inner = []
        for _ in range({108: 2, 109: 1}.get(op, 0)):
            first = len(names)
            for _ in range(cursor.number()):
                names.append(cursor.value())
            inner.append(f"{indent} body of {names[first:]}")
            inner += list_nodes(cursor, names, closed, indent + " ")
            inner.append(f"{indent} gives {[back(cursor, names, closed) for _ in range(cursor.number())]}")
            closed.update(range(first, len(names)))
        writes = [cursor.value() for _ in range(cursor.number())]
        names += writes
        lines.append(f"{indent}{op} {name!r}: {reads} -> {writes} {' '.join(list_attributes(cursor))}".rstrip())
        lines += inner
    return lines


def list_graph(data: bytes, tensors: list[str]) -> list[str]:
    """One line for inputs and outputs, then one a node: operator number, name, inputs, outputs, attributes."""
    cursor = Cursor(data)
    names = [cursor.value() for _ in range(cursor.number())]
    inputs = list(names)
    next_tensor = 0
    for _ in range(cursor.number()):
        next_tensor += cursor.number()
        must(next_tensor < len(tensors), "tensor of the graph")
        names.append(tensors[next_tensor])
        next_tensor += 1
    closed: set[int] = set()
    lines = list_nodes(cursor, names, closed, "")
    places = [cursor.number() for _ in range(cursor.number())]
    must(not closed.intersection(places), "an output inside a body")
    outputs = [names[place] for place in places]
    must(cursor.at == len(data), "length of the graph")
    must(len(set(names)) == len(names), "names of values")
    return [f"inputs {inputs}, outputs {outputs}", *lines]
