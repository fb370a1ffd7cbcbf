"""Constant folding: numbers as numpy gives them, and symbols for sizes that are not known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bitpress.graph import Node
from bitpress.passes.constants import fold_constants


def node(op: str, inputs: str, output: str = "y", **attributes: Any) -> Node:
    return Node(op, op, tuple("" if name == "." else name for name in inputs.split()), (output,), attributes)


def ints(*items: int) -> np.ndarray:
    return np.array(items, np.int64)


def fold(nodes: list[Node], shapes: dict[str, tuple[int | str, ...]] | None = None, **known: np.ndarray) -> Any:
    left, found = fold_constants(nodes, known, shapes or {})
    return None if left else found["y"].tolist()


X = {"x": (2, "n", 5)}


@pytest.mark.parametrize(
    ("nodes", "known", "expected"),
    [
        ([node("Shape", "x")], {}, [2, "n", 5]),
        ([node("Shape", "x", start=-1)], {}, [5]),
        ([node("Size", "w")], {"w": np.zeros((3, 4))}, 12),
        ([node("Shape", "x", "s"), node("Gather", "s i", axis=0)], {"i": np.int64(1)}, "n"),
        ([node("Shape", "x", "s"), node("Gather", "s i")], {"i": ints(0, -1)}, [2, 5]),
        ([node("Shape", "x", "s"), node("Slice", "s a b")], {"a": ints(1), "b": ints(3)}, ["n", 5]),
        ([node("Shape", "x", "s"), node("Concat", "s k", axis=0)], {"k": ints(7)}, [2, "n", 5, 7]),
        ([node("Shape", "x", "s"), node("Cast", "s", to=7)], {}, [2, "n", 5]),
        ([node("Slice", "v a b z t")], {"v": ints(1, 2, 3), "a": ints(2), "b": ints(-9), "z": ints(0), "t": ints(-1)},
         [3, 2, 1]),
        ([node("Div", "a b")], {"a": ints(-7, 7), "b": ints(2, -2)}, [-3, -3]),
        ([node("Mul", "a b", "p"), node("Sub", "p b")], {"a": ints(3), "b": ints(4)}, [8]),
        ([node("Unsqueeze", "a z")], {"a": np.int64(3), "z": ints(0)}, [3]),
        ([node("Squeeze", "a", axes=[0])], {"a": ints(3)}, 3),
        ([node("Range", "a b c")], {"a": np.int64(1), "b": np.int64(7), "c": np.int64(2)}, [1, 3, 5]),
        ([node("ConstantOfShape", "a", value=ints(5))], {"a": ints(2)}, [5, 5]),
        ([node("ReduceProd", "a", keepdims=0)], {"a": ints(2, 3, 4)}, 24),
        ([node("Where", "c a b")], {"c": np.array([True, False]), "a": ints(1, 1), "b": ints(2, 2)}, [1, 2]),
        ([node("Expand", "a s")], {"a": ints(1), "s": ints(3)}, [1, 1, 1]),
        ([node("Reshape", "a s")], {"a": ints(1, 2, 3, 4), "s": ints(2, -1)}, [[1, 2], [3, 4]]),
    ],
)  # fmt: skip
def test_values(nodes: list[Node], known: dict[str, np.ndarray], expected: Any) -> None:
    assert fold(nodes, X, **known) == expected


@pytest.mark.parametrize(
    ("nodes", "known"),
    [
        ([node("Shape", "unknown")], {}),
        ([node("Size", "x")], {}),
        ([node("Shape", "x", "s"), node("Mul", "s k")], {"k": ints(2)}),  # a symbol is not a number
        ([node("Div", "a b")], {"a": ints(1), "b": ints(0)}),
        ([node("Gather", "a i")], {"a": ints(1), "i": ints(9)}),
        ([node("ConstantOfShape", "a")], {"a": ints(2**40)}),
        ([node("Expand", "a s")], {"a": ints(1), "s": ints(2**40)}),
        ([node("Range", "a b c")], {"a": np.int64(0), "b": np.int64(2**60), "c": np.int64(1)}),
        ([node("Concat", "a b", axis=3)], {"a": ints(1), "b": ints(1)}),
        ([node("Relu", "a")], {"a": np.ones(3, np.float32)}),
    ],
)
def test_what_is_left(nodes: list[Node], known: dict[str, np.ndarray]) -> None:
    assert fold(nodes, X, **known) is None
