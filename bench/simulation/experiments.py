"""What is asked of the fleet: each experiment is some settings, a table and a plot of what came of them."""

from collections.abc import Callable, Iterable, Sequence

import attrs

from discovery.balancing import Balancer, LeastRequest, PeakEwma, Random, RoundRobin
from discovery.balancing.locality import LocalityAware

from . import theory
from .balls import hold
from .fleet import Outcome, Setting
from .plot import Line, Plot

Simulate = Callable[[Sequence[Setting]], Sequence[Outcome]]
"""Runs them, in any order and at the same time as it likes."""
Of = Callable[[Outcome], float]
Rows = list[list[str]]

POLICIES: dict[str, Balancer] = {
    "Random": Random(),
    "RoundRobin": RoundRobin(),
    "LeastRequest": LeastRequest(),
    "PeakEwma": PeakEwma(),
}
LOADS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
CURVE = [number / 100 for number in range(50, 96)]


@attrs.frozen(kw_only=True)
class Result:
    """A table and a plot. `name` is that of the plot's file and of the table's place in the page."""

    name: str
    rows: Rows
    plot: Plot | None = None


def balls(_simulate: Simulate) -> Result:
    """As many requests as backends, all held: the most on one backend."""
    rows = [["backends", "Random", "theory", "LeastRequest", "theory"]]
    for backends in 100, 1000, 10000:
        row = [f"{backends:,}"]
        for choices, policy in (1, Random()), (2, LeastRequest()):
            most = [max(hold(policy, backends, backends, seed)) for seed in range(10)]
            row += [f"{min(most)} to {max(most)}", f"{theory.most_loaded(backends, choices):.1f} + O(1)"]
        rows.append(row)
    return Result(name="balls", rows=rows)


def supermarket(simulate: Simulate) -> Result:
    """One client that sends everything: what theory is about."""
    grid = _grid(
        simulate, POLICIES, LOADS, lambda load: Setting(clients=1, utilisation=load, warm_up=2000, length=2000)
    )
    rows = [["utilisation", "Random", "theory", "RoundRobin", "theory", "LeastRequest", "theory", "PeakEwma"]]
    for load in LOADS:
        at_load = [grid[name][load] for name in POLICIES]
        cells = [_mean_and_p99(one) for one in at_load]
        said = [
            f"{_number(theory.mean_time(load, 1))}, {_number(theory.percentile_time(load, 1, 99))}",
            f"{_number(theory.mean_time_in_turn(load))}",
            f"{_number(theory.mean_time(load, 2))}, {_number(theory.percentile_time(load, 2, 99))}",
        ]
        rows.append([f"{load:.0%}", *(cell for pair in zip(cells, said, strict=False) for cell in pair), cells[-1]])
    known: dict[str, Callable[[float], float]] = {
        "theory: M/M/1": lambda load: theory.mean_time(load, 1),
        "theory: D/M/1": theory.mean_time_in_turn,
        "theory: two choices": lambda load: theory.mean_time(load, 2),
    }
    lines = _lines(grid, lambda one: one.mean)
    lines += [_curve(name, CURVE, of, colour) for colour, (name, of) in enumerate(known.items())]
    title = "One client of 500 backends: mean time"
    return Result(name="supermarket", rows=rows, plot=_by_load(title, lines, up="mean time, in services"))


def knowledge(simulate: Simulate) -> Result:
    """The same load from ever more clients, each of which knows only of its own requests."""
    counts = (1, 3, 10, 30, 100, 300, 1000)
    grid = _grid(simulate, POLICIES, counts, lambda clients: Setting(clients=clients, utilisation=0.9, length=1000))
    rows = _table("clients", grid, lambda one: _number(one.mean))
    lines = _lines(grid, lambda one: one.mean)
    lines.append(_curve("theory: M/M/1", (1, 1000), lambda _: theory.mean_time(0.9, 1), 0))
    lines.append(_curve("theory: two choices", (1, 1000), lambda _: theory.mean_time(0.9, 2), 2))
    plot = Plot(
        title="500 backends at 90 %: mean time, by number of clients",
        across="clients that share the load",
        up="mean time, in services",
        lines=lines,
        log_across=True,
    )
    return Result(name="knowledge", rows=rows, plot=plot)


def fleet(simulate: Simulate) -> Result:
    """1,000 clients of 500 backends, alike."""
    grid = _grid(simulate, POLICIES, LOADS[:-1], lambda load: Setting(utilisation=load, warm_up=500))
    rows = _table("utilisation", grid, lambda one: f"{_number(one.p99)} / {one.in_flight_spread:.1f}", share=True)
    lines = _lines(grid, lambda one: one.p99)
    lines.append(_curve("theory: M/M/1", CURVE[:-5], lambda load: theory.percentile_time(load, 1, 99), 0))
    return Result(name="fleet", rows=rows, plot=_by_load("1,000 clients of 500 backends: p99", lines))


