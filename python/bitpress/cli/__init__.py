"""The command line: ``bitpress COMMAND``. One file a command; typer and rich come with the extra ``cli``."""

from __future__ import annotations

import signal
import sys
import warnings
from types import FrameType

__all__ = ["main"]


def _terminated(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # unwinds, so that a half-written output is removed


def main() -> None:
    """The entry point. Exits with 0, 1 (bad input, or a finding), 2 (bad usage), 130 (Ctrl-C), 141 (closed pipe)."""
    signal.signal(signal.SIGTERM, _terminated)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # other packages': they are for developers
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich", "click"):
            raise
        sys.stderr.write(f"bitpress: error: {error.name} is not installed: pip install 'bitpress[cli]'\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    app()
