"""The report's figures, drawn by matplotlib as SVG that takes fonts and colours from the page around it.

Labels stay text, colours become CSS variables, so one drawing serves light and dark pages and any width. Ids and salts are
fixed: the same numbers and the same matplotlib give the same bytes.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Final

PX: Final = 1 / 72
"""Inches of a pixel in matplotlib's SVG."""

_INKS: Final = {
    "ink": "#010101", "muted": "#020202", "line": "#030303", "native": "#040404", "overlaid": "#050505",
    "accent": "#060606", "train": "#070707", "validation": "#080808", "test": "#090909",
}  # fmt: skip
"""What a colour means -> the one that stands for it while drawing; in the page it is ``var(--<meaning>)``."""
_STYLE: Final = {
    "svg.fonttype": "none", "svg.hashsalt": "fhirtasks", "text.parse_math": False, "font.family": ["DejaVu Sans"],
    "font.size": 12.5, "text.color": _INKS["ink"], "axes.labelcolor": _INKS["muted"], "xtick.color": _INKS["muted"],
    "ytick.color": _INKS["ink"], "axes.edgecolor": _INKS["line"], "figure.facecolor": "none", "axes.facecolor": "none",
}  # fmt: skip
_ROW = 22.0
_SIZE = re.compile(r'width="[\d.]+pt" height="[\d.]+pt"')
_STYLES = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_NAMES = re.compile(r' id="(?:figure|axes|patch|text|line2d|matplotlib\.axis|xtick|ytick|LineCollection)_\d+"')


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing, and what it shows in a sentence for those who cannot see it."""

    name: str
    svg: str
    alt: str


def figures(manifest: Mapping[str, Any]) -> list[Figure]:
    """Every figure of a release's report: coverage of each family, splits, lengths in each unit, drops."""
    import matplotlib

    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it complains where it may not keep a cache of fonts
    settings = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    with matplotlib.rc_context({**settings, **_STYLE}):
        made = [_coverage(name, entry["branches"]) for name, entry in manifest["families"].items()]
        made.append(_splits(manifest["splits"]))
        made += [_lengths(manifest["lengths"], unit) for unit in units(manifest)]
        if manifest["dropped"]:
            made.append(_drops(manifest["dropped"]))
        return made


def units(manifest: Mapping[str, Any]) -> list[str]:
    """In what the lengths were counted."""
    return [unit for unit in ("characters", "tokens") if any(unit in row for row in manifest["lengths"].values())]


def _coverage(family: str, branches: Mapping[str, Mapping[str, int]]) -> Figure:
    """Bars per branch: native, and overlaid beyond it; a tick where the quota is."""
    rows = sorted(branches.items(), key=lambda one: (-one[1]["quota"], one[0]))
    figure, axes = _canvas(360, _ROW * len(rows) + 6, left=172, right=50)
    for place, (_, row) in enumerate(rows):
        left = 0
        for records in ("native", "overlaid"):
            if row[records]:
                axes.barh(place, row[records], left=left, height=0.62, color=_INKS[records], linewidth=0)
            left += row[records]
        axes.vlines(row["quota"], place - 0.42, place + 0.42, color=_INKS["ink"], linewidth=1.4)
        reached = f"{row['kept']:,}" if row["kept"] == row["quota"] else f"{row['kept']:,} of {row['quota']:,}"
        at = max(row["kept"], row["quota"])
        axes.annotate(
            reached, (at, place), (5, 0), textcoords="offset points", va="center", fontsize=12, color=_INKS["muted"]
        )
    highest = max((max(row["kept"], row["quota"]) for _, row in rows), default=1)
    _rows(axes, [_short(name, 24) for name, _ in rows], highest or 1)
    native = sum(row["native"] for _, row in rows)
    kept = sum(row["kept"] for _, row in rows)
    alt = f"{family}: {len(rows)} branches, {kept} of {sum(row['quota'] for _, row in rows)} kept, {native} native"
    return _finished(f"coverage {family}", figure, alt)


