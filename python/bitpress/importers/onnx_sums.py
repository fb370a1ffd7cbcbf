"""Operators that are sums of products: Einsum, the Fourier transforms, Det; and running sums, TopK, BitCast."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..dtypes import DTYPES
from ..graph import Node
from .onnx_reader import Chain, Reader, Rule
from .onnx_tensors import dtype_name

__all__ = ["SUMS"]

_MOST = 1 << 22  # elements of a matrix that is made at import


def _cumulate(reader: Reader) -> Iterable[Node]:
    axis = reader.integers(1, "an axis")
    if axis is None or len(axis) != 1:
        raise ValueError("its axis is not one number")
    told = {key: int(reader.attributes.get(key, 0)) for key in ("exclusive", "reverse")}
    return [reader.make(1, axis=axis[0], **told)]


def _top_k(reader: Reader) -> Iterable[Node]:
    k = reader.integers(1, "k", since=10, attribute="k") if reader.opset >= 10 else [int(reader.attributes["k"])]
    if k is None or len(k) != 1 or k[0] < 1:
        raise reader.refuse("no k, or one below 1")
    node = reader.node
    told = {"axis": int(reader.attributes.get("axis", -1)), "k": k[0]}
    if not int(reader.attributes.get("largest", 1)):
        told["largest"] = 0
    first = f"{node.outputs[0] or node.outputs[1]}"
    outputs = tuple(reader.output(i) or f"{first}.unread{i}" for i in (0, 1))
    return [Node("TopK", node.name, node.inputs[:1], outputs, told)]


def _bit_cast(reader: Reader) -> Iterable[Node]:
    element = int(reader.attributes["to"])
    if element in (10, 16) or reader.element() in (10, 16) or element > 16 or reader.element() > 16:
        raise reader.refuse("an element type that no network runs in")
    return [reader.make(1, to=DTYPES[dtype_name(element, reader.node.name)].number)]


# -- Einsum ---------------------------------------------------------------------------------------------------------


def _terms(reader: Reader) -> tuple[list[list[str]], list[str]]:
    """The axes' letters of each input and of the output; an ellipsis is letters of its own."""
    text = reader.attributes["equation"].decode().replace(" ", "")
    left, arrow, right = text.partition("->")
    terms, wide = [], 0
    for index, term in enumerate(left.split(",")):
        before, dots, after = term.partition("...")
        rest = len(reader.sizes(index)) - len(before) - len(after)
        if rest < 0 or (rest and not dots):
            raise ValueError(f"equation {text!r} does not fit its inputs")
        wide = max(wide, rest)
        terms.append([*before, *(f"...{rest - i}" for i in range(rest)), *after])
    ellipsis = [f"...{wide - i}" for i in range(wide)]
    if arrow:
        before, dots, after = right.partition("...")
        return terms, [*before, *(ellipsis if dots else []), *after]
    letters = [letter for term in terms for letter in term if not letter.startswith("...")]
    return terms, [*ellipsis, *sorted(letter for letter in set(letters) if letters.count(letter) == 1)]


def _diagonal(chain: Chain, x: str, letters: list[str], sizes: dict[str, int]) -> tuple[str, list[str]]:
    """A term without repeated letters: their diagonal is gathered."""
    while len(set(letters)) < len(letters):
        letter = next(item for item in letters if letters.count(item) > 1)
        first = letters.index(letter)
        second = letters.index(letter, first + 1)
        others = [i for i in range(len(letters)) if i not in (first, second)]
        x = chain.add("Transpose", x, perm=(*others, first, second))
        size = sizes[letter]
        rest = tuple(sizes[letters[i]] for i in others)
        x = chain.add("Reshape", x, shape=(*rest, size * size))
        x = chain.add("Gather", x, chain.constant(np.arange(size) * (size + 1), "I64"), axis=len(others))
        letters = [*(letters[i] for i in others), letter]
    return x, letters


