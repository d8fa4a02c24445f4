"""A figure: what was measured, beside what, and whether it is good enough. And the sums that make one of many runs."""

import json
import statistics
from collections.abc import Iterable, Sequence

import attrs


@attrs.frozen(kw_only=True)
class Figure:
    """One promise. Its value is the median of the runs; `ours` and `anchor` are medians too, where it is a ratio."""

    name: str
    what: str
    unit: str
    runs: tuple[float, ...]
    at_most: float | None = None
    at_least: float | None = None
    ours: str = ""
    anchor: str = ""

    @property
    def value(self) -> float:
        return statistics.median(self.runs)

    @property
    def met(self) -> bool:
        below = self.at_most is None or self.value <= self.at_most
        return below and (self.at_least is None or self.value >= self.at_least)

    @property
    def bound(self) -> str:
        """What is to be reached, in words; "" where it is only told."""
        if self.at_most is not None:
            return f"at most {self.at_most:,g}"
        return "" if self.at_least is None else f"at least {self.at_least:,g}"

    def line(self) -> str:
        """The figure as one line of JSON."""
        return json.dumps(
            {
                "figure": self.name,
                "value": round(self.value, 4),
                "unit": self.unit,
                "anchor": self.anchor,
                "ours": self.ours,
                "bound": self.bound or None,
                "met": self.met,
                "runs": [round(run, 4) for run in self.runs],
            },
            ensure_ascii=False,
        )


def ratios(ours: Sequence[float], anchor: Sequence[float]) -> tuple[float, ...]:
    """Run by run: what was measured side by side is compared with nothing else."""
    return tuple(one / other for one, other in zip(ours, anchor, strict=True))


def amount(values: Iterable[float], unit: str, scale: float = 1.0) -> str:
    """The median, for a reader: three digits and its unit."""
    middle = statistics.median(values) * scale
    return f"{middle:,.0f} {unit}" if middle >= 1000 else f"{middle:.3g} {unit}"


def percentile(values: Iterable[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent // 100))]
