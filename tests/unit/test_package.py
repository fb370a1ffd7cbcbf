"""The package as it is installed: what it imports, what it exports, what it says of itself."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bitpress as bp
from bitpress import _core

Run = Callable[..., subprocess.CompletedProcess[str]]
PACKAGE = Path(bp.__file__).parent
# Files over 400 lines, each with its reason.
LONG_FILES: dict[str, str] = {
    "tests/unit/test_container_hostile.py": "hostile files, one list of them by name",
}


def test_import_needs_numpy_alone(python: Run) -> None:
    """Beside the standard library, all public names bring in bitpress' own modules and numpy's."""
    code = """
import json, sys, numpy
before = set(sys.modules)
from bitpress import *
print(json.dumps(sorted({name.split(".")[0] for name in set(sys.modules) - before})))
"""
    brought = set(json.loads(python(code).stdout)) - set(sys.stdlib_module_names)
    assert {name for name in brought if not name.startswith("_editable")} <= {"bitpress", "numpy"}


def test_import_waits_for_no_name_that_is_not_asked_for(python: Run) -> None:
    code = """
import json, sys
import bitpress
early = [name for name in sys.modules if name.startswith("bitpress.")]
bitpress.Session
ran = "bitpress.container" in sys.modules  # what opens and runs a network needs the core alone
bitpress.load
print(json.dumps([early, ran, "bitpress.compression" in sys.modules or "bitpress.methods" in sys.modules]))
"""
    assert json.loads(python(code).stdout) == [[], False, False]


def test_type_checkers_see_the_public_names() -> None:
    """What `__init__.py` imports for type checkers is what it gives at run time."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name  # else it is private to a type checker
            seen[alias.name] = node.module
    assert seen.pop("torch") is None
    assert set(seen) == set(bp.__all__)
    for name, module in seen.items():
        home = bp if module is None else importlib.import_module(f"bitpress.{module}")
        assert getattr(bp, name) is getattr(home, name), name


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'squeeze'"):
        _ = bp.squeeze  # type: ignore[attr-defined]
    assert set(bp.__all__) <= set(dir(bp))


def test_a_forced_isa_that_is_missing_is_an_import_error(python: Run) -> None:
    done = python("import bitpress._core", env={"BITPRESS_ISA": "nonsense"}, check=False)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError") and "BITPRESS_ISA" in last


@pytest.mark.parametrize("isa", _core.isas())
def test_every_isa_of_this_cpu_can_be_forced(python: Run, isa: str) -> None:
    assert python("from bitpress import _core; print(_core.isa())", env={"BITPRESS_ISA": isa}).stdout.strip() == isa


def test_versions_agree(root: Path) -> None:
    pyproject = re.search(r'^version = "(.+)"', (root / "pyproject.toml").read_text(), re.MULTILINE)
    cmake = re.search(r"project\(bitpress VERSION (\S+)", (root / "CMakeLists.txt").read_text())
    assert pyproject is not None and cmake is not None
    assert pyproject[1] == cmake[1] == bp.__version__
    assert f"## {bp.__version__}" in (root / "CHANGELOG.md").read_text()


def test_the_installed_version_agrees() -> None:
    try:
        installed = importlib.metadata.version("bitpress")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("bitpress is on the path but not installed: pip install .")
    assert installed == bp.__version__


def test_public_names_exist_and_are_documented() -> None:
    for name in bp.__all__:
        value = getattr(bp, name)
        if inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value):
            assert inspect.getdoc(value), f"bitpress.{name} has no docstring"
        if inspect.isclass(value) and value.__module__.startswith("bitpress"):
            for member, function in vars(value).items():
                if inspect.isfunction(function) and not member.startswith("_"):
                    assert inspect.getdoc(function), f"bitpress.{name}.{member} has no docstring"


def test_stubs_match_the_native_module() -> None:
    stubs = ast.parse((PACKAGE / "_core.pyi").read_text())
    declared: set[str] = set()
    members: dict[str, set[str]] = {}
    for node in stubs.body:
        if isinstance(node, ast.FunctionDef):
            declared.add(node.name)
        elif isinstance(node, ast.ClassDef):
            declared.add(node.name)
            members[node.name] = {
                item.name if isinstance(item, ast.FunctionDef) else ast.unparse(item.target)
                for item in node.body
                if isinstance(item, ast.FunctionDef | ast.AnnAssign)
            }
        elif isinstance(node, ast.AnnAssign):
            declared.add(ast.unparse(node.target))
    declared = {name for name in declared if not name.startswith("_")}
    assert declared == {name for name in dir(_core) if not name.startswith("_")}
    for name in declared & set(members):
        public = {member for member in vars(getattr(_core, name)) if not member.startswith("_")}
        assert {member for member in members[name] if not member.startswith("_")} == public, name


def test_the_package_holds_its_type_information() -> None:
    assert (PACKAGE / "py.typed").exists() and (PACKAGE / "_core.pyi").exists()


def _tracked(root: Path) -> list[Path]:
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    if shutil.which("git") is None:
        pytest.skip("needs git: apt-get install git")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [root / name for name in listed.split("\0") if name and (root / name).is_file()]


def test_files_are_short(root: Path) -> None:
    """A file fits into a head: 400 lines, but for those that LONG_FILES gives a reason for."""
    sources = [path for path in _tracked(root) if path.suffix in {".py", ".cpp", ".h", ".c", ".pyi"}]
    assert len(sources) > 20
    long = {str(path.relative_to(root)) for path in sources if path.read_text().count("\n") > 400}
    assert long <= set(LONG_FILES)


def test_files_name_no_place_on_a_machine(root: Path) -> None:
    """No home folder, no folder of one machine, no registry but the public ones' names."""
    place = re.compile(r"/(?:home|Users)/\w|/root/|/opt/(?:pypi|wheels)|(?<![\w.])/work/|(?:extra-)?index-url")
    for path in _tracked(root):
        if path == Path(__file__):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found = place.search(text)
        assert found is None, f"{path.relative_to(root)}: {found[0] if found else ''}"
