"""RNN, GRU and LSTM as a step of products and functions a turn: their sequences have a length that is known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..graph import Node
from .onnx_reader import Chain, Reader, Rule

__all__ = ["RECURRENT"]

_MOST_TURNS = 1 << 10
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
_PLAIN = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softsign": "Softsign", "softplus": "Softplus"}


class _Cell:
    """One direction's weights, and its step."""

    def __init__(self, chain: Chain, reader: Reader, place: int, hidden: int) -> None:
        self.chain, self.reader, self.hidden = chain, reader, hidden
        self.op, self.clip = reader.node.op, reader.attributes.get("clip")
        told = [item.decode() for item in reader.attributes.get("activations", [])]
        count = len(_DEFAULTS[self.op])
        self.functions = told[place * count : (place + 1) * count] or _DEFAULTS[self.op]
        if any(name.lower() not in _PLAIN for name in self.functions) or len(self.functions) != count:
            raise reader.refuse(f"activations {self.functions}")
        self.w, self.r = (self._transposed(i, place) for i in (1, 2))
        self.bias = self._part(3, place) if reader.input(3) else ""
        self.peepholes = self._part(7, place) if self.op == "LSTM" and reader.input(7) else ""

    def _part(self, index: int, place: int) -> str:
        x = self.reader.input(index)
        if self.reader.size(0, index) > 1:
            x = self.chain.add("Slice", x, starts=(place,), ends=(place + 1,), axes=(0,))
        return self.chain.add("Squeeze", x, axes=(0,))

    def _transposed(self, index: int, place: int) -> str:
        return self.chain.add("Transpose", self._part(index, place), perm=(1, 0))

    def cut(self, x: str, gate: int, axis: int = 1) -> str:
        """The columns of one gate."""
        low = gate * self.hidden
        return self.chain.add("Slice", x, starts=(low,), ends=(low + self.hidden,), axes=(axis,))

    def act(self, x: str, which: int, clip: bool = True) -> str:
        """An activation, of what is held inside the bound."""
        if clip and self.clip is not None:
            x = self.chain.add("Clip", x, clip_low=-float(self.clip), clip_high=float(self.clip))
        return self.chain.add(_PLAIN[self.functions[which].lower()], x)

    def biases(self, part: int) -> str:
        """Those of the input's products (0), or of the state's (1)."""
        low = part * _GATES[self.op] * self.hidden
        return self.chain.add("Slice", self.bias, starts=(low,), ends=(low + _GATES[self.op] * self.hidden,), axes=(0,))

    def inputs(self, x: str) -> str:
        """The products of all turns' inputs, [turns, batch, gates]."""
        product = self.chain.add("MatMul", x, self.w)
        if not self.bias:
            return product
        product = self.chain.add("Add", product, self.biases(0))
        return product if self.op == "GRU" else self.chain.add("Add", product, self.biases(1))

    def step(self, x: str, h: str, c: str) -> tuple[str, str]:
        """The next state; x: a turn's products [batch, gates]."""
        if self.op == "GRU":
            return self._gru(x, h), ""
        gates = self.chain.add("Add", x, self.chain.add("MatMul", h, self.r))
        if self.op == "RNN":
            return self.act(gates, 0), ""
        return self._lstm(gates, c)

    def _lstm(self, gates: str, c: str) -> tuple[str, str]:
        """Hochreiter and Schmidhuber, 1997, with forget gates: i, o, f, c, which alone have a bound."""
        chain = self.chain
        i, o, f, candidate = (self.cut(gates, k) for k in range(4))
        if self.peepholes:
            i = chain.add("Add", i, chain.add("Mul", self.cut(self.peepholes, 0, 0), c))
            f = chain.add("Add", f, chain.add("Mul", self.cut(self.peepholes, 2, 0), c))
        i, f = self.act(i, 0), self.act(f, 0)
        new = chain.add("Add", chain.add("Mul", f, c), chain.add("Mul", i, self.act(candidate, 1)))
        if self.peepholes:
            o = chain.add("Add", o, chain.add("Mul", self.cut(self.peepholes, 1, 0), new))
        return chain.add("Mul", self.act(o, 0), self.act(new, 2, False)), new

    def _gru(self, x: str, h: str) -> str:
        """Cho et al., 2014; the gates stand as z, r, h."""
        chain, after = self.chain, int(self.reader.attributes.get("linear_before_reset", 0))
        bias = self.biases(1) if self.bias else ""

        def state(of: str, gate: int) -> str:
            product = chain.add("MatMul", of, self.cut(self.r, gate))
            return chain.add("Add", product, self.cut(bias, gate, 0)) if bias else product

        z, r = (self.act(chain.add("Add", self.cut(x, k), state(h, k)), 0) for k in (0, 1))
        gated = chain.add("Mul", r, state(h, 2)) if after else state(chain.add("Mul", r, h), 2)
        candidate = self.act(chain.add("Add", self.cut(x, 2), gated), 1)
        return chain.add(
            "Add", chain.add("Mul", chain.add("Sub", chain.constant(1.0), z), candidate), chain.add("Mul", z, h)
        )


