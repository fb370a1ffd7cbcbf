"""``bitpress compress``: a network or a set of tensors into one small checked file."""

from __future__ import annotations

import enum
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .calibration import calibration_inputs
from .choices import Bound, Method, Per, Range, Score, Target
from .files import UsageProblem, existing, output_path
from .sizing import recipe_of_size
from .terminal import Advance, facts, human, print_json, progress, steps

if TYPE_CHECKING:
    from bitpress.model import Model
    from bitpress.recipe import Recipe
    from bitpress.report.survey import Survey
    from bitpress.tensor import PackedTensor, TensorSpec

__all__ = ["EXAMPLES", "SUMMARY", "command"]

SUMMARY = "Press a network into one small checked file."
EXAMPLES = """bitpress compress net.onnx -o net.bp
bitpress compress model.safetensors -o model.bp --bits 4 --group-size 64 --affine
bitpress compress net.pt -o net.bp --sparsity 0.9 --global --coding auto
bitpress compress model.safetensors -o model.bp --lossless
bitpress compress activations.safetensors -o activations.bp --bounded 1e-3 --bound range
bitpress compress tuned.safetensors -o tuned.bp --lossless --base model.safetensors
bitpress compress net.onnx -o net.bp --bits 4 --calibration inputs.npz
bitpress compress net.onnx -o net.bp --bits 4 --calibration photos --mean 127 --std 128
bitpress compress net.onnx -o net.bp --size 2.1MB --calibration inputs.npz
bitpress compress net.onnx -o net.bp --bits 4 --coding raw --target x86-64-v4
bitpress compress net.onnx -o net.bp --recipe recipe.json"""


def _checked_coding(coding: str | None) -> str | None:
    from bitpress.errors import SchemeError
    from bitpress.scheme import split_coding

    if coding is not None:
        try:
            split_coding(coding)
        except SchemeError as error:
            raise typer.BadParameter(str(error)) from None
    return coding


UNITS = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _nbytes(text: str | None) -> int | None:
    """Bytes of "2.1MB" and the like."""
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]*)", text.strip())
    if found is None or found[2] not in UNITS:
        raise typer.BadParameter(f"a number of bytes, such as 2.1MB, not {text!r}")
    return int(float(found[1]) * UNITS[found[2]])


class _Watched(Mapping[str, "PackedTensor"]):
    """A model's tensors, each made when asked for, with a word to the progress bar."""

    def __init__(self, tensors: Mapping[str, PackedTensor], specs: list[TensorSpec], advance: Advance) -> None:
        self._tensors = tensors
        self._sizes = {spec.name: spec.source_bytes for spec in specs}
        self._specs = specs
        self._advance = advance

    def specs(self) -> list[TensorSpec]:
        return self._specs

    def __getitem__(self, name: str) -> PackedTensor:
        tensor = self._tensors[name]
        self._advance(name, self._sizes[name])
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _recipe(path: Path | None, lossless: bool, words: Mapping[str, Any], ignore: list[str]) -> Recipe:
    """The recipe of a file, or the one that the options spell; ``words`` are those that were given."""
    from bitpress.recipe import WEIGHTED, Recipe

    given = ", ".join(f"--{key.replace('_', '-')}" for key in words if key != "coding")
    if path is not None:
        if words or lossless:
            raise typer.BadParameter(
                f"goes with none of --lossless, --coding, {given or '--bits ...'}", param_hint="--recipe"
            )
        recipe = Recipe.from_file(existing(path, "recipe"))
        return replace(recipe, ignore=(*recipe.ignore, *ignore))
    if lossless:
        if given:
            raise typer.BadParameter(f"does not go with {given}", param_hint="--lossless")
        return Recipe.lossless(coding=words.get("coding", "planes"), ignore=tuple(ignore))
    if "bounded" in words or "bound" in words:
        return Recipe.from_dict({"rules": [{"pattern": "*", **words}], "ignore": ignore})
    rule = {"pattern": "*", "op": ["", *WEIGHTED], "min_elements": 1024, "min_rank": 2, **words}
    return Recipe.from_dict({"rules": [rule], "ignore": ignore})


def _share_of(nm: str) -> float:
    """The sparsity of N:M."""
    from bitpress.recipe_words import pattern_of

    kept, group = pattern_of(nm, ":")
    return 1 - kept / group if group else 0.0


def _calibrated(words: Mapping[str, Any]) -> dict[str, Any]:
    """The words of a rule for layers whose inputs are known."""
    from bitpress.recipe import Recipe

    if words.get("codebook"):
        return {"correct": True} | ({} if "shared" in words else {"range": "output"}) | dict(words)
    (rule,) = Recipe.feedback(**({"bits": words["bits"]} if "bits" in words else {})).rules
    known = rule.to_dict()
    return {key: known[key] for key in ("bits", "method", "shrink", "correct")} | dict(words)


