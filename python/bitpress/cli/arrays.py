"""Arrays from .npy and .npz files, and to them. Nothing is unpickled."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitpress.container.atomic import replacing

from .files import UsageProblem, existing, output_path

if TYPE_CHECKING:
    import numpy as np

__all__ = ["opened_npz", "read_npy", "write_npy", "write_npz"]


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file; UsageProblem names the file."""
    import numpy as np

    try:
        array = np.load(existing(path), allow_pickle=False)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UsageProblem(f"{path}: is no .npy file: {_first_line(error)}") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise UsageProblem(f"{path}: is an .npz archive: give the array's own .npy")
    return array


@contextlib.contextmanager
def opened_npz(path: Path) -> Iterator[Mapping[str, Any]]:
    """An .npz file, its arrays read when asked for; UsageProblem names the file."""
    import numpy as np

    try:
        data = np.load(existing(path), allow_pickle=False)
        if not isinstance(data, np.lib.npyio.NpzFile):
            raise UsageProblem(f"{path}: is one array, not an .npz archive of named ones")
        with data:
            yield data
    except UsageProblem:
        raise
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise UsageProblem(f"{path}: is no .npz file: {_first_line(error)}") from None


def write_npy(path: Path, array: np.ndarray) -> None:
    """An .npy file, complete or not there."""
    import numpy as np

    with replacing(output_path(path)) as handle:
        np.save(handle, array, allow_pickle=False)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An .npz file, complete or not there."""
    import numpy as np

    with replacing(output_path(path)) as handle:
        np.savez(handle, **dict[str, Any](arrays))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