def slow(simulate: Simulate) -> Result:
    """The same, where one in ten backends is half as fast."""
    loads = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    grid = _grid(simulate, POLICIES, loads, lambda load: _with_slow(utilisation=load, subset=20))
    rows = _table("utilisation", grid, lambda one: _number(one.p99), share=True)
    title = "1,000 clients with subsets of 20, one backend in ten half as fast: p99"
    return Result(name="slow", rows=rows, plot=_by_load(title, _lines(grid, lambda one: one.p99), log=True))


def subsets(simulate: Simulate) -> Result:
    """How large a subset is best: few to know well, or many to share alike."""
    sizes = (10, 20, 50, 100, 200, 500)
    alike = _grid(simulate, POLICIES, sizes, lambda size: Setting(utilisation=0.7, subset=size))
    uneven = _grid(simulate, POLICIES, sizes, lambda size: _with_slow(utilisation=0.6, subset=size))
    rows = [["size", "clients of the most chosen", *(f"{name}, alike / some slow" for name in POLICIES)]]
    for size in sizes:
        chosen = f"{theory.most_chosen(1000, 500, size):.2f} x mean"
        tails = [f"{_number(alike[name][size].p99)} / {_number(uneven[name][size].p99)}" for name in POLICIES]
        rows.append([str(size), chosen, *tails])
    plot = Plot(
        title="1,000 clients, one backend in ten half as fast, at 60 %: p99, by size of the subset",
        across="backends in a client's subset",
        up="p99, in services",
        lines=_lines(uneven, lambda one: one.p99),
        log_across=True,
        log_up=True,
    )
    return Result(name="subsets", rows=rows, plot=plot)


SPILLS: dict[str, LocalityAware | None] = {
    "zones not looked at": None,
    "spill=1": LocalityAware(spill=1),
    "spill=2": LocalityAware(spill=2),
    "spill=4": LocalityAware(),
    "spill=16": LocalityAware(spill=16),
    "never leaves": LocalityAware(spill=1e9),
}


def zones(simulate: Simulate) -> Result:
    """Three zones, first with clients spread evenly, then with half of all clients in one of them."""
    counts = (6, 30, 300)

    def setting(spill: str, clients: int, shares: tuple[float, ...]) -> Setting:
        return Setting(
            clients=clients, backends=30, workers=16, utilisation=0.8, zones=shares, locality=SPILLS[spill], length=400
        )

    cells = [(spill, clients) for spill in SPILLS for clients in counts]
    even = dict(zip(cells, simulate([setting(*cell, (1 / 3,) * 3) for cell in cells]), strict=True))
    half = dict(zip(cells, simulate([setting(*cell, (0.5, 0.25, 0.25)) for cell in cells]), strict=True))
    rows = [["", *(f"{clients} clients: stay, p99; p99 if half are in one zone" for clients in counts)]]
    for spill in SPILLS:
        row = [spill]
        for clients in counts:
            alike, uneven = even[spill, clients], half[spill, clients]
            row.append(f"{alike.local:.0%}, {_number(alike.p99)}; {_number(uneven.p99)}")
        rows.append(row)
    return Result(name="zones", rows=rows)


EXPERIMENTS = (balls, supermarket, knowledge, fleet, slow, subsets, zones)


Grid = dict[str, dict[float, Outcome]]


def _grid(
    simulate: Simulate, policies: dict[str, Balancer], values: Iterable[float], setting: Callable[..., Setting]
) -> Grid:
    """Each policy at each value."""
    cells = [(name, value) for name in policies for value in values]
    settings = [attrs.evolve(setting(value), balancer=policies[name]) for name, value in cells]
    grid: Grid = {name: {} for name in policies}
    for (name, value), outcome in zip(cells, simulate(settings), strict=True):
        grid[name][value] = outcome
    return grid


def _with_slow(*, utilisation: float, subset: int) -> Setting:
    return Setting(utilisation=utilisation, subset=subset, slow=0.1, slowness=2)


def _mean_and_p99(one: Outcome) -> str:
    return f"{_number(one.mean)}, {_number(one.p99)}"


def _curve(name: str, places: Iterable[float], of: Callable[[float], float], colour: int) -> Line:
    """What theory says, in the colour of the policy that it says it of."""
    return Line(name=name, points=[(place, of(place)) for place in places], theory=True, colour=colour)


def _lines(grid: Grid, of: Of) -> list[Line]:
    return [
        Line(name=name, points=[(value, of(outcome)) for value, outcome in outcomes.items()])
        for name, outcomes in grid.items()
    ]


def _by_load(title: str, lines: Sequence[Line], *, up: str = "p99, in services", log: bool = False) -> Plot:
    return Plot(title=title, across="utilisation of the backends", up=up, lines=lines, log_up=log)


def _table(first: str, grid: Grid, cell: Callable[[Outcome], str], *, share: bool = False) -> Rows:
    values = next(iter(grid.values()))
    rows = [[first, *grid]]
    for value in values:
        label = f"{value:.0%}" if share else f"{value:,g}"
        rows.append([label, *(cell(outcomes[value]) for outcomes in grid.values())])
    return rows


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