def _splits(splits: Mapping[str, Mapping[str, int]]) -> Figure:
    """How patients, resources and episodes fall to the splits, each as shares of the whole."""
    keys = {"patients": "patients", "resources": "resources", "episodes": "rows"}
    figure, axes = _canvas(420, 3 * 36.0, left=78, right=8)
    said = []
    for place, (label, key) in enumerate(keys.items()):
        total = sum(row[key] for row in splits.values()) or 1
        left = 0.0
        for split, row in splits.items():
            share = row[key] / total
            axes.barh(place, share, left=left, height=0.66, color=_INKS.get(split, _INKS["accent"]), linewidth=0)
            if share > 0.08:
                label_at = (left + share / 2, place)
                shown = f"{100 * share:.0f} %"
                axes.text(*label_at, shown, ha="center", va="center", color="#ffffff", fontsize=11.5)
            left += share
        said.append(f"{label}: " + ", ".join(f"{row[key]:,} {split}" for split, row in splits.items()))
    _rows(axes, list(keys), 1)
    return _finished("splits", figure, "; ".join(said))


def _lengths(lengths: Mapping[str, Any], unit: str) -> Figure:
    """Per family a dot at the median, a line to the 95th percentile, a tick at the longest; logarithmic."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    rows = sorted(((name, row[unit]) for name, row in lengths.items() if unit in row), key=lambda one: one[1]["median"])
    figure, axes = _canvas(420, 26 * len(rows) + 34, left=168, right=22, bottom=30)
    for place, (_, row) in enumerate(reversed(rows)):
        axes.hlines(place, row["median"], row["longest"], color=_INKS["line"], linewidth=3)
        axes.hlines(place, row["median"], row["p95"], color=_INKS["native"], linewidth=5)
        axes.plot([row["median"]], [place], "o", color=_INKS["native"], markersize=9, markeredgewidth=0)
        axes.vlines(row["longest"], place - 0.26, place + 0.26, color=_INKS["ink"], linewidth=1.6)
    axes.set_xscale("log")
    marks = [row[mark] for _, row in rows for mark in ("median", "longest")]
    axes.set_xlim(max(min(marks, default=1), 1) * 0.8, max(max(marks, default=10), 2) * 1.25)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", length=0, which="both")
    axes.grid(axis="x", color=_INKS["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_yticks(range(len(rows)), [_short(name, 24) for name, _ in reversed(rows)])
    said = "; ".join(
        f"{name}: median {row['median']:,}, 95th percentile {row['p95']:,}, longest {row['longest']:,}"
        for name, row in rows
    )
    return _finished(f"lengths {unit}", figure, f"Length of an episode in {unit}. {said}")


def _drops(dropped: Mapping[str, int], most: int = 24) -> Figure:
    """Bars per reason, the most frequent ones first."""
    rows = sorted(dropped.items(), key=lambda one: (-one[1], one[0]))
    others = sum(count for _, count in rows[most:])
    rows = rows[:most] + [("other reasons", others)] * (others > 0)
    figure, axes = _canvas(420, _ROW * len(rows) + 6, left=206, right=54)
    for place, (_, count) in enumerate(rows):
        axes.barh(place, count, height=0.62, color=_INKS["accent"], linewidth=0)
        axes.annotate(
            f"{count:,}",
            (count, place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=12,
            color=_INKS["muted"],
        )
    _rows(axes, [_short(reason, 30) for reason, _ in rows], rows[0][1])
    return _finished("drops", figure, "; ".join(f"{reason}: {count:,}" for reason, count in rows))


def _canvas(width: float, height: float, *, left: float, right: float, bottom: float = 3) -> tuple[Any, Any]:
    """A figure of so many pixels and its axes, with the margins given and 3 pixels above."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    figure = Drawing(figsize=(width * PX, height * PX))
    FigureCanvasSVG(figure)
    room = (left / width, bottom / height, (width - left - right) / width, (height - bottom - 3) / height)
    axes = figure.add_axes(room)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0, pad=8)
    return figure, axes


def _rows(axes: Any, labels: list[str], highest: float) -> None:
    """Horizontal rows from the top, with labels on the left and no scale."""
    axes.set_xlim(0, highest)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xticks([])


def _finished(name: str, figure: Any, alt: str) -> Figure:
    """The figure as an ``svg`` element to stand in a page."""
    out = io.StringIO()
    for artist in figure.findobj():
        artist.set_clip_on(False)
    figure.savefig(out, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = out.getvalue()
    svg = _NAMES.sub("", svg[svg.index("<svg") :])
    svg = _STYLES.sub("", _SIZE.sub(lambda _: f'role="img" aria-label="{escape(alt)}"', svg, count=1), count=1)
    for meaning, colour in _INKS.items():
        svg = svg.replace(colour, f"var(--{meaning})")
    return Figure(name, " ".join(svg.split()).replace("> <", ">\n<"), alt)


def _short(label: str, most: int) -> str:
    label = "".join(one if one.isprintable() else " " for one in label)
    return label if len(label) <= most else label[: most - 1] + "…"