def _is_ours(path: Path) -> bool:
    """Whether a file may be replaced without asking: none there, an empty one, or one of ours."""
    from bitpress import BitpressError
    from bitpress.container import open_container

    if not path.exists() or path.stat().st_size == 0:
        return True
    try:
        open_container(path, full=False).close()
    except (BitpressError, OSError):
        return False
    return True


def _save(model: Model, target: Path, base: Path | None) -> None:
    specs = model.specs()
    with progress("pressing", sum(spec.source_bytes for spec in specs)) as advance:
        replace(model, tensors=_Watched(model.tensors, specs, advance)).save(target, base=base)


def command(
    source: Annotated[Path, typer.Argument(help=".onnx, .safetensors (or its .index.json), .pt, or a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    bits: Annotated[int | None, typer.Option(min=1, max=16, help="Bits a code.  [default: 8; --codebook: 4]")] = None,
    symmetric: Annotated[
        bool | None, typer.Option("--symmetric/--affine", help="Codes around zero, or with a zero point.")
    ] = None,
    codebook: Annotated[
        bool, typer.Option("--codebook", help="Shared weights: codes name entries of a table, found by k-means.")
    ] = False,
    vector: Annotated[int | None, typer.Option(min=1, max=8, help="Weights an entry of a --codebook.")] = None,
    shared: Annotated[bool, typer.Option("--shared", help="One --codebook for all tensors.")] = False,
    per: Annotated[
        Per | None, typer.Option(help="What shares a step.  [default: channel; --codebook: tensor, unscaled]")
    ] = None,
    group_size: Annotated[int | None, typer.Option(min=1, help="Weights a step, in a row.")] = None,
    sparsity: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of the smallest weights set to zero first.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(min=0, help="Weights below this are set to zero first.")] = None,
    nm: Annotated[
        str | None,
        typer.Option("--nm", metavar="N:M", help="N of each M weights in a row are kept, the greatest: 2:4."),
    ] = None,
    block: Annotated[
        str | None,
        typer.Option(metavar="RxC", help="Zeros in whole blocks of R rows and C columns, so many as --sparsity says."),
    ] = None,
    score: Annotated[
        Score | None,
        typer.Option(help="What ranks weights that go; but magnitude needs --calibration.  [default: magnitude]"),
    ] = None,
    channels: Annotated[
        float | None, typer.Option(min=0, max=0.99, help="Share of channels, neurons and heads cut out of the graph.")
    ] = None,
    low_rank: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Two thin matrices for one where they keep this share of it and are smaller."),
    ] = None,
    equalize: Annotated[
        bool, typer.Option("--equalize", help="Move scales between layers first, so that their channels span alike.")
    ] = False,
    whole: Annotated[bool, typer.Option("--global", help="Rank weights over the whole model for --sparsity.")] = False,
    coding: Annotated[
        str | None,
        typer.Option(
            callback=_checked_coding,
            metavar="[raw|huffman|rans|lzw|planes|auto|auto:GB/s]",
            help="How codes are coded; auto: the smallest; auto:2: the smallest that decodes 2 GB/s."
            "  [default: huffman; --lossless: planes]",
        ),
    ] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="Keep every weight bit for bit.")] = False,
    bounded: Annotated[
        float | None,
        typer.Option(min=0, metavar="ERROR", help="Keep each float32 and float64 element within this error: for data."),
    ] = None,
    bound: Annotated[Bound | None, typer.Option(help="What --bounded is measured by.  [default: absolute]")] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="INPUTS",
            help="Some inputs of the network: an .npz, a folder of images (with --mean, --std), a text (with"
            " --tokenizer), or none, for random ones: codes by error feedback, biases corrected.",
        ),
    ] = None,
    mean: Annotated[float | None, typer.Option(help="Of pixels 0..255, taken from them.")] = None,
    std: Annotated[float | None, typer.Option(help="What pixels are then divided by.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="A tokenizer.json, for a text.")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep each calibrated layer there; a killed run goes on from it."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES",
            help="How large the file may be, about (2.1MB): rate-aware rounding, at the rate that takes so many bytes"
            " (one a layer without torch). Needs --calibration.",
        ),
    ] = None,
    save_recipe: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the recipe that was used, to be edited and given again.")
    ] = None,
    method: Annotated[
        Method | None, typer.Option(help="How codes are picked.  [default: round; --calibration: feedback]")
    ] = None,
    range_: Annotated[
        Range | None,
        typer.Option("--range", help="What a step spans: all weights, or what a search finds.  [default: minmax]"),
    ] = None,
    percentile: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, help="So many % of a step's weights span it (--range percentile).  [default: 99.9]"
        ),
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="Rules by tensor, in a JSON or YAML file.")] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Tensors to store as they are: '*.bias'.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="Hold kept weights as what they differ by from this file, where that is smaller."),
    ] = None,
    target: Annotated[
        Target | None,
        typer.Option(help="The CPUs that weights are laid out for; all run the file.  [default: generic]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUTPUT even if bitpress did not write it.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON on stdout.")] = False,
) -> None:
    """Press a trained network or a set of tensors into one small file in which every byte is checked.

    By default the weights of matrices and convolutions become 8-bit codes with a step a channel, Huffman-coded; all
    else is kept as it is. The output is complete or not there; an older one is replaced in one step.
    """
    options: dict[str, Any] = {
        "bits": bits,
        "symmetric": symmetric,
        "codebook": codebook or None,
        "vector": vector,
        "shared": shared or None,
        "per": per,
        "group_size": group_size,
        "sparsity": sparsity,
    }
    options |= {"threshold": threshold, "scope": "model" if whole else None, "coding": coding}
    options |= {"nm": nm, "block": block, "score": score}
    if nm is not None and sparsity is None:
        options["sparsity"] = _share_of(nm)
    if percentile is not None:
        if range_ not in (None, Range.PERCENTILE):
            raise typer.BadParameter("goes with --range percentile alone", param_hint="--percentile")
        range_ = Range.PERCENTILE
    options |= {"method": method, "range": range_, "percentile": percentile, "bounded": bounded, "bound": bound}
    words = {
        key: value.value if isinstance(value, enum.Enum) else value
        for key, value in options.items()
        if value is not None
    }
    if whole and sparsity is None:
        raise typer.BadParameter("needs --sparsity", param_hint="--global")
    nbytes = _nbytes(size)
    if nbytes is not None and (calibration is None or lossless or words):
        raise typer.BadParameter("needs --calibration, and goes with --recipe and --ignore alone", param_hint="--size")
    if calibration is None and any(each is not None for each in (mean, std, tokenizer, resume)):
        raise typer.BadParameter("goes with --calibration", param_hint="--mean, --std, --tokenizer, --resume")
    if calibration is not None and recipe is None and not lossless and nbytes is None:
        words = _calibrated(words)
    chosen = _recipe(recipe, lossless, words, ignore or [])
    chosen = replace(
        chosen,
        channels=chosen.channels if channels is None else channels,
        low_rank=chosen.low_rank if low_rank is None else low_rank,
        equalize=chosen.equalize or equalize,
    )
    if not source.is_dir():
        existing(source)
    if base is not None:
        existing(base, "base")
    path = output_path(output, source, *([base] if base is not None else []))
    if not force and not _is_ours(path):
        raise UsageProblem(f"{output}: is there and not a bitpress file: --force replaces it")
    from bitpress import compress
    from bitpress.report.survey import survey_of

    inputs = None if calibration is None else calibration_inputs(calibration, source, mean, std, tokenizer)
    start = time.perf_counter()
    known = None
    if nbytes is not None:
        from bitpress import Recipe

        wanted = replace(chosen, rules=Recipe.rate().rules) if recipe is None else chosen
        chosen, known = recipe_of_size(source, nbytes, inputs, wanted)
    if save_recipe is not None:
        chosen.save(output_path(save_recipe, source, path, *([recipe] if recipe is not None else [])))
    with steps("calibrating") as step:
        made = compress(
            source,
            chosen,
            calibration=inputs,
            sensitivity=known,
            progress=step,
            resume=resume,
            target=None if target is None else target.value,
        )
    _save(made, path, base)
    seconds = time.perf_counter() - start
    _show(survey_of(path), source, output, seconds, json)


def _show(survey: Survey, source: Path, output: Path, seconds: float, json: bool) -> None:
    if json:
        document = survey.as_json()
        kept = ("bytes", "source_bytes", "ratio", "elements", "bits_per_weight")
        summary = {"source": str(source), "output": str(output), "tensors": len(survey.tensors)}
        print_json(summary | {key: document[key] for key in kept} | {"seconds": round(seconds, 6)})
        return
    before = human(survey.source_nbytes)
    schemes = Counter(tensor.scheme for tensor in survey.tensors)
    bits = f", {8 * survey.nbytes / survey.elements:.2f} bits a weight" if survey.elements else ""
    facts(
        {
            "written": str(output),
            "size": f"{human(survey.nbytes)}, {survey.ratio:.2f} times smaller than {before}{bits}",
            "tensors": f"{len(survey.tensors)}: "
            + ", ".join(f"{count} {scheme}" for scheme, count in schemes.most_common()),
            "time": f"{seconds:.2f} s",
        }
    )
