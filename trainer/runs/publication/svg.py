"""Charts as inline SVG, drawn from numbers alone. Colours are the variables of the page, so they follow its theme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = 8
"""Number of colours, `--c0` to `--c7`; a chart shows at most this many series."""
_WIDTH, _HEIGHT = 340, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 16, 10, 38


@dataclass(frozen=True)
class Series:
    """One line of a chart, through points (x, y), with marks of its own: (x, y, radius in pixels, filled)."""

    name: str
    points: Sequence[tuple[float, float]] = ()
    marks: Sequence[tuple[float, float, float, bool]] = ()


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high` with a tick at each of `ticks`; logarithmic with `log`."""

    label: str
    low: float = 0.0
    high: float = 1.0
    ticks: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    log: bool = False

    def share(self, value: float) -> float:
        """The place of a value on the axis, from 0 to 1."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def line_chart(title: str, series: Sequence[Series], x: Axis, y: Axis, *, diagonal: bool = False) -> str:
    """Draw lines and marks; with `diagonal`, also the line y = x. `title` is for readers who do not see the chart."""
    parts = [*_frame(x, y)]
    if diagonal:
        parts.append(_path([(x.low, y.low), (x.high, y.high)], x, y, "var(--line)"))
    for number, own in enumerate(series[:COLOURS]):
        colour = f"var(--c{number})"
        if own.points:
            parts.append(_path(own.points, x, y, colour))
        parts += [_mark(*mark, colour, x, y) for mark in own.marks]
    return _svg(title, parts, _WIDTH, _HEIGHT)


def interval_chart(title: str, rows: Sequence[tuple[str, float | None, float | None, float | None]]) -> str:
    """Draw a figure in [0, 1] and its interval (None if there is none) for each named row."""
    left, step, width = 140, 26, 460
    room = width - left - 50
    parts = []
    for number, (name, value, low, high) in enumerate(rows):
        y = 16 + number * step
        parts.append(f'<text x="0" y="{y + 4}">{escape(name if len(name) <= 24 else name[:23] + "…")}</text>')
        parts.append(f'<line x1="{left}" x2="{left + room}" y1="{y}" y2="{y}" stroke="var(--line)"/>')
        if low is not None and high is not None:
            ends = f'x1="{left + room * low:.1f}" x2="{left + room * high:.1f}"'
            parts.append(f'<line {ends} y1="{y}" y2="{y}" stroke="var(--c0)" stroke-width="3"/>')
        if value is not None:
            parts.append(f'<circle cx="{left + room * value:.1f}" cy="{y}" r="5" fill="var(--c0)"/>')
        shown = "undefined" if value is None else f"{value:.2f}"
        parts.append(f'<text x="{left + room + 10}" y="{y + 4}">{shown}</text>')
    bottom = 16 + len(rows) * step
    parts += [f'<text x="{left + room * t:.0f}" y="{bottom}" text-anchor="middle">{t:g}</text>' for t in (0, 0.5, 1)]
    return _svg(title, parts, width, bottom + 8)


def _svg(title: str, parts: Sequence[str], width: float, height: float) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _x(value: float, axis: Axis) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * axis.share(value)


def _y(value: float, axis: Axis) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * axis.share(value)


def _frame(x: Axis, y: Axis) -> list[str]:
    left, right, low, high = _x(x.low, x), _x(x.high, x), _y(y.low, y), _y(y.high, y)
    parts = []
    for tick in y.ticks:
        at = _y(tick, y)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}" stroke="var(--line)"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x.ticks:
        shown = f"{tick:.1%}".replace(".0%", "%") if x.log else f"{tick:g}"
        parts.append(f'<text x="{_x(tick, x):.1f}" y="{low + 16:.1f}" text-anchor="middle">{shown}</text>')
    middle = (left + right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x.label)}</text>')
    turned = f'transform="rotate(-90 11 {(low + high) / 2:.0f})"'
    parts.append(f'<text x="11" y="{(low + high) / 2:.0f}" text-anchor="middle" {turned}>{escape(y.label)}</text>')
    return parts


def _path(points: Sequence[tuple[float, float]], x: Axis, y: Axis, colour: str) -> str:
    line = " ".join(f"{_x(a, x):.1f},{_y(b, y):.1f}" for a, b in points)
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>'


def _mark(at: float, value: float, radius: float, filled: bool, colour: str, x: Axis, y: Axis) -> str:
    fill = colour if filled else "var(--paper)"
    place = f'cx="{_x(at, x):.1f}" cy="{_y(value, y):.1f}" r="{radius:.1f}"'
    return f'<circle {place} fill="{fill}" stroke="{colour}" stroke-width="1.4"/>'
