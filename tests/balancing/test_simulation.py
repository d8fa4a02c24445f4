"""The policies in a simulated fleet do what queueing theory says; the theory itself is held by known numbers.

Seeded, in virtual time: the same numbers in every run.
"""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.simulation import theory
from bench.simulation.__main__ import table, write
from bench.simulation.balls import hold
from bench.simulation.experiments import Result
from bench.simulation.fleet import Setting, simulate
from bench.simulation.plot import Line, Plot
from discovery.balancing import Balancer, LeastRequest, PeakEwma, Random, RoundRobin
from discovery.balancing.locality import LocalityAware


@pytest.mark.parametrize(
    ("load", "one", "two"), [(0.5, 2.0, 1.266), (0.9, 10.0, 2.614), (0.95, 20.0, 3.383), (0.99, 100.0, 5.432)]
)
def test_the_supermarket_model_has_its_published_times(load: float, one: float, two: float) -> None:
    assert theory.mean_time(load, 1) == pytest.approx(one, rel=0.001)
    assert theory.mean_time(load, 2) == pytest.approx(two, rel=0.001)


def test_the_p99_of_one_choice_is_that_of_an_exponential_time() -> None:
    """Of an M/M/1 queue: ln 100 / (1 - load)."""
    assert theory.percentile_time(0.9, 1, 99) == pytest.approx(46.05, rel=0.001)


def test_evenly_spaced_requests_wait_half_as_long() -> None:
    """D/M/1 at 50 %: s = 0.2032 solves s = exp(2 (s - 1))."""
    assert theory.mean_time_in_turn(0.5) == pytest.approx(1 / (1 - 0.2032), rel=0.001)


@pytest.mark.parametrize(("backends", "one", "two"), [(100, (3, 7), (2, 3)), (1000, (4, 8), (3, 4))])
def test_two_choices_hold_the_fullest_to_log_log_n(backends: int, one: tuple[int, int], two: tuple[int, int]) -> None:
    for seed in range(10):
        assert one[0] <= max(hold(Random(), backends, backends, seed)) <= one[1]
        assert two[0] <= max(hold(LeastRequest(), backends, backends, seed)) <= two[1]


def test_many_held_requests_are_spread_to_within_ten() -> None:
    """Finagle's own test of two choices: 100 nodes, 100,000 picks."""
    loads = hold(LeastRequest(), 100, 100_000, 7)
    assert max(loads) - min(loads) <= 10


@pytest.mark.parametrize(
    ("policy", "mean"),
    [
        (Random(), theory.mean_time(0.8, 1)),
        (RoundRobin(), theory.mean_time_in_turn(0.8)),
        (LeastRequest(), theory.mean_time(0.8, 2)),
        (PeakEwma(), theory.mean_time(0.8, 2)),
    ],
    ids=repr,
)
def test_one_client_has_the_times_of_theory(policy: Balancer, mean: float) -> None:
    """To within 5 %; at 80 % a queue forgets how it began in some 90 services."""
    outcome = simulate(Setting(balancer=policy, clients=1, backends=200, utilisation=0.8, length=800))
    assert outcome.mean == pytest.approx(mean, rel=0.05)


def test_two_choices_have_the_tail_of_theory() -> None:
    outcome = simulate(Setting(clients=1, backends=200, utilisation=0.8, length=800))
    assert outcome.p99 == pytest.approx(theory.percentile_time(0.8, 2, 99), rel=0.05)


def test_a_client_in_turn_spreads_requests_exactly() -> None:
    outcome = simulate(Setting(balancer=RoundRobin(), clients=1, backends=50, utilisation=0.5, length=400))
    assert outcome.requests_spread < 1.01


def test_many_clients_know_less_than_one() -> None:
    """Each sees only its own requests: what is left of two choices is between theory's two models."""
    many, one = (
        simulate(Setting(clients=clients, backends=100, utilisation=0.9, length=600)).mean for clients in (200, 1)
    )
    assert theory.mean_time(0.9, 2) * 0.95 < one < many < theory.mean_time(0.9, 1)


def test_what_is_learnt_keeps_requests_from_slow_backends() -> None:
    p99 = {
        policy: simulate(
            Setting(
                balancer=policy, clients=100, backends=50, subset=20, slow=0.1, slowness=2, utilisation=0.6, length=400
            )
        ).p99
        for policy in (RoundRobin(), LeastRequest(), PeakEwma())
    }
    assert p99[PeakEwma()] * 2 < p99[LeastRequest()] < p99[RoundRobin()]


@pytest.mark.parametrize(("shares", "most"), [((1 / 3,) * 3, 5.5), ((0.5, 0.25, 0.25), 8.0)])
def test_a_zone_keeps_its_requests_and_spills_before_it_is_overrun(shares: tuple[float, ...], most: float) -> None:
    """At 80 %: with half of the clients in one of three zones that zone alone would have 120 %, and no bound."""
    setting = Setting(
        clients=30, backends=30, workers=16, utilisation=0.8, zones=shares, locality=LocalityAware(), length=200
    )
    outcome = simulate(setting)
    assert outcome.local > 0.9
    assert outcome.p99 < most


def test_the_same_seed_gives_the_same_numbers() -> None:
    settings = [Setting(clients=20, backends=20, subset=5, length=50, seed=seed) for seed in (1, 1, 2)]
    first, again, other = map(simulate, settings)
    assert first == again != other


def test_a_plot_is_an_xml_picture_with_every_line() -> None:
    lines = [Line(name="a & b", points=[(1, 1), (1000, 9)]), Line(name="model", points=[(1, 2), (10, 3)], theory=True)]
    for log in (False, True):
        plot = Plot(title="<title>", across="x", up="y", lines=lines, log_across=log, log_up=log)
        root = ET.fromstring(plot.svg())
        texts = {element.text for element in root.iter() if element.text}
        assert {"a & b", "model", "<title>", "x", "y"} <= texts
        assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 2


def test_results_are_written_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- one -->\nold\n<!-- /one -->\nafter\n")
    rows = [["a", "b"], ["1", "2"]]
    plot = Plot(title="t", across="x", up="y", lines=[Line(name="l", points=[(1, 1), (2, 2)])])
    write(Result(name="one", rows=rows, plot=plot), page)
    write(Result(name="one", rows=rows, plot=plot), page)
    assert page.read_text() == f"before\n<!-- one -->\n\n{table(rows)}\n\n<!-- /one -->\nafter\n"
    assert (tmp_path / "page" / "one.svg").exists()
    with pytest.raises(ValueError, match="two"):
        write(Result(name="two", rows=rows), page)


def test_clients_are_spread_over_the_zones_by_their_shares() -> None:
    """Without looking at zones, a third of the requests stays in each of three equal ones."""
    outcome = simulate(Setting(clients=30, backends=30, zones=(1 / 3,) * 3, length=200, balancer=Random()))
    assert outcome.local == pytest.approx(1 / 3, abs=0.03)
