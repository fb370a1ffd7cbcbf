"""The layers of docs/design.md: includes and imports go one way, and what each may know is kept."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def layers(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("layers", root / "tools" / "layers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["layers"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_includes_go_down(layers: ModuleType) -> None:
    arrows = list(layers.cpp_arrows())
    assert len(arrows) > 5
    assert layers.wrong_cpp(arrows) == []


def test_imports_go_down(layers: ModuleType) -> None:
    arrows = list(layers.python_arrows())
    assert len(arrows) > 5
    assert layers.wrong_python(arrows) == []


def test_every_unit_stands_in_a_layer(layers: ModuleType, root: Path) -> None:
    cpp = {path.name.split(".")[0] for path in (root / "csrc").iterdir()}
    assert cpp - {unit for layer in layers.CPP_LAYERS for unit in layer} == set()
    python = {path.name.split(".")[0] for path in (root / "python" / "bitpress").iterdir()} - {"__pycache__", "py"}
    known = {unit for layer in layers.PYTHON_LAYERS for unit in layer} | {"reference", "__init__"}
    assert python - known == set()


def test_only_bind_knows_python(root: Path) -> None:
    for file in (root / "csrc").rglob("*.*"):
        text = file.read_text()
        if "bind" not in file.parts and ("pybind11" in text or "Python.h" in text):
            pytest.fail(f"{file.relative_to(root)} knows Python")


def test_isa_folders_include_c_headers_alone(root: Path) -> None:
    """An inline function of the C++ library, compiled with an ISA's flags, may become the whole program's copy."""
    for folder in (root / "csrc" / "kernels").iterdir():
        if not folder.is_dir() or folder.name == "scalar":
            continue
        for file in folder.iterdir():
            for line in file.read_text().splitlines():
                if line.startswith("#include <"):
                    header = line.split("<")[1].split(">")[0]
                    assert header.endswith(".h"), f"{file.relative_to(root)} includes <{header}>"
                elif line.startswith('#include "'):
                    header = line.split('"')[1]
                    assert header.startswith("kernels/"), f"{file.relative_to(root)}: {header}"


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("csrc/codings/bad.cpp", '#include "session.h"\n', "goes up"),
        ("csrc/new.cpp", '#include "status.h"\n', "no layer lists new"),
    ],
)
def test_an_include_that_goes_up_is_found(
    layers: ModuleType, tmp_path: Path, file: str, text: str, complaint: str
) -> None:
    (tmp_path / "csrc" / "codings").mkdir(parents=True)
    (tmp_path / file).write_text(text)
    wrong = layers.wrong_cpp(list(layers.cpp_arrows(tmp_path)))
    assert len(wrong) == 1 and complaint in wrong[0]


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("scheme.py", "def f():\n    from .container import save\n", "goes up"),
        ("scheme.py", "def f():\n    import torch\n", "may not import"),
        ("train/loop.py", "from bitpress import _core\n", "native core"),
        ("reference/lzw.py", "from ..scheme import Scheme\n", "stand alone"),
        ("container.py", "from .reference import lzw\n", "nothing but tests"),
        ("new.py", "from . import errors\n", "no layer lists new"),
    ],
)
def test_an_import_that_goes_up_is_found(
    layers: ModuleType, tmp_path: Path, file: str, text: str, complaint: str
) -> None:
    package = tmp_path / "python" / "bitpress"
    for folder in ("train", "reference"):
        (package / folder).mkdir(parents=True)
    for name in ("errors.py", "scheme.py", "container.py", "_core.pyi"):
        (package / name).touch()
    (package / file).write_text(text)
    wrong = layers.wrong_python(list(layers.python_arrows(tmp_path)))
    assert len(wrong) == 1 and complaint in wrong[0]
