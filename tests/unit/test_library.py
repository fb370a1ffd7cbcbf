"""The C library as it is linked: what its object files export and what they need."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

LIBC = {"memcpy", "memset", "memmove", "memcmp", "memchr", "strlen", "strcmp", "strncmp", "getenv"}
LIBC |= {"__memcpy_chk", "__memset_chk", "__memmove_chk", "__assert_fail", "__stack_chk_fail"}
LIBC |= {"getauxval"}  # 64-bit Arm's probe
LIBC |= {"_GLOBAL_OFFSET_TABLE_", "__cpu_model", "__cpu_indicator_init"}  # the linker's, libgcc's
LIBM = re.compile(
    "(a?(sin|cos|tan)h?|atan2|exp2?|expm1|log(2|10|1p)?|pow|sqrt|fabs|floor|ceil|rint|nearbyint|round|trunc|erfc?"
    "|fmod|fma|fmin|fmax|l?l?rint|ldexp|frexp|scalbn|copysign|hypot|cbrt)f?"
)
ISA_FOLDERS = {"avx2", "avxvnni", "avx512", "avx512vnni", "neon", "dotprod", "i8mm"}


def _symbols(path: Path, *options: str) -> list[tuple[str, str]]:
    """(type, mangled name) of every symbol that nm lists."""
    if shutil.which("nm") is None:
        pytest.skip("needs nm: apt-get install binutils")
    text = subprocess.run(["nm", *options, str(path)], capture_output=True, text=True, check=True).stdout
    return [(match[1], match[2]) for match in re.finditer(r"^[0-9a-f ]{16} (\S) (\S+)$", text, re.MULTILINE)]


def _sanitized(path: Path) -> bool:
    return any("__asan" in name for _, name in _symbols(path, "--undefined-only"))


def test_isa_objects_export_no_weak_symbol(build_folder: Path) -> None:
    """A weak symbol (an inline function, a template) compiled for one ISA may be the copy that all others run."""
    objects = [path for path in build_folder.rglob("*.o") if path.parent.name in ISA_FOLDERS]
    if not objects:
        pytest.skip("this CPU family has no folder of its own")
    for path in objects:
        weak = [name for kind, name in _symbols(path, "--defined-only") if kind in "WwVvu"]
        assert weak == [], f"{path.relative_to(build_folder)} exports weak {weak}"


def test_library_needs_libc_and_libm_alone(build_folder: Path) -> None:
    """No libstdc++, exceptions, RTTI or heap: gcc links it, and it runs in the caller's memory."""
    library = build_folder / "libbitpress.a"
    if _sanitized(library):
        pytest.skip("a sanitized build needs its runtime: cmake --preset c && cmake --build build/c")
    defined = {name for kind, name in _symbols(library, "--defined-only") if kind.isupper()}
    needed = {name for _, name in _symbols(library, "--undefined-only")} - defined
    assert needed, "nm listed nothing"
    assert {name for name in needed if name not in LIBC and LIBM.fullmatch(name) is None} == set()
