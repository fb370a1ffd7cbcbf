"""If and Loop, and results whose sizes a run finds: against reference/, and forged in ways that must be refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph_file import BodySpec, GraphFile, NodeSpec, plain

import bitpress as bp
from bitpress.errors import BitpressError, CorruptError, FormatError, ShapeError
from bitpress.graph import Graph, Value
from bitpress.graph_bytes import decode
from bitpress.reference import interpreter
from bitpress.reference.operators import OPERATORS as REFERENCE
from bitpress.session import Session

BOOL, F32, I64 = 0, 11, 12
SIZED = {"If", "Loop", "NonZero", "Compress", "Unique", "NonMaxSuppression", "Range", "Shape"}  # tested here
N, B = NodeSpec, BodySpec
RNG = np.random.default_rng(6)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def graph_of(file: GraphFile) -> Graph:
    return decode(file.section(), [Value(name, t.dtype, t.shape) for name, t in file.tensors.items()])


def both(file: GraphFile, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The session's answers, which are those of the numpy interpreter."""
    data = file.bytes()
    found = Session(data).run(inputs)
    tensors = {name: tensor.unpack() for name, tensor in file.tensors.items()}
    with np.errstate(all="ignore"):
        wanted = interpreter.run(graph_of(file), tensors, inputs)
    for name, array in wanted.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype), name
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)
    return found


def choice(then: BodySpec, other: BodySpec, **told: Any) -> GraphFile:
    dtypes = {"c": BOOL, **told.pop("dtypes", {})}
    return GraphFile({"c": (), "x": (2, 3)}, ["y"], [N("Relu", ["x"], ["r"]),
                     N("If", ["c"], ["y"], {}, "choice", [then, other])],
                     told.get("tensors", {}), dtypes)  # fmt: skip


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_reads_what_is_around_it(condition: bool) -> None:
    then = B([], [N("Neg", ["x"], ["t"]), N("Add", ["t", "r"], ["u"])], ["u"])
    both(choice(then, B([], [], ["r"])), {"c": np.array(condition), "x": floats(2, 3)})


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_gives_a_stored_tensor_or_an_input(condition: bool) -> None:
    then, other = B([], [], ["w"]), B([], [], ["x"])
    for coding in ("raw", "huffman"):
        packed = bp.pack(floats(2, 3), bp.Scheme.int(8, coding=coding))
        both(choice(then, other, tensors={"w": packed}), {"c": np.array(condition), "x": floats(2, 3)})


@pytest.mark.parametrize("condition", [True, False])
def test_branches_of_other_sizes(condition: bool) -> None:
    then = B([], [N("Slice", ["x"], ["t"], {"starts": (0,), "ends": (2,), "axes": (1,)})], ["t"])
    found = both(choice(then, B([], [], ["r"])), {"c": np.array(condition), "x": floats(2, 3)})
    assert found["y"].shape == ((2, 2) if condition else (2, 3))


def test_a_branch_that_the_shapes_do_not_fit_is_refused_when_it_is_taken() -> None:
    then = B([], [N("MatMul", ["x", "x"], ["t"])], ["t"])
    session = Session(choice(then, B([], [], ["r"])).bytes())
    x = floats(2, 3)
    assert np.array_equal(session.run({"c": False, "x": x})["y"], np.maximum(x, 0))
    with pytest.raises(ShapeError):
        session.run({"c": True, "x": x})
    with pytest.raises(ShapeError, match="MatMul"):  # neither fits
        Session(choice(then, then_again()).bytes()).run({"c": True, "x": x})


def then_again() -> BodySpec:
    return B([], [N("MatMul", ["r", "r"], ["t2"])], ["t2"])


def counted(bound: int = 10, **told: Any) -> GraphFile:
    body = B(["i", "g", "v"], [N("Add", ["v", "x"], ["w"]), N("Identity", ["g"], ["on"])], ["on", "w", "v"])
    return GraphFile({"m": (), "x": (2,)}, ["y", "z"],
                     [N("Loop", ["m", "", "x"], ["y", "z"], {"bound": bound}, "turns", [body])],
                     told.get("tensors", {}), {"m": I64, "i": I64, "g": BOOL, "on": BOOL})  # fmt: skip


