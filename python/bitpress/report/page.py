"""One self-contained HTML page about one file: no script, font, style or image from anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from importlib import resources

from .plots import bar, histogram, number, strip
from .statistics import TensorStatistics
from .survey import Survey, TensorLine

__all__ = ["render"]

CARDS = 150  # tensors with plots of their own: the largest ones
BARS = 20  # tensors with a bar of their own; the rest share one
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            digits = 0 if unit == "bytes" or count >= 99.95 else 1 if count >= 9.995 else 2
            return f"{count:.{digits}f} {unit}"
        count /= 1000
    raise AssertionError


def _shape(shape: Iterable[int]) -> str:
    return "\N{MULTIPLICATION SIGN}".join(map(str, shape)) or "scalar"


def _percent(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.9995 else 0}f}%"


def _tile(label: str, value: str, note: str) -> str:
    return f'<div class="tile"><span>{escape(label)}</span><b>{escape(value)}</b><small>{escape(note)}</small></div>'


def _tiles(survey: Survey) -> str:
    weights = survey.elements
    tiles = [
        _tile("File", _size(survey.nbytes), f"{survey.nbytes:,} bytes"),
        _tile(
            "Pressed", f"{survey.ratio:.2f}\N{MULTIPLICATION SIGN}", f"from {_size(survey.source_nbytes)} of tensors"
        ),
        _tile(
            "A weight",
            f"{8 * survey.nbytes / weights:.2f} bits" if weights else "\N{EN DASH}",
            f"{weights:,} weights in {len(survey.tensors):,} tensors",
        ),
        _tile(
            "Overhead",
            _size(survey.overhead),
            f"{_percent(survey.overhead / survey.nbytes)}: header {survey.header:,}, manifest {survey.manifest:,}, "
            f"padding {survey.padding:,}",
        ),
    ]
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _legend(roles: Mapping[str, int], total: int) -> str:
    entries = (
        f'<li><i class="swatch {kind}"></i>{kind} <b>{_size(count)}</b> <span>{_percent(count / total)}</span></li>'
        for kind, count in roles.items()
    )
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _row(name: str, link: str, parts: Mapping[str, int], top: int, total: int) -> str:
    nbytes = sum(parts.values())
    label = f"{name}: {nbytes} bytes, {_percent(nbytes / total)} of the file"
    shown = escape(name)
    title = f'<a href="#{link}" title="{shown}">{shown}</a>' if link else f"<em>{shown}</em>"
    return f"<li>{title}{bar(list(parts.items()), top, label)}<span>{_size(nbytes)}</span></li>"


def _parts(tensors: Iterable[TensorLine]) -> dict[str, int]:
    parts: dict[str, int] = {}
    for tensor in tensors:
        for stream in tensor.streams:
            parts[stream.role] = parts.get(stream.role, 0) + stream.stored
    return parts


def _bytes_section(survey: Survey, largest: list[TensorLine], links: Mapping[str, str]) -> str:
    roles = {**survey.by_role(), "graph": survey.graph_nbytes, "overhead": survey.overhead}
    roles = {role: count for role, count in roles.items() if count}
    shown, rest = largest[:BARS], largest[BARS:]
    top = max([tensor.nbytes for tensor in shown] + [1])
    rows = [_row(t.name, links.get(t.name, ""), _parts([t]), top, survey.nbytes) for t in shown]
    if rest:
        many = f"{len(rest)} smaller tensors" if len(rest) > 1 else "1 smaller tensor"
        rows.append(f"<li><em>{many}</em><i></i><span>{_size(sum(t.nbytes for t in rest))}</span></li>")
    return (
        '<section><h2>Where the bytes are</h2><div class="panel">'
        f"{strip(list(roles.items()), 'bytes of the whole file by what they hold')}{_legend(roles, survey.nbytes)}"
        f'<ol class="bars" id="bytes">{"".join(rows)}</ol></div></section>'
    )


def _facts(tensor: TensorLine, numbers: TensorStatistics) -> str:
    pairs = []
    if numbers.values is not None:
        pairs += [
            ("mean", number(numbers.mean)),
            ("deviation", number(numbers.deviation)),
            ("zeros", _percent(numbers.zeros)),
        ]
    if numbers.codes is not None:
        stored = next((s.stored for s in tensor.streams if s.role in ("codes", "data")), 0)
        if numbers.codes.total:
            pairs.append((f"entropy of {numbers.code_name}", f"{numbers.code_entropy:.2f} bits"))
            pairs.append(("stored in", f"{8 * stored / numbers.codes.total:.2f} bits"))
    return "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in pairs)


def _card(tensor: TensorLine, numbers: TensorStatistics, link: str) -> str:
    plots = []
    if numbers.values is not None:
        label = "values that are not zero" if numbers.without_zeros else "values"
        plots.append(histogram(numbers.values, label, "values"))
    if numbers.codes is not None and numbers.codes.total:
        plots.append(histogram(numbers.codes, numbers.code_name, "codes"))
    return (
        f'<article class="card" id="{link}"><header><h3>{escape(tensor.name)}</h3>'
        f'<p><span class="chip">{escape(tensor.scheme)}</span> {escape(tensor.dtype)} {_shape(tensor.shape)}'
        f" \N{MIDDLE DOT} {_size(tensor.nbytes)} \N{MIDDLE DOT} {tensor.bits_per_weight:.2f} bits/weight</p></header>"
        f'<div class="plots">{"".join(plots)}</div><dl>{_facts(tensor, numbers)}</dl></article>'
    )


def _table(survey: Survey, links: Mapping[str, str]) -> str:
    rows = []
    for tensor in survey.tensors:
        name = escape(tensor.name)
        link = links.get(tensor.name)
        cells = (
            f'<td data-key="{name}">' + (f'<a href="#{link}">{name}</a>' if link else name) + "</td>",
            f'<td data-key="{tensor.elements}">{_shape(tensor.shape)}</td>',
            f"<td>{escape(tensor.dtype)}</td>",
            f"<td>{escape(tensor.scheme)}</td>",
            f'<td data-key="{tensor.bits_per_weight}">{tensor.bits_per_weight:.2f}</td>',
            f'<td data-key="{tensor.nbytes}">{tensor.nbytes:,}</td>',
            f'<td data-key="{survey.share(tensor)}">{_percent(survey.share(tensor))}</td>',
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(
        f'<th scope="col"><button type="button">{head}</button></th>'
        for head in ("Tensor", "Shape", "Type", "Scheme", "Bits a weight", "Bytes", "Share")
    )
    return (
        '<section><h2>Every tensor</h2><input id="filter" type="search" placeholder="Filter by name or scheme" '
        'aria-label="Filter by name or scheme"><div class="panel scroll"><table id="tensors">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _graph(survey: Survey) -> str:
    if survey.graph is None:
        return ""
    graph = survey.graph
    ends = "".join(
        f"<tr><th scope='row'>{way}</th><td>{escape(name)}</td><td>{escape(dtype)} {escape(shape)}</td></tr>"
        for way, values in (("input", graph.inputs), ("output", graph.outputs))
        for name, dtype, shape in values
    )
    top = max(graph.operators.values(), default=1)
    rows = "".join(
        f"<li><em>{escape(op)}</em>{bar([('codes', count)], top, f'{op}: {count}')}<span>{count}</span></li>"
        for op, count in sorted(graph.operators.items(), key=lambda pair: (-pair[1], pair[0]))
    )
    return (
        f'<section id="graph"><h2>The network</h2><div class="panel"><table class="ends">{ends}</table>'
        f'<ol class="bars">{rows}</ol></div></section>'
    )


def _metadata(survey: Survey) -> str:
    if not survey.metadata:
        return ""
    rows = "".join(
        f"<tr><th scope='row'>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in survey.metadata.items()
    )
    return f'<section><h2>Metadata</h2><div class="panel scroll"><table class="ends">{rows}</table></div></section>'


def render(survey: Survey, statistics: Mapping[str, TensorStatistics], version: str) -> str:
    """The page. ``statistics`` holds the tensors that get plots; the others stand in the table alone."""
    style, script = (resources.files(__package__).joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    largest = sorted(survey.tensors, key=lambda tensor: -tensor.nbytes)
    shown = [tensor for tensor in largest if tensor.name in statistics]
    links = {tensor.name: f"t{index}" for index, tensor in enumerate(shown)}
    name = escape(survey.path.replace("\\", "/").rpartition("/")[2])
    cards = "".join(_card(tensor, statistics[tensor.name], links[tensor.name]) for tensor in shown)
    note = f"<p class='note'>The {len(shown)} largest of {len(largest)}.</p>" if len(shown) < len(largest) else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<link rel="icon" href="data:,"><title>{name} \N{MIDDLE DOT} bitpress</title>'
        f"<style>{style}</style></head><body>"
        f'<header class="top"><p>bitpress</p><h1>{name}</h1></header><main>{_tiles(survey)}'
        f"{_bytes_section(survey, largest, links)}{_graph(survey)}"
        f'<section><h2>Tensor by tensor</h2>{note}<div class="cards">{cards}</div></section>'
        f"{_table(survey, links)}{_metadata(survey)}</main>"
        f"<footer>bitpress {escape(version)}</footer><script>{script}</script></body></html>\n"
    )