def _einsum(reader: Reader) -> Iterable[Node]:
    """One input after the other: what only the two have in common is summed by a matrix product."""
    terms, output = _terms(reader)
    sizes: dict[str, int] = {}
    for index, term in enumerate(terms):
        for axis, letter in enumerate(term):
            size = reader.size(axis, index)
            if sizes.setdefault(letter, size) not in (size, 1) and size != 1:
                raise ValueError(f"axis {letter!r} has two sizes")
            if size != max(size, sizes[letter]):
                raise reader.refuse("axes that broadcast")
            if letter.startswith("...") and sizes[letter] != size:
                raise reader.refuse("axes that broadcast")
            sizes[letter] = size
    chain = Chain(reader)
    plain = [_diagonal(chain, reader.input(i), term, sizes) for i, term in enumerate(terms)]
    x, letters = plain[0]
    for i, (y, others) in enumerate(plain[1:], 1):
        later = set(output) | {letter for _, term in plain[i + 1 :] for letter in term}
        x, letters = _pair(chain, (x, letters), (y, others), later, sizes)
    gone = tuple(i for i, letter in enumerate(letters) if letter not in output)
    if gone:
        x = chain.add("ReduceSum", x, axes=gone, keepdims=0)
        letters = [letter for letter in letters if letter in output]
    if letters != output:
        x = chain.add("Transpose", x, perm=tuple(letters.index(letter) for letter in output))
    return chain.end("Identity", x)


def _pair(
    chain: Chain, a: tuple[str, list[str]], b: tuple[str, list[str]], later: set[str], sizes: dict[str, int]
) -> tuple[str, list[str]]:
    both = [letter for letter in a[1] if letter in b[1]]
    inner = [letter for letter in both if letter not in later]
    batch = [letter for letter in both if letter in later]
    rows = [letter for letter in a[1] if letter not in both]
    columns = [letter for letter in b[1] if letter not in both]

    def grouped(value: tuple[str, list[str]], *groups: list[str]) -> str:
        order = [letter for group in groups for letter in group]
        name = chain.add("Transpose", value[0], perm=tuple(value[1].index(letter) for letter in order))
        return chain.add("Reshape", name, shape=tuple(int(np.prod([sizes[x] for x in group])) for group in groups))

    left, right = grouped(a, batch, rows, inner), grouped(b, batch, inner, columns)
    if chain.reader.dtype() in ("F32", "F64", "I32", "I64", "U32", "U64"):
        product = chain.add("MatMul", left, right)
    else:
        wide = chain.add("Unsqueeze", left, axes=(3,)), chain.add("Unsqueeze", right, axes=(1,))
        product = chain.add("ReduceSum", chain.add("Mul", *wide), axes=(2,), keepdims=0)
    letters = [*batch, *rows, *columns]
    return chain.add("Reshape", product, shape=tuple(sizes[letter] for letter in letters)), letters


# -- Fourier transforms ---------------------------------------------------------------------------------------------


def _fourier(length: int, bins: int, inverse: bool, complex_input: bool) -> np.ndarray:
    """The matrix that takes rows of (re, im) pairs, or of numbers, to rows of ``bins`` pairs."""
    angle = 2 * np.pi * (np.outer(np.arange(length), np.arange(bins)) % length) / length * (1 if inverse else -1)
    real = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    if not complex_input:
        return real.reshape(length, 2 * bins)
    imaginary = np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    matrix = np.stack([real, imaginary], axis=1).reshape(2 * length, 2 * bins)
    return matrix / length if inverse else matrix


def _back(length: int, bins: int) -> np.ndarray:
    """Rows of ``bins`` pairs, half of a conjugate symmetric spectrum, to rows of ``length`` numbers."""
    matrix = np.zeros((2 * bins, length))
    angle = 2 * np.pi * (np.outer(np.arange(bins), np.arange(length)) % length) / length
    twice = np.array([1 if k == 0 or 2 * k == length else 2 for k in range(bins)])[:, None]
    matrix[0::2], matrix[1::2] = twice * np.cos(angle) / length, -twice * np.sin(angle) / length
    return matrix