@pytest.mark.parametrize("turns", [1, 2, 3, 10])
def test_a_loop_of_so_many_turns(turns: int) -> None:
    found = both(counted(), {"m": np.array(turns), "x": floats(2)})
    assert found["z"].shape == (turns, 2)


def test_a_loop_of_no_turns_gives_what_it_was_given() -> None:
    session = Session(counted().bytes())
    x = floats(2)
    for turns in (0, -5, -(2**63)):
        found = session.run({"m": np.array(turns), "x": x})
        assert np.array_equal(found["y"], x) and found["z"].shape == (0, 2)


@pytest.mark.parametrize("turns", [11, 2**40, 2**63 - 1])
def test_more_turns_than_the_bound_end_the_run(turns: int) -> None:
    with pytest.raises(FormatError):
        Session(counted().bytes()).run({"m": np.array(turns), "x": floats(2)})


@pytest.mark.parametrize("bound", [0, -1, 2**20 + 1, 2**40, 2**63 - 1])
def test_a_bound_that_no_loop_may_have_is_refused_when_it_is_planned(bound: int) -> None:
    with pytest.raises(BitpressError, match="turns"):
        Session(counted(bound).bytes()).run({"m": np.array(1), "x": floats(2)})


def test_a_loop_without_end_is_stopped_at_its_bound() -> None:
    body = B(["i", "g", "v"], [N("Add", ["v", "v"], ["w"]), N("Identity", ["g"], ["on"])], ["on", "w"])
    file = GraphFile({"x": (2,)}, ["y"], [N("Loop", ["", "", "x"], ["y"], {"bound": 1 << 20}, "for ever", [body])],
                     {}, {"i": I64, "g": BOOL, "on": BOOL})  # fmt: skip
    with pytest.raises(FormatError):
        Session(file.bytes()).run({"x": floats(2)})


def test_values_change_places_and_outer_ones_live_until_the_last_turn() -> None:
    """a, b = b, a + k each turn: what is around the loop is read in every turn and never overwritten."""
    body = B(["i", "g", "a", "b"], [N("Neg", ["o"], ["k"]), N("Add", ["a", "k"], ["n"]), N("Exp", ["n"], ["e"]),
                                    N("Identity", ["g"], ["on"])], ["on", "b", "n", "e"])  # fmt: skip
    loop = N("Loop", ["m", "", "x", "y"], ["p", "q", "s"], {"bound": 8}, "swap", [body])
    nodes = [N("Abs", ["x"], ["o"]), loop, N("Add", ["p", "q"], ["t"])]
    types = {"m": I64, "i": I64, "g": BOOL, "on": BOOL}
    file = GraphFile({"m": (), "x": (40,), "y": (40,)}, ["t", "s"], nodes, {}, types)
    both(file, {"m": np.array(7), "x": floats(40), "y": floats(40)})


@pytest.mark.parametrize("outer", [1, 3])
def test_a_loop_in_a_loop_and_a_branch_in_it(outer: int) -> None:
    inner = B(["j", "h", "u"], [N("Mul", ["u", "x"], ["u1"]), N("Identity", ["h"], ["hon"])], ["hon", "u1"])
    compared = [N("ReduceSum", ["v2"], ["total"], {"keepdims": 0}), N("Less", ["total", "zero"], ["less"])]
    choose = N("If", ["less"], ["v3"], {}, "", [B([], [N("Neg", ["v2"], ["v4"])], ["v4"]), B([], [], ["v2"])])
    turn = [N("Loop", ["m", "", "v"], ["v2"], {"bound": 4}, "inner", [inner]), *compared, choose,
            N("Identity", ["g"], ["on"])]  # fmt: skip
    body = B(["i", "g", "v"], turn, ["on", "v3", "total"])
    types = dict.fromkeys(["m", "n", "i", "j"], I64) | dict.fromkeys(["g", "h", "on", "hon", "less"], BOOL)
    file = GraphFile({"n": (), "m": (), "x": (5,)}, ["y", "s"],
                     [N("Loop", ["n", "", "x"], ["y", "s"], {"bound": 5}, "outer", [body])],
                     {"zero": plain(np.float32(0.0))}, types)  # fmt: skip
    both(file, {"n": np.array(outer), "m": np.array(2), "x": floats(5)})


