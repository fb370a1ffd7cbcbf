"""Removing what does nothing keeps every output and its name."""

from __future__ import annotations

import numpy as np

from bitpress.graph import Graph, Node, Value
from bitpress.passes.dead_code import remove_dead_code
from bitpress.reference import interpreter


def graph(nodes: list[tuple[str, str, str]], outputs: str = "y") -> Graph:
    made = tuple(Node(op, f"n{i}", tuple(a.split()), tuple(b.split())) for i, (op, a, b) in enumerate(nodes))
    return Graph((Value("x"),), tuple(Value(name) for name in outputs.split()), made, {"spare": Value("spare")})


def same(before: Graph, expected_ops: list[str]) -> Graph:
    after = remove_dead_code(before)
    assert [node.op for node in after.nodes] == expected_ops
    x = {"x": np.linspace(-2, 2, 6, dtype=np.float32)}
    ours, theirs = interpreter.run(after, {}, x), interpreter.run(before, {}, x)
    assert list(ours) == [value.name for value in before.outputs]
    for name in theirs:
        assert np.array_equal(ours[name], theirs[name])
    return after


def test_identities_in_between_go() -> None:
    same(
        graph([("Identity", "x", "a"), ("Relu", "a", "b"), ("Identity", "b", "c"), ("Exp", "c", "y")]), ["Relu", "Exp"]
    )


def test_chains_of_identities_go() -> None:
    same(graph([("Identity", "x", "a"), ("Identity", "a", "b"), ("Exp", "b", "y")]), ["Exp"])


def test_an_identity_before_an_output_lets_the_node_before_it_write_the_output() -> None:
    after = same(graph([("Relu", "x", "a"), ("Exp", "a", "b"), ("Identity", "a", "y")], "b y"), ["Relu", "Exp"])
    assert after.nodes[0].outputs == ("y",) and after.nodes[1].inputs == ("y",)


def test_two_names_for_one_value_need_an_identity() -> None:
    same(graph([("Relu", "x", "z"), ("Identity", "z", "y")], "z y"), ["Relu", "Identity"])
    same(graph([("Relu", "x", "a"), ("Identity", "a", "y"), ("Identity", "a", "z")], "y z"), ["Relu", "Identity"])


def test_an_input_that_is_an_output_needs_an_identity() -> None:
    same(graph([("Identity", "x", "y")]), ["Identity"])


def test_nodes_nobody_reads_go_with_what_is_known_of_their_values() -> None:
    after = same(graph([("Exp", "x", "spare"), ("Relu", "spare", "more"), ("Sigmoid", "x", "y")]), ["Sigmoid"])
    assert dict(after.values) == {}