def _recurrent(reader: Reader) -> Iterable[Node]:
    attributes = reader.attributes
    if attributes.get("input_forget", 0) or attributes.get("activation_alpha") or attributes.get("activation_beta"):
        raise reader.refuse("input_forget or constants of activations")
    chain, x = Chain(reader), reader.input(0)
    batch_first = int(attributes.get("layout", 0))
    turns, batch = reader.size(1 if batch_first else 0), reader.size(0 if batch_first else 1)
    if not 1 <= turns <= _MOST_TURNS:
        raise reader.refuse(f"{turns} turns")
    if batch_first:
        x = chain.add("Transpose", x, perm=(1, 0, 2))
    hidden = reader.size(2, 2)
    direction = attributes.get("direction", b"forward").decode()
    backwards = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[direction]
    seen, last_h, last_c = [], [], []
    for place, reverse in enumerate(backwards):
        columns, h, c = _direction(chain, reader, x, place, reverse, (turns, batch, hidden))
        seen.append(columns)
        last_h.append(h)
        last_c.append(c)
    _outputs(chain, reader, seen, (last_h, last_c), batch_first, (turns, batch, hidden))
    return chain.nodes


def _initial(chain: Chain, reader: Reader, index: int, place: int, batch_first: int, shape: tuple[int, int]) -> str:
    if not reader.input(index):
        return chain.constant(np.zeros(shape))
    axis = 1 if batch_first else 0
    x = reader.input(index)
    if reader.size(axis, index) > 1:
        x = chain.add("Slice", x, starts=(place,), ends=(place + 1,), axes=(axis,))
    return chain.add("Squeeze", x, axes=(axis,))


def _direction(
    chain: Chain, reader: Reader, x: str, place: int, reverse: bool, sizes: tuple[int, int, int]
) -> tuple[list[str], str, str]:
    """A direction's states, in the order of the turns, and its last ones."""
    turns, batch, hidden = sizes
    cell, batch_first = _Cell(chain, reader, place, hidden), int(reader.attributes.get("layout", 0))
    h = _initial(chain, reader, 5, place, batch_first, (batch, hidden))
    c = _initial(chain, reader, 6, place, batch_first, (batch, hidden)) if reader.node.op == "LSTM" else ""
    products, lengths = cell.inputs(x), ""
    zero = chain.constant(np.zeros((batch, hidden))) if reader.input(4) else ""
    if reader.input(4):
        lengths = chain.add("Unsqueeze", reader.input(4), axes=(1,))
    columns = [""] * turns
    for turn in reversed(range(turns)) if reverse else range(turns):
        row = chain.add("Gather", products, chain.constant(np.array(turn), "I64"), axis=0)
        new_h, new_c = cell.step(row, h, c)
        columns[turn] = new_h
        if lengths:  # beyond a sequence's end the state stays, and the output is zero
            inside = chain.add("Less", chain.constant([[turn]], "I32"), lengths)
            columns[turn] = chain.add("Where", inside, new_h, zero)
            new_h = chain.add("Where", inside, new_h, h)
            new_c = chain.add("Where", inside, new_c, c) if c else ""
        h, c = new_h, new_c
    return columns, h, c


def _stack(chain: Chain, parts: list[str], axis: int) -> str:
    rows = [chain.add("Unsqueeze", part, axes=(axis,)) for part in parts]
    while len(rows) > 1:
        rows = [
            chain.add("Concat", *rows[i : i + 200], axis=axis) if len(rows[i : i + 200]) > 1 else rows[i]
            for i in range(0, len(rows), 200)
        ]
    return rows[0]


def _outputs(
    chain: Chain, reader: Reader, seen: list[list[str]], last: tuple[list[str], list[str]], batch_first: int,
    sizes: tuple[int, int, int],
) -> None:  # fmt: skip
    if reader.output(0):
        both = _stack(chain, [_stack(chain, columns, 0) for columns in seen], 1)  # turns, directions, batch, hidden
        chain.end("Transpose", both, output=0, perm=(2, 0, 1, 3) if batch_first else (0, 1, 2, 3))
    for output, parts in enumerate(last, 1):
        if reader.output(output):
            chain.end("Identity", _stack(chain, parts, 1 if batch_first else 0), output=output)


RECURRENT: dict[str, Rule] = dict.fromkeys(("RNN", "GRU", "LSTM"), _recurrent)
