"""The root command: the registry of commands, and how every error becomes one line and an exit status."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NoReturn, cast

import typer
import typer.core

from bitpress import BitpressError, __version__

from .terminal import one_line

__all__ = ["COMMANDS", "app"]

# A command is a module of this name in this folder: a function `command` whose docstring is the help text, a SUMMARY of
# one short line, and EXAMPLES, one command line each. Only the command that is called imports what it needs.
COMMANDS = ("compress", "decompress", "inspect", "verify", "run", "bench", "distill", "demo", "huffman", "rans", "lzw")

# Whatever click typer stands on: its own copy in later releases, the package in earlier ones.
_UsageError, _ClickException = (cast("type[typer.BadParameter]", kind) for kind in typer.BadParameter.__mro__[1:3])


def _say(prefix: str, message: str) -> None:
    sys.stderr.write(f"{prefix}: error: {one_line(message)}\n")


def _describe(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory"
    if isinstance(error, OSError) and not isinstance(error, BitpressError) and error.strerror:
        name = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        return f"{name}{error.strerror}"
    if isinstance(error, (BitpressError, OSError)):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return str(error) if "pip install" in str(error) else f"{error.name} is not installed: pip install {error.name}"
    return f"internal error: {type(error).__name__}: {error} (BITPRESS_DEBUG=1 shows where)"


def _close_pipe() -> int:
    """Nobody reads any more: point stdout elsewhere, so that the interpreter's last flush is quiet too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


@contextlib.contextmanager
def _interruptions() -> Iterator[None]:
    """Ctrl-C and a closed pipe as exit statuses, before click makes something else of them."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        raise typer.Exit(_close_pipe()) from None


def _guarded(call: Callable[[], Any]) -> int:
    """Run a command; its exit status. Every error ends here, as one line."""
    try:
        status = call()
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:
        return _close_pipe()
    except KeyboardInterrupt:
        return 130
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(f"{error.format_message()}\n")
            return 2
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "bitpress"
        _say(path, f"{error.format_message()} (see {path} --help)")
        return 2
    except _ClickException as error:
        _say("bitpress", error.format_message())
        return 1
    except typer.Abort:
        return 1
    except Exception as error:
        if os.environ.get("BITPRESS_DEBUG"):
            raise
        _say("bitpress", _describe(error))
        return 1


class Root(typer.core.TyperGroup):
    """typer's group, with our errors instead of its own."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)

    def make_context(self, *args: Any, **extra: Any) -> Any:
        with _interruptions():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _interruptions():
            return super().invoke(ctx)

    def main(self, *args: Any, **extra: Any) -> Any:
        run = super().main
        if not extra.get("standalone_mode", True):
            return run(*args, **extra)
        extra |= {"standalone_mode": False, "prog_name": extra.get("prog_name") or "bitpress"}
        sys.exit(_guarded(lambda: run(*args, **extra)))


def _version(show: bool) -> None:
    if show:
        typer.echo(f"bitpress {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Press a trained network into the fewest bits, store it checked, run it without torch."""


class _App(typer.Typer):
    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        typer.main.get_command(self).main()
        raise AssertionError("main ends the process")


def _make() -> _App:
    made = _App(
        name="bitpress",
        cls=Root,
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_root)
    for name in COMMANDS:
        module = importlib.import_module(f".{name}", __package__)
        examples = "".join(f"\n  {line}" for line in module.EXAMPLES.splitlines())
        made.command(name, short_help=module.SUMMARY, epilog=f"\b\nExamples:{examples}")(module.command)
    return made


app = _make()
