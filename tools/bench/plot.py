"""Two drawings of a run's curves, as SVG: throughput against concurrency, and the distribution of latency."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 40, 50
_COLOURS = ("#0072b2", "#999999", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")


def draw(folder: Path, throughput: Mapping[str, Mapping[int, float]], latency: Mapping[str, Points]) -> None:
    """Write both files; servers in the order of the mappings."""
    rates = {name: sorted(curve.items()) for name, curve in throughput.items()}
    (folder / "throughput.svg").write_text(_chart("ensure-user: requests a second over connections", rates))
    (folder / "latency.svg").write_text(_chart("ensure-user, 32 connections: milliseconds over percentiles", latency))


def _chart(title: str, curves: Mapping[str, Points]) -> str:
    """Lines over evenly spaced abscissas, which are concurrencies or percentiles; ordinates are logarithmic."""
    ticks = sorted({x for curve in curves.values() for x, _ in curve})
    decades = _decades([y for curve in curves.values() for _, y in curve])
    parts = [_text(_LEFT, 22, title, size=15), *_grid(ticks, decades)]
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(_across(ticks.index(x), len(ticks)), _up(y, decades)) for x, y in curve]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        parts.append(_text(_WIDTH - _RIGHT + 14, _TOP + 14 + 20 * number, name, colour=colour))
    frame = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
    ground = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>', ground, *parts, "</svg>", ""])


def _grid(ticks: Sequence[float], decades: tuple[int, int]) -> list[str]:
    parts = []
    for place, tick in enumerate(ticks):
        parts.append(_text(_across(place, len(ticks)), _HEIGHT - _BOTTOM + 20, f"{tick:g}", anchor="middle"))
    for power in range(decades[0], decades[1] + 1):
        y = _up(10.0**power, decades)
        ends = f'x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
        parts.append(f'<line {ends} stroke="#dddddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, f"{10.0**power:,g}", anchor="end"))
    return parts


def _across(place: int, places: int) -> float:
    return _LEFT + (place + 0.5) / places * (_WIDTH - _RIGHT - _LEFT)


def _up(value: float, decades: tuple[int, int]) -> float:
    low, high = decades
    share = (math.log10(value) - low) / (high - low)
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten that hold all values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _text(x: float, y: float, text: str, *, size: int = 12, colour: str = "#333333", anchor: str = "start") -> str:
    how = f'font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(text)}</text>'
