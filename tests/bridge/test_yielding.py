"""Who is blind offers the lead to who sees, and takes it where nobody does."""

from discovery.bridge.leading.yielding import AGAIN, OFFER, PATIENCE, Yielding


def test_who_sees_always_stands() -> None:
    one = Yielding()
    for leading in (True, False):
        assert one.stands(1000.0, leading=leading, known=True, silent_for=0.0)
        assert one.at is None


def test_a_leader_that_is_blind_for_a_while_goes_on() -> None:
    one = Yielding()
    assert one.stands(1000.0, leading=True, known=True, silent_for=PATIENCE - 1)
    assert one.at == 1001.0


def test_a_leader_that_stays_blind_offers_the_lead_takes_it_back_and_offers_it_again_much_later() -> None:
    one = Yielding()
    assert not one.stands(1000.0, leading=True, known=True, silent_for=PATIENCE)
    assert one.at == 1000.0 + OFFER
    assert not one.stands(1001.0, leading=False, known=False, silent_for=PATIENCE + 1)
    assert one.stands(1000.0 + OFFER, leading=False, known=False, silent_for=PATIENCE + OFFER)
    assert one.stands(1006.0, leading=True, known=True, silent_for=PATIENCE + 6)
    assert one.at == 1000.0 + AGAIN
    assert not one.stands(1000.0 + AGAIN, leading=True, known=True, silent_for=PATIENCE + AGAIN)


def test_one_that_is_blind_leaves_the_lead_to_whoever_has_it_and_takes_it_only_where_nobody_does() -> None:
    one = Yielding()
    assert not one.stands(1000.0, leading=False, known=True, silent_for=1.0)
    assert one.at is None
    assert not one.stands(1001.0, leading=False, known=False, silent_for=2.0)
    assert not one.stands(1002.0, leading=False, known=True, silent_for=3.0), "somebody has taken it"
    assert not one.stands(1003.0, leading=False, known=False, silent_for=4.0)
    assert one.stands(1003.0 + OFFER, leading=False, known=False, silent_for=4.0 + OFFER)


def test_one_that_sees_again_has_forgotten_all_of_it() -> None:
    one = Yielding()
    assert not one.stands(1000.0, leading=True, known=True, silent_for=PATIENCE)
    assert one.stands(1001.0, leading=False, known=False, silent_for=0.0)
    assert one.stands(1100.0, leading=True, known=True, silent_for=1.0)
    assert one.at == 1099.0 + PATIENCE