def test_a_condition_that_is_computed_ends_a_loop() -> None:
    body = B(["i", "g", "v"], [N("Add", ["v", "v"], ["w"]), N("ReduceMax", ["w"], ["top"], {"keepdims": 0}),
                               N("Less", ["top", "limit"], ["on"])], ["on", "w", "w"])  # fmt: skip
    file = GraphFile({"x": (3,), "limit": ()}, ["y", "s"],
                     [N("Loop", ["", "", "x"], ["y", "s"], {"bound": 64}, "", [body])],
                     {}, {"i": I64, "g": BOOL, "on": BOOL})  # fmt: skip
    for limit in (1.0, 9.0, 1000.0):
        both(file, {"x": np.array([0.5, 1, 0.25], np.float32), "limit": np.float32(limit)})


def test_sizes_that_a_run_finds_go_on_through_other_operators() -> None:
    """The rows that are not zero, times a matrix, softmax, and sums of that; other rows in each run of one session."""
    nodes = [
        N("ReduceSum", ["x"], ["sums"], {"axes": (1,), "keepdims": 0}),
        N("NonZero", ["sums"], ["n"]),
        N("Reshape", ["n"], ["rows"], {"shape": (-1,)}),
        N("Gather", ["x", "rows"], ["g"]),
        N("MatMul", ["g", "w"], ["p"]),
        N("Softmax", ["p"], ["y"], {"axis": -1}),
        N("ReduceSum", ["y"], ["s"], {"axes": (0,)}),
        N("Shape", ["y"], ["size"]),
    ]
    file = GraphFile(
        {"x": (-1, 4)}, ["y", "s", "size"], nodes, {"w": plain(floats(4, 6))}, dict.fromkeys(["n", "rows", "size"], I64)
    )
    session = Session(file.bytes())
    for count in (3, 40, 17, 40):
        x = floats(count, 4)
        x[RNG.integers(0, count, count // 2)] = 0
        wanted = both(file, {"x": x})
        found = session.run({"x": x})
        assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert session.run({"x": x})["size"].tolist() == [int((x.any(1)).sum()), 6]


@pytest.mark.parametrize("dtype", ["F32", "F64", "I8", "I64", "U64", "BOOL"])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4)])
def test_non_zero_and_compress(dtype: str, shape: tuple[int, ...]) -> None:
    from bitpress.dtypes import DTYPES

    x = RNG.integers(0, 2, shape).astype(DTYPES[dtype].numpy)
    told = {"x": DTYPES[dtype].number, "y": I64}
    assert np.array_equal(
        Session(GraphFile({"x": shape}, ["y"], [N("NonZero", ["x"], ["y"])], {}, told).bytes()).run({"x": x})["y"],
        np.array(np.nonzero(x)),
    )
    for axis in (None, 0, -1):
        size = x.size if axis is None else shape[axis]
        for length in (size, size - 1):
            condition = RNG.integers(0, 2, length).astype(np.bool_)
            told = {"x": DTYPES[dtype].number, "c": BOOL, "y": DTYPES[dtype].number}
            node = N("Compress", ["x", "c"], ["y"], {} if axis is None else {"axis": axis})
            found = Session(GraphFile({"x": shape, "c": (length,)}, ["y"], [node], {}, told).bytes())
            wanted = np.compress(condition, x, axis=axis)
            assert np.array_equal(found.run({"x": x, "c": condition})["y"], wanted)


def test_a_condition_beyond_the_axis_ends_the_run() -> None:
    file = GraphFile(
        {"x": (2,), "c": (3,)}, ["y"], [N("Compress", ["x", "c"], ["y"], {}, "the condition")], {}, {"c": BOOL}
    )
    session = Session(file.bytes())
    assert session.run({"x": floats(2), "c": np.array([True, True, False])})["y"].shape == (2,)
    with pytest.raises(BitpressError, match=r"the condition.*outside"):
        session.run({"x": floats(2), "c": np.array([True, True, True])})