def _dft(reader: Reader) -> Iterable[Node]:
    rank = len(reader.sizes())
    if reader.opset >= 20:
        found = reader.integers(2, "an axis")
        axis = found[0] if found else -2
    else:
        axis = int(reader.attributes.get("axis", 1))
    axis %= rank
    inverse, onesided = (bool(reader.attributes.get(key, 0)) for key in ("inverse", "onesided"))
    pairs = reader.size(-1) == 2
    size = reader.size(axis)
    given = reader.integers(1, "a length")
    back = inverse and onesided
    length = given[0] if given else 2 * (size - 1) if back else size
    bins = length // 2 + 1 if onesided else length
    used = min(bins if back else length, size)
    if not length >= 1 or length * bins * 4 > _MOST:
        raise reader.refuse(f"a length of {length}")
    if reader.size(-1) not in (1, 2) or (onesided and pairs != inverse):
        raise reader.refuse("such a last axis")
    if back:
        matrix = _back(length, bins)[: 2 * used]
    else:
        matrix = _fourier(length, bins, inverse, pairs)[: used * (2 if pairs else 1)]
    chain, x = Chain(reader), reader.input(0)
    if used != size:
        x = chain.add("Slice", x, starts=(0,), ends=(used,), axes=(axis,))
    others = tuple(i for i in range(rank - 1) if i != axis)
    x = chain.add("Transpose", x, perm=(*others, axis, rank - 1))
    rest = tuple(reader.size(i) for i in others)
    x = chain.add("Reshape", x, shape=(*rest, len(matrix)))
    wide = chain.add("Cast", x, to=DTYPES["F64"].number)  # sums that cancel out are zero
    product = chain.add("MatMul", wide, chain.constant(matrix, "F64"))
    x = chain.add("Cast", product, to=DTYPES[reader.dtype()].number)
    width = 1 if back else 2
    x = chain.add("Reshape", x, shape=(*rest, matrix.shape[1] // width, width))
    order = (*others, axis, rank - 1)
    return chain.end("Transpose", x, perm=tuple(order.index(i) for i in range(rank)))


def _stft(reader: Reader) -> Iterable[Node]:
    step = reader.integers(1, "a step")
    size = reader.size(1)
    given = reader.integers(3, "a length")
    length = given[0] if given else reader.size(0, 2)
    onesided = bool(reader.attributes.get("onesided", 1))
    if step is None or step[0] < 1 or not 1 <= length <= size:
        raise ValueError("its frames do not fit the signal")
    frames, bins = 1 + (size - length) // step[0], length // 2 + 1 if onesided else length
    pairs = len(reader.sizes()) == 3 and reader.size(2) == 2
    if length * bins * 4 > _MOST or frames * length > _MOST:
        raise reader.refuse(f"frames of {length}")
    chain, x = Chain(reader), reader.input(0)
    places = np.arange(frames)[:, None] * step[0] + np.arange(length)
    x = chain.add("Gather", x, chain.constant(places, "I64"), axis=1)
    x = chain.add("Reshape", x, shape=(0, frames, length, 2 if pairs else 1))
    if reader.input(2):
        x = chain.add("Mul", x, chain.add("Reshape", reader.input(2), shape=(-1, 1)))
    x = chain.add("Reshape", x, shape=(0, frames, length * (2 if pairs else 1)))
    x = chain.add("MatMul", x, chain.constant(_fourier(length, bins, False, pairs)))
    return chain.end("Reshape", x, shape=(0, frames, bins, 2))


def _det(reader: Reader) -> Iterable[Node]:
    """By the first row, for small matrices."""
    size = reader.size(-1)
    if size != reader.size(-2) or size > 4:
        raise reader.refuse(f"matrices of {size} columns")
    chain, rank = Chain(reader), len(reader.sizes())

    def cell(row: int, column: int) -> str:
        x = chain.add(
            "Slice", reader.input(0), starts=(row, column), ends=(row + 1, column + 1), axes=(rank - 2, rank - 1)
        )
        return chain.add("Squeeze", x, axes=(rank - 2, rank - 1))

    def minor(row: int, columns: tuple[int, ...]) -> str:
        if len(columns) == 1:
            return cell(row, columns[0])
        total = ""
        for i, column in enumerate(columns):
            part = chain.add("Mul", cell(row, column), minor(row + 1, columns[:i] + columns[i + 1 :]))
            total = part if not total else chain.add("Sub" if i % 2 else "Add", total, part)
        return total

    return chain.end("Identity", minor(0, tuple(range(size))))


SUMS: dict[str, Rule] = {
    "CumSum": _cumulate,
    "CumProd": _cumulate,
    "TopK": _top_k,
    "BitCast": _bit_cast,
    "Einsum": _einsum,
    "DFT": _dft,
    "STFT": _stft,
    "Det": _det,
}
