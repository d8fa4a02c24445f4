"""Names that two Services come to: the first keeps it, the other is told and tried again; and the laws of that."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from discovery.bridge.records import ServiceKey
from discovery.bridge.wanted.claims import Claims
from discovery.bridge.wanted.names import Name

A, B, C = ("shop", "a"), ("shop", "b"), ("shop", "c")


def plain(*texts: str) -> list[Name]:
    return [Name(text) for text in texts]


def by_annotation(*texts: str) -> list[Name]:
    return [Name(text, asked=True) for text in texts]


def test_who_comes_first_has_the_name_however_often_it_claims() -> None:
    claims = Claims()
    assert claims.claim(A, plain("web", "web-rpc")) is None
    assert claims.claim(A, plain("web", "web-rpc")) is None
    assert claims.names(A) == {"web", "web-rpc"}


def test_who_comes_second_is_told_whose_it_is_and_what_to_do() -> None:
    claims = Claims()
    claims.claim(A, plain("web"))
    assert claims.claim(B, plain("web")) == (
        "the name 'web' is that of 'shop/a': ask for another (consul.hashicorp.com/service-name)"
    )
    assert claims.claim(B, by_annotation("web")) == (
        "the name 'web' is that of 'shop/a': let that one ask for it by annotation too, to share it "
        "(consul.hashicorp.com/service-name)"
    )
    assert claims.names(B) == frozenset()


def test_the_port_of_one_service_and_the_name_of_another_collide() -> None:
    claims = Claims()
    assert claims.claim(("shop", "web"), plain("web", "web-rpc")) is None
    assert claims.claim(("shop", "web-rpc"), plain("web-rpc")) is not None


def test_a_suffix_that_makes_two_names_one_is_noticed() -> None:
    claims = Claims()
    assert claims.claim(("a-b", "c"), plain("c-a-b")) is None
    assert claims.claim(("b", "c-a"), plain("c-a-b")) is not None


def test_names_that_all_ask_for_are_shared() -> None:
    claims = Claims()
    assert claims.claim(A, by_annotation("web")) is None
    assert claims.claim(B, by_annotation("web")) is None
    assert claims.claim(C, plain("web")) is not None
    assert claims.release(A) == {C}
    assert claims.claim(C, plain("web")) is not None, "it is still that of another"
    assert claims.release(B) == {C}
    assert claims.claim(C, plain("web")) is None


def test_upper_and_lower_case_are_one_name_as_to_consul() -> None:
    claims = Claims()
    assert claims.claim(A, by_annotation("Web")) is None
    assert claims.claim(B, plain("web")) is not None


def test_whoever_waits_is_told_when_the_name_is_free_and_only_once() -> None:
    claims = Claims()
    claims.claim(A, plain("web"))
    claims.claim(B, plain("web"))
    claims.claim(C, plain("web"))
    assert claims.release(A) == {B, C}
    assert claims.take() == set()
    assert claims.claim(B, plain("web")) is None
    assert claims.claim(C, plain("web")) is not None


def test_a_service_that_takes_another_name_frees_the_one_it_had() -> None:
    claims = Claims()
    claims.claim(A, plain("web"))
    claims.claim(B, plain("web"))
    assert claims.claim(A, plain("site")) is None
    assert claims.take() == {B}
    assert claims.names(A) == {"site"}


def test_a_service_that_cannot_have_its_new_name_keeps_its_old_one() -> None:
    claims = Claims()
    claims.claim(A, plain("web"))
    claims.claim(B, plain("site"))
    assert claims.claim(B, plain("web", "web-rpc")) is not None
    assert claims.names(B) == {"site"}
    assert claims.claim(C, plain("site")) is not None
    assert claims.claim(C, plain("web-rpc")) is None, "nobody has what was refused as a whole"


def test_a_service_that_asks_from_now_on_lets_others_share() -> None:
    claims = Claims()
    claims.claim(A, plain("web"))
    assert claims.claim(B, by_annotation("web")) is not None
    assert claims.claim(A, by_annotation("web")) is None
    assert claims.take() == {B}
    assert claims.claim(B, by_annotation("web")) is None
    assert claims.claim(B, plain("web")) is not None, "no more, while another has it"


def test_who_no_longer_waits_is_not_told() -> None:
    claims = Claims()
    claims.claim(A, plain("web"))
    claims.claim(B, plain("web"))
    claims.claim(C, plain("web"))
    claims.claim(B, plain("other"))
    claims.release(C)
    assert claims.release(A) == set()


def test_it_shows_how_many_there_are() -> None:
    claims = Claims()
    claims.claim(A, plain("web", "web-rpc"))
    claims.claim(B, plain("web"))
    assert repr(claims) == "<Claims: 2 names of 1 Services, 1 wait>"
    claims.release(A)
    claims.release(B)
    assert repr(claims) == "<Claims: 0 names of 0 Services, 0 wait>"
    assert claims.release(C) == set()


KEYS = st.sampled_from([A, B, C, ("shop", "d")])
NAMES = st.lists(st.builds(Name, st.sampled_from(["x", "X", "y", "z"]), st.booleans()), min_size=1, max_size=3)


class AnyOrder(RuleBasedStateMachine):
    """A model that knows only what each Service was last granted."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = Claims()
        self.granted: dict[ServiceKey, dict[str, bool]] = {}
        self.refused: dict[ServiceKey, list[Name]] = {}
        self.told: set[ServiceKey] = set()

    def fits(self, key: ServiceKey, names: list[Name]) -> bool:
        wanted = {name.text.lower(): name.asked for name in names}
        others = [names for other, names in self.granted.items() if other != key]
        return all(asked and held[text] for text, asked in wanted.items() for held in others if text in held)

    @rule(key=KEYS, names=NAMES)
    def claim(self, key: ServiceKey, names: list[Name]) -> None:
        self.told.discard(key)
        self.refused.pop(key, None)
        why = self.claims.claim(key, names)
        assert (why is None) is self.fits(key, names)
        if why is None:
            self.granted[key] = {name.text.lower(): name.asked for name in names}
        else:
            self.refused[key] = names
        self.told |= self.claims.take()

    @rule(key=KEYS)
    def release(self, key: ServiceKey) -> None:
        self.granted.pop(key, None)
        self.refused.pop(key, None)
        self.told.discard(key)
        self.told |= self.claims.release(key)
        assert self.claims.names(key) == frozenset()

    @invariant()
    def whoever_could_have_its_names_now_has_been_told(self) -> None:
        for key, names in self.refused.items():
            assert key in self.told or not self.fits(key, names)
        assert self.told <= self.refused.keys()
        for key, held in self.granted.items():
            assert self.claims.names(key) == held.keys()


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestAnyOrder = AnyOrder.TestCase