@pytest.mark.parametrize("attributes", [{}, {"sorted": 0}, {"axis": 0}, {"axis": -1, "sorted": 0}])
@pytest.mark.parametrize("dtype", ["F32", "I64", "U8"])
def test_unique(attributes: dict[str, int], dtype: str) -> None:
    from bitpress.dtypes import DTYPES

    names = ["y", "first", "which", "count"]
    told = {"x": DTYPES[dtype].number, "y": DTYPES[dtype].number, "first": I64, "which": I64, "count": I64}
    for shape in ((1, 1), (4, 3), (9, 2), (1, 30)):
        x = RNG.integers(0, 3, shape).astype(DTYPES[dtype].numpy)
        file = GraphFile({"x": shape}, names, [N("Unique", ["x"], names, attributes)], {}, told)
        found = Session(file.bytes()).run({"x": x})
        for name, wanted in zip(names, REFERENCE["Unique"](x, **attributes), strict=True):
            assert np.array_equal(found[name], wanted), (name, shape)


@pytest.mark.parametrize("centred", [0, 1])
@pytest.mark.parametrize("bound", [0, 2])
def test_non_max_suppression(centred: int, bound: int) -> None:
    told = {"most": I64, "y": I64}
    attributes = {"center_point_box": centred, "bound": bound}
    node = N("NonMaxSuppression", ["boxes", "scores", "most", "overlap", "least"], ["y"], attributes)
    file = GraphFile(
        {"boxes": (2, 30, 4), "scores": (2, 3, 30), "most": (), "overlap": (), "least": ()}, ["y"], [node], {}, told
    )
    session = Session(file.bytes())
    for most, overlap, least in ((2, 0.3, 0.2), (2, 0.0, -1.0), (1, 0.9, 0.5), (0, 0.5, 0.0), (2, 0.5, 2.0)):
        boxes = RNG.uniform(0, 1, (2, 30, 4)).astype(np.float32)
        scores = RNG.uniform(0, 1, (2, 3, 30)).round(1).astype(np.float32)  # with equal ones
        fed = {
            "boxes": boxes,
            "scores": scores,
            "most": np.array(most),
            "overlap": np.float32(overlap),
            "least": np.float32(least),
        }
        assert np.array_equal(session.run(fed)["y"], REFERENCE["NonMaxSuppression"](*fed.values(), **attributes))
    if bound:
        with pytest.raises(FormatError):
            session.run({**fed, "most": np.array(3)})


@pytest.mark.parametrize("dtype", ["F32", "F64", "I64", "I32", "U64", "I8"])
def test_range(dtype: str) -> None:
    from bitpress.dtypes import DTYPES

    kind = DTYPES[dtype].numpy
    ends = ["a", "b", "c"]
    told = dict.fromkeys([*ends, "y"], DTYPES[dtype].number)
    session = Session(
        GraphFile(dict.fromkeys(ends, ()), ["y"], [N("Range", ends, ["y"], {"bound": 20})], {}, told).bytes()
    )

    def run(*numbers: float) -> np.ndarray:
        return session.run({name: np.array(x, kind) for name, x in zip(ends, numbers, strict=True)})["y"]

    for numbers in ((0, 7, 1), (3, 20, 5), (5, 5, 1), (9, 2, 1)):
        assert np.array_equal(run(*numbers), np.arange(*numbers, dtype=kind))
    if dtype[0] != "U":
        assert np.array_equal(run(5, -7, -3), np.arange(5, -7, -3, dtype=kind))
    with pytest.raises(FormatError):
        run(0, 21, 1)
    with pytest.raises(BitpressError):  # a step of nothing
        run(0, 0, 0)
    if dtype == "I64":
        with pytest.raises(FormatError):
            run(-(2**63), 2**63 - 1, 1)


def test_what_a_body_made_is_read_by_nobody_after_it() -> None:
    then = B([], [N("Neg", ["x"], ["t"])], ["t"])
    file = choice(then, B([], [], ["r"]))
    file.nodes = [*file.nodes, N("Neg", ["t"], ["late"])]
    file.outputs = ["late"]
    with pytest.raises(CorruptError):
        Session(file.bytes())
    file.nodes, file.outputs = file.nodes[:2], ["t"]
    with pytest.raises(CorruptError):
        Session(file.bytes())
    other = B([], [N("Neg", ["t"], ["u"])], ["u"])
    with pytest.raises(CorruptError):  # a branch reads the other's
        Session(choice(then, other).bytes())


