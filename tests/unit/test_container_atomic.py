"""Writing: the old file or the new one, whole; and the same bytes every time."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import resource
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import bitpress as bp
from bitpress.container import verify, write
from bitpress.container.atomic import replacing
from bitpress.tensor import PackedTensor, TensorSpec

KILLS = int(os.environ.get("BITPRESS_KILLS", "20"))


def weights(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "net.safetensors"
    bp.save_file({"old": weights((10,))}, path)
    return path


@pytest.mark.parametrize("elements", [10, 600_000], ids=["held", "streamed"])
def test_an_exception_leaves_the_old_file(old: Path, elements: int) -> None:
    before = old.read_bytes()
    good = bp.pack(weights((elements,)), bp.Scheme())
    specs = [TensorSpec(f"t{i}", "F32", (elements,), bp.Scheme()) for i in range(3)]

    def items(last: Callable[[], PackedTensor]) -> Iterator[PackedTensor]:
        yield good
        yield good
        yield last()

    def fails() -> PackedTensor:
        raise RuntimeError("the source broke off")

    def interrupted() -> PackedTensor:
        raise KeyboardInterrupt

    with pytest.raises(RuntimeError, match="the source broke off"):
        write(old, specs, items(fails))
    with pytest.raises(KeyboardInterrupt):
        write(old, specs, items(interrupted))
    with pytest.raises(ValueError, match="tensor 't2' was announced but not given"):
        write(old, specs, iter([good, good]))
    with pytest.raises(ValueError, match="more tensors were given than announced"):
        write(old, specs[:1], iter([good, good]))
    with pytest.raises(bp.ShapeError, match=r"tensor 't2': announced as F32 \[\d+\], given as F32 \[3\]"):
        write(old, specs, items(lambda: bp.pack(weights((3,)), bp.Scheme())))
    with pytest.raises(bp.SchemeError, match="tensor 't2': announced as keep, given as int8"):
        write(old, specs, items(lambda: bp.pack(weights((elements,)), bp.Scheme.int(8))))
    assert old.read_bytes() == before and files(old.parent) == [old.name]


def test_a_disk_that_is_full_leaves_the_old_file(old: Path) -> None:
    """RLIMIT_FSIZE stands for the disk: writing beyond it fails as a full one does."""
    before = old.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limit[1]))
        for elements in (200_000, 600_000):
            with pytest.raises(OSError, match=r"net\.safetensors") as caught:
                bp.save_file({"w": weights((elements,))}, old)
            assert caught.value.errno == errno.EFBIG
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert old.read_bytes() == before and files(old.parent) == [old.name]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent/x"):
        bp.save_file({}, tmp_path / "absent" / "x")
    with pytest.raises(OSError, match="not a regular file"):
        bp.save_file({}, tmp_path)
    with pytest.raises(OSError, match="not a regular file"):
        bp.save_file({}, "/dev/null")
    assert files(tmp_path) == []


def test_permissions_and_links_are_kept(old: Path) -> None:
    old.chmod(0o640)
    link = old.parent / "link"
    link.symlink_to(old.name)
    bp.save_file({"new": weights((3,))}, link)
    assert link.is_symlink() and list(bp.load_file(old)) == ["new"]
    assert stat.S_IMODE(old.stat().st_mode) == 0o640
    mask = os.umask(0o027)
    try:
        bp.save_file({}, old.parent / "fresh")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((old.parent / "fresh").stat().st_mode) == 0o640
    assert files(old.parent) == ["fresh", "link", old.name]


def test_a_long_file_name(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    bp.save_file({"w": weights((3,))}, path)
    assert files(tmp_path) == [path.name] and verify(path) == []


def test_a_reader_of_the_old_file_is_not_disturbed(old: Path) -> None:
    with bp.safe_open(old) as file:
        bp.save_file({"new": weights((3,))}, old)
        assert np.array_equal(file.get_tensor("old"), weights((10,)))


def test_replacing_gives_the_file_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with replacing(path) as file:
        file.write(b"abc")
        assert not path.exists() and len(files(tmp_path)) == 1
    assert path.read_bytes() == b"abc" and files(tmp_path) == ["x"]


COMPRESS = """
import sys
import numpy as np
import bitpress as bp
from bitpress import Scheme
path, seed = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(seed)
bp.compress({"first": np.ones(2048, np.float32)}, bp.Recipe.int())  # imports what compressing needs
print("ready", flush=True)
while True:
    tensors = {f"w{i}": rng.normal(size=(300, 400)).astype(np.float32) for i in range(3)}
    bp.compress(tensors, bp.Recipe.int()).save(path)
    print("saved", flush=True)
