"""Line plots as SVG, readable on light and on dark pages. No more than the simulation needs."""

import math
from collections.abc import Callable, Sequence
from html import escape

import attrs

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 190, 40, 52
FONT = 'font-family="sans-serif" font-size="12" fill="#222"'
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which colour-blind people tell apart."""


@attrs.frozen(kw_only=True)
class Line:
    """A named series of points. What is measured has marks; what theory says is dashed and has none."""

    name: str
    points: Sequence[tuple[float, float]]
    theory: bool = False
    colour: int | None = None
    """Of `COLOURS`; None: the next one."""


@attrs.frozen(kw_only=True)
class Plot:
    """Lines over one pair of axes. `top`: where the vertical axis ends; what goes beyond leaves the plot."""

    title: str
    across: str
    up: str
    lines: Sequence[Line]
    log_across: bool = False
    log_up: bool = False
    top: float | None = None

    def svg(self) -> str:
        """The whole picture."""
        xs = [x for line in self.lines for x, _ in line.points]
        ys = [y for line in self.lines for _, y in line.points]
        across = Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, log=self.log_across)
        up = Axis(min(ys) if self.log_up else 0.0, self.top or max(ys) * 1.05, HEIGHT - BOTTOM, TOP, log=self.log_up)
        return "\n".join([*self._frame(across, up), *self._series(across.at, up.at), "</svg>", ""])

    def _frame(self, across: "Axis", up: "Axis") -> list[str]:
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        middle = f"{LEFT - 46} {(TOP + bottom) / 2:.0f}"
        inside = f'x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"'
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {FONT}>',
            f"<title>{escape(self.title)}</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#fff"/>',
            f'<clipPath id="inside"><rect {inside}/></clipPath>',
            _text(LEFT, 22, self.title, size=14),
            _text((LEFT + right) / 2, HEIGHT - 12, self.across, anchor="middle"),
            f'<g transform="translate({middle}) rotate(-90)">{_text(0, 0, self.up, anchor="middle")}</g>',
        ]
        for value in across.ticks():
            x = across.at(value)
            parts += [_rule(x, TOP, x, bottom), _text(x, bottom + 18, f"{value:,.6g}", anchor="middle")]
        for value in up.ticks():
            y = up.at(value)
            parts += [_rule(LEFT, y, right, y), _text(LEFT - 8, y + 4, f"{value:,.6g}", anchor="end")]
        return parts

    def _series(self, x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
        parts = []
        for number, line in enumerate(self.lines):
            colour = COLOURS[(number if line.colour is None else line.colour) % len(COLOURS)]
            dashes = ' stroke-dasharray="5 4"' if line.theory else ""
            path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line.points)
            stroke = f'fill="none" stroke="{colour}" stroke-width="{1.5 if line.theory else 2}"{dashes}'
            parts.append(f'<polyline clip-path="url(#inside)" points="{path}" {stroke}/>')
            if not line.theory:
                dots = "".join(f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5"/>' for a, b in line.points)
                parts.append(f'<g clip-path="url(#inside)" fill="{colour}">{dots}</g>')
            left, height = WIDTH - RIGHT + 14, TOP + 10 + 20 * number
            parts.append(f'<polyline points="{left},{height} {left + 24},{height}" {stroke}/>')
            parts.append(_text(left + 30, height + 4, line.name))
        return parts


@attrs.frozen
class Axis:
    """Values from `low` to `high`, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = attrs.field(kw_only=True)

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within it: some five, or 1, 2 and 5 of each power of ten."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) < 4 else (1,)
            found = [step * 10.0**power for power in powers for step in steps]
        else:
            step = _round_step((self.high - self.low) / 5)
            found = [step * number for number in range(math.ceil(self.low / step), int(self.high / step) + 1)]
        return [value for value in found if self.low <= value <= self.high * (1 + 1e-9)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