def test_wrong_bodies() -> None:
    run = {"c": np.array(True), "x": floats(2, 3)}
    good = B([], [N("Neg", ["x"], ["t"])], ["t"])
    two = B([], [N("Abs", ["x"], ["u"])], ["u", "u"])
    given = B(["i"], [N("Abs", ["x"], ["u"])], ["u"])
    flat = B([], [N("Flatten", ["x"], ["u"]), N("Reshape", ["u"], ["v"], {"shape": (-1,)})], ["v"])
    truth = B([], [N("Less", ["x", "x"], ["u"])], ["u"])
    for body, error in ((two, CorruptError), (given, CorruptError), (flat, BitpressError), (truth, BitpressError)):
        with pytest.raises(error):
            Session(choice(good, body, dtypes={"u": BOOL} if body is truth else {}).bytes()).run(run)
    with pytest.raises(BitpressError, match="choice"):  # a condition that is no truth value
        Session(choice(good, B([], [], ["r"]), dtypes={"c": F32}).bytes()).run({**run, "c": np.float32(1)})


def test_what_a_loop_carries_keeps_its_size() -> None:
    body = B(["i", "g", "v"], [N("Concat", ["v", "x"], ["w"], {"axis": 0}), N("Identity", ["g"], ["on"])], ["on", "w"])
    file = GraphFile({"x": (2,)}, ["y"], [N("Loop", ["", "", "x"], ["y"], {"bound": 3}, "grows", [body])], {},
                     {"i": I64, "g": BOOL, "on": BOOL})  # fmt: skip
    with pytest.raises(ShapeError, match="grows"):
        Session(file.bytes()).run({"x": floats(2)})


def test_bodies_too_deep_are_refused() -> None:
    for depth, fits in ((7, True), (8, False)):
        file = GraphFile(
            {"c": (), "x": (2,)},
            ["y"],
            [N("If", ["c"], ["y"], {}, "", [deep(depth), B([], [], ["x"])])],
            {},
            {"c": BOOL},
        )
        if fits:
            assert Session(file.bytes()).run({"c": True, "x": floats(2)})["y"].shape == (2,)
        else:
            with pytest.raises(FormatError):
                Session(file.bytes())


def deep(depth: int) -> BodySpec:
    """A body with others inside it, so many deep in all but one."""
    if depth == 0:
        return B([], [N("Neg", ["x"], ["deepest"])], ["deepest"])
    return B([], [N("If", ["c"], [f"o{depth}"], {}, "", [deep(depth - 1), B([], [], ["x"])])], [f"o{depth}"])


def test_every_truncation_and_every_flipped_byte_of_a_section_with_bodies() -> None:
    from graph_file import pack_file

    file = counted()
    section = file.section()
    for cut in range(len(section)):
        with pytest.raises(BitpressError):
            Session(pack_file(file.tensors, section[:cut]), check="none")
    for at in range(len(section)):
        for bit in (1, 2, 4, 0x80):
            damaged = bytearray(section)
            damaged[at] ^= bit
            try:
                Session(pack_file(file.tensors, bytes(damaged)), check="none").run({"m": np.array(3), "x": floats(2)})
            except (BitpressError, ValueError, TypeError, IndexError) as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize("threads", [1, 2])
def test_runs_are_the_same_and_take_no_more_than_was_planned(threads: int) -> None:
    body = B(["i", "g", "v"], [N("MatMul", ["v", "w"], ["p"]), N("Softmax", ["p"], ["q"], {"axis": -1}),
                               N("Identity", ["g"], ["on"])], ["on", "q", "p"])  # fmt: skip
    file = GraphFile({"x": (64, 96)}, ["y", "s"], [N("Loop", ["m", "", "x"], ["y", "s"], {"bound": 6}, "", [body])],
                     {"m": plain(np.array(5)), "w": bp.pack(floats(96, 96), bp.Scheme.int(4, coding="rans"))},
                     {"i": I64, "g": BOOL, "on": BOOL})  # fmt: skip
    x = floats(64, 96)
    for load in ("map", "tile", "unpack"):
        session = Session(file.bytes(), load=load, threads=threads)  # type: ignore[arg-type]
        first, second = session.run({"x": x}), session.run({"x": x})
        assert all(np.array_equal(first[name], second[name]) for name in first)
        assert first["s"].shape == (5, 64, 96)
        assert len(session.profile({"x": x}, runs=1).steps) >= 3
