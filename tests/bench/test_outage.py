"""Recovery from an outage is over when no request fails any more and every backend has its share again."""

import pytest

from bench.outage import AFTER, BACKENDS, SHARE, recovery
from bench.traffic.load import Exchange

RETURNED = 100.0


def _evenly(since: float) -> list[float]:
    """Arrivals at one backend, from so many seconds after its return on."""
    times = [RETURNED + number / SHARE for number in range(int(AFTER * SHARE))]
    return [at for at in times if at >= RETURNED + since]


def test_it_is_at_once_where_nothing_fails_and_all_have_their_share() -> None:
    assert recovery([Exchange(RETURNED, 0.01, 200)], [_evenly(0)] * BACKENDS, RETURNED) == 0


def test_a_request_that_fails_late_puts_it_off_until_its_end() -> None:
    done = [Exchange(RETURNED + 0.5, 0.25, 503), Exchange(RETURNED + 1, 0.01, 200)]
    assert recovery(done, [_evenly(0)] * BACKENDS, RETURNED) == pytest.approx(0.75)


def test_a_request_that_began_in_the_outage_does_not_count() -> None:
    assert recovery([Exchange(RETURNED - 0.1, 0.5, 0)], [_evenly(0)] * BACKENDS, RETURNED) == 0


def test_one_backend_that_is_not_asked_puts_it_off() -> None:
    late = recovery([], [*[_evenly(0)] * (BACKENDS - 1), _evenly(2.0)], RETURNED)
    assert 1.4 <= late <= 2.0


def test_a_backend_that_is_never_asked_again_puts_it_off_to_the_end() -> None:
    assert recovery([], [*[_evenly(0)] * (BACKENDS - 1), []], RETURNED) >= AFTER - 1