"""


def test_kills_at_random_moments_leave_a_whole_file(tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / "net.safetensors"
    bp.save_file({"old": weights((200, 300))}, path)
    rng = random.Random(5)
    saved = 0
    longest = 0.25  # a busy machine takes longer to save once
    for kill in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-c", COMPRESS, str(path), str(kill)], stdout=subprocess.PIPE, env=environment, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        if kill == 0:
            begun = time.monotonic()
            assert child.stdout.readline() == "saved\n"
            longest = max(longest, 3 * (time.monotonic() - begun))
        time.sleep(rng.uniform(0, longest))
        child.kill()
        saved += child.stdout.read().count("saved")
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        assert verify(path) == []
        assert list(bp.load(path).tensors) in (["old"], ["w0", "w1", "w2"])
    left = [name for name in files(tmp_path) if name != path.name]
    assert all(name.startswith(".net.safetensors.") and name.endswith(".bitpress-tmp") for name in left)
    assert saved, "but for the first, no child was quick enough to save"


DETERMINISM = """
import hashlib, sys, threading
import numpy as np
import bitpress as bp
def once(path):
    rng = np.random.default_rng(7)
    tensors = {f"w{i}": rng.normal(size=(70, 80 + i)).astype(np.float32) for i in range(6)}
    for i, array in enumerate(tensors.values()):
        array[np.abs(array) < 0.2 * i] = 0
    tensors["table"] = rng.integers(0, 9, 5000)
    recipe = bp.Recipe((
        bp.Rule("w0", bp.Scheme.int(4, axis=0, coding="huffman")),
        bp.Rule("w1", bp.Scheme.int(3, group_size=32, symmetric=False, coding="lzw")),
        bp.Rule("w[23]", bp.Scheme.int(8, sparse=True, coding="auto"), sparsity=0.6),
        bp.Rule("w4", bp.Scheme.lossless(sparse=True)),
        bp.Rule("table", bp.Scheme.lossless(coding="auto")),
    ), metadata={"b": "1", "a": "2"})
    bp.compress(tensors, recipe).save(path)
paths = [f"{sys.argv[1]}.{i}" for i in range(2)]
threads = [threading.Thread(target=once, args=(path,)) for path in paths]
if sys.argv[2] == "2":
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
else:
    [once(path) for path in paths]
for path in paths:
    print(hashlib.sha256(open(path, "rb").read()).hexdigest())
"""


def test_the_same_bytes_on_every_isa_and_thread_count(tmp_path: Path, environment: dict[str, str]) -> None:
    from bitpress import _core

    digests = set()
    for isa in _core.isas():
        for threads in ("1", "2"):
            done = subprocess.run(
                [sys.executable, "-c", DETERMINISM, str(tmp_path / "x"), threads],
                env={**environment, "BITPRESS_ISA": isa, "OMP_NUM_THREADS": threads},
                capture_output=True,
                text=True,
                check=True,
            )
            digests |= set(done.stdout.split())
    assert len(digests) == 1
    assert hashlib.sha256((tmp_path / "x.0").read_bytes()).hexdigest() in digests
    assert verify(tmp_path / "x.1") == []


@pytest.fixture
def environment() -> dict[str, str]:
    """A child of this Python imports the bitpress that is tested."""
    folder = str(Path(bp.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}


def test_an_interrupt_right_after_the_file_was_made_removes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Path.open

    def interrupted(path: Path, *args: object) -> None:
        opened(path, *args).close()  # type: ignore[call-overload]
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "open", interrupted)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "x"):
        pass
    assert list(tmp_path.iterdir()) == []
