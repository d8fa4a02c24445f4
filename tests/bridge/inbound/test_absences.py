"""A name is gone when it went before our eyes, or when two lists lack it; never because something looks empty."""

from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge.inbound.absences import Absences


def names(text: str) -> frozenset[str]:
    return frozenset(text)


def lists(*given: tuple[str, float], **more: bool) -> Absences:
    absences = Absences(10.0)
    for text, now in given:
        absences.listed(names(text), now, **more)
    return absences


def test_before_there_was_a_list_nothing_is_gone() -> None:
    assert not Absences(10.0).gone("a")
    assert Absences(10.0).open


def test_what_the_first_list_lacks_is_gone_once_a_second_lacks_it_too() -> None:
    absences = lists(("a", 0.0))
    assert not absences.gone("x")
    absences.listed(names("a"), 9.9)
    assert not absences.gone("x")
    absences.listed(names("a"), 10.0)
    assert absences.gone("x")
    assert not absences.gone("a")


def test_another_list_is_asked_for_until_the_first_is_confirmed() -> None:
    assert [lists(("a", 0.0), ("a", later)).open for later in (1.0, 9.9, 10.0)] == [True, True, False]


def test_what_leaves_a_list_before_our_eyes_is_gone_at_once() -> None:
    absences = lists(("abc", 0.0), ("abc", 20.0), ("ab", 21.0))
    assert absences.gone("c")
    assert not absences.open
    assert not absences.gone("a")


def test_it_is_so_even_for_the_last_one_of_ours_while_consul_lists_others() -> None:
    absences = lists(("a", 0.0), ("", 1.0))
    assert absences.gone("a")


def test_a_list_that_empties_is_believed_only_when_it_comes_again() -> None:
    absences = lists(("ab", 0.0), ("ab", 20.0))
    absences.listed(names(""), 21.0, bare=True)
    assert (absences.gone("a"), absences.open) == (False, True)
    absences.listed(names(""), 31.0, bare=True)
    assert (absences.gone("a"), absences.gone("b"), absences.open) == (True, True, False)


def test_what_comes_back_in_between_is_not_gone_and_starts_anew() -> None:
    absences = lists(("a", 0.0), ("a", 20.0))
    absences.listed(names(""), 21.0, bare=True)
    absences.listed(names("a"), 25.0)
    absences.listed(names(""), 26.0, bare=True)
    absences.listed(names(""), 33.0, bare=True)
    assert not absences.gone("a")
    absences.listed(names(""), 36.0, bare=True)
    assert absences.gone("a")


def test_a_list_that_may_hide_something_removes_nothing_and_breaks_the_row() -> None:
    absences = lists(("ab", 0.0), ("ab", 20.0))
    absences.listed(names("a"), 21.0, whole=False)
    absences.listed(names("a"), 40.0, whole=False)
    assert not absences.gone("b")
    absences.listed(names("a"), 41.0)
    assert not absences.gone("b")
    absences.listed(names("a"), 51.0)
    assert absences.gone("b")


def test_an_index_that_went_back_makes_all_that_was_known_doubtful() -> None:
    absences = lists(("ab", 0.0), ("ab", 20.0), ("a", 21.0))
    assert absences.gone("b")
    absences.listed(names(""), 22.0, went_back=True)
    assert not absences.gone("a")
    assert not absences.gone("b")
    absences.listed(names(""), 32.0)
    assert absences.gone("a")
    assert absences.gone("b")


def test_what_was_confirmed_long_ago_is_not_remembered_and_still_gone() -> None:
    absences = Absences(10.0)
    for now in range(1000):
        absences.listed(frozenset({"a", f"job-{now}"}), float(now))
    assert absences.gone("job-3")
    assert len(absences._dropped) + len(absences._seen_to_go) < 50


LISTS = st.lists(
    st.tuples(st.frozensets(st.sampled_from("abc")), st.floats(0.1, 15.0), st.booleans(), st.booleans()), max_size=12
)


@given(LISTS)
def test_nothing_is_gone_that_the_last_list_has_or_that_only_one_list_lacks_unseen(
    given_lists: list[tuple[frozenset[str], float, bool, bool]],
) -> None:
    absences, now = Absences(10.0), 0.0
    whole_row: list[tuple[frozenset[str], float]] = []
    for listed, gap, whole, went_back in given_lists:
        now += gap
        absences.listed(listed, now, whole=whole, went_back=went_back, bare=True)
        if not whole or went_back:
            whole_row.clear()
        if whole:
            whole_row.append((listed, now))
        for name in "abc":
            lacking = []
            for found, when in reversed(whole_row):
                if name in found:
                    break
                lacking.append(when)
            expected = bool(lacking) and lacking[0] - lacking[-1] >= 10.0 and name not in listed
            assert absences.gone(name) is expected
