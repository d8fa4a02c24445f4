"""Label selectors: what the API server takes and refuses, one spelling for each, and which labels they choose."""

import random
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.errors import InvalidTarget
from discovery.targets import Pods, parse
from discovery.targets.selectors import LONGEST_SELECTOR, read
from discovery.testing.selectors import labels_match

LONG_NAME, LONG_PREFIX = "x" * 63, "p" * 253


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("x=a,y=b,z=c", "x=a,y=b,z=c"),
        ("x!=a,y=b", "x!=a,y=b"),
        ("x==a", "x=a"),
        ("x=", "x="),
        ("x= ", "x="),
        ("x=,z= ", "x=,z="),
        ("x!=", "x!="),
        ("!x", "!x"),
        ("! x", "!x"),
        (" a ", "a"),
        ("\rx", "x"),
        ("x>1", "x>1"),
        ("x>1,z<5", "x>1,z<5"),
        ("x>007", "x>7"),
        ("x > 9223372036854775807", "x>9223372036854775807"),
        ("this-is-a-dns.domain.com/key-with-dash", "this-is-a-dns.domain.com/key-with-dash"),
        ("0.1.2.domain/99 notin (10.10.100.1, tick.tack.clock)", "0.1.2.domain/99 notin (10.10.100.1,tick.tack.clock)"),
        ("foo  in\t (abc)", "foo in (abc)"),
        ("x notin\n (abc)", "x notin (abc)"),
        ("x in(abc,def)", "x in (abc,def)"),
        ("x in (b,a,b)", "x in (a,b)"),
        ("x in (abc,)", "x in (,abc)"),
        ("x in ()", "x in ()"),
        ("x notin ( )", "x notin ()"),
        ("x notin (, a)", "x notin (,a)"),
        ("x notin (abc,,def),bar,z in (),w", "bar,w,x notin (,abc,def),z in ()"),
        ("x,y in (a)", "x,y in (a)"),
        ("z in (h,i,j),y!=b,x=a", "x=a,y!=b,z in (h,i,j)"),
        ("a in (x,y,notin, z,in)", "a in (in,notin,x,y,z)"),
        ("in in (in)", "in in (in)"),
        ("notin", "notin"),
        ("x=in", "x=in"),
        ("x=a,x=a , x==a", "x=a"),
        ("App.Kubernetes_io=Web", "App.Kubernetes_io=Web"),
        (f"{LONG_PREFIX}/{LONG_NAME}={LONG_NAME}", f"{LONG_PREFIX}/{LONG_NAME}={LONG_NAME}"),
    ],
)
def test_what_the_api_server_reads_is_read_and_has_one_spelling(text: str, printed: str) -> None:
    assert str(read(text)) == printed
    assert read(printed) == read(text)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("x=a||y=b", "a||y"),
        ("x==a==b", "=="),
        ("!x=a", "="),
        ("x<a", "a"),
        ("x>-5", "-5"),
        ("x>+5", "+5"),
        ("x>9223372036854775808", "9223372036854775808"),
        ("x>\u0661", "\u0661"),
        ("x>", ""),
        ("x>=1", "="),
        ("x,,y", ","),
        (",x,y", ","),
        ("x,", ""),
        ("x nott in (y)", "nott"),
        ("a in (xyz),", ""),
        ("a in (xyz)b notin ()", "b"),
        ("a in (xyz abc)", "abc"),
        ("a notin(", ""),
        ("a in x", "x"),
        ("a in", ""),
        ("a (", "("),
        ("(", "("),
        ("x ! y", "!"),
        ("x=a b", "b"),
        ("=a", "="),
        ("!", ""),
        ("!!x", "!"),
        ("a/b/c", "a/b/c"),
        ("/a", "/a"),
        ("a/", "a/"),
        ("A.b/c", "A.b/c"),
        ("-a=b", "-a"),
        ("a=b-", "b-"),
        ("a=-b", "-b"),
        ("x\x0c", "x\x0c"),
        ("\x0bx", "\x0bx"),
        ("x\xa0=a", "x\xa0"),
        ("é=a", "é"),
        (f"{LONG_NAME}x=a", f"{LONG_NAME}x"),
        (f"a={LONG_NAME}x", f"{LONG_NAME}x"),
        (f"{LONG_PREFIX}p/a", f"{LONG_PREFIX}p/a"),
    ],
)
def test_what_the_api_server_refuses_is_refused_at_the_place_that_is_wrong(text: str, part: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        read(text)
    assert caught.value.part == part
    assert ("at its end" in str(caught.value)) is (not part)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["", " ", "\t\r\n"])
def test_an_empty_selector_would_be_every_pod_and_is_refused(text: str) -> None:
    with pytest.raises(InvalidTarget, match="every pod of the namespace"):
        read(text)


def test_a_selector_that_no_server_would_take_in_a_query_is_refused() -> None:
    with pytest.raises(InvalidTarget, match="too long"):
        read(",".join(["a"] * LONGEST_SELECTOR))


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ("x=y", {"x": "y"}, True),
        ("x=y,z=w", {"x": "y", "z": "w"}, True),
        ("x!=y,z!=w", {"x": "z", "z": "a"}, True),
        ("notin=in", {"notin": "in"}, True),
        ("x", {"x": "z"}, True),
        ("!x", {"y": "z"}, True),
        ("x=z", {}, False),
        ("x!=z", {}, True),
        ("x=", {}, False),
        ("x=", {"x": ""}, True),
        ("x!=", {"x": ""}, False),
        ("x in (a,)", {"x": ""}, True),
        ("x in (a,)", {}, False),
        ("x notin (a)", {}, True),
        ("x notin (a)", {"x": "a"}, False),
        ("x notin ()", {"x": ""}, False),
        ("x=y,x=z", {"x": "y"}, False),
        ("x>1", {"x": "2"}, True),
        ("x>1", {"x": "1"}, False),
        ("x<1", {"x": "0"}, True),
        ("x<10", {"x": "9"}, True),
        ("x>1", {}, False),
        ("x<1", {}, False),
        ("x>1", {"x": "two"}, False),
        ("x>1", {"x": "9223372036854775808"}, False),
        ("x>1", {"x": "\u0662"}, False),
    ],
)
def test_labels_are_chosen_as_the_api_server_chooses_them(
    selector: str, labels: dict[str, str], expected: bool
) -> None:
    assert read(selector).matches(labels) is expected


# Laws

KEYS = st.sampled_from(["app", "tier", "a.b/c", "in", "notin", "X_1"])
VALUES = st.sampled_from(["", "a", "b", "c.d", "in", "notin", "1"])
GAP = st.sampled_from(["", " ", "\t ", "\n"])
SPACE = st.sampled_from([" ", "  ", "\t"])
SETS = st.builds(
    lambda key, space, operator, gap, values: f"{key}{space}{operator}{gap}({f'{gap},'.join(values)}{gap})",
    *(KEYS, SPACE, st.sampled_from(["in", "notin"]), GAP, st.lists(VALUES, min_size=1, max_size=4)),
)
EQUALITIES = st.builds("{1}{0}{2}{0}{3}{0}".format, GAP, KEYS, st.sampled_from(["=", "==", "!="]), VALUES)
EXISTENCES = st.builds("{1}{0}{2}{0}".format, GAP, st.sampled_from(["", "!"]), KEYS)
COMPARISONS = st.builds("{1}{0}{2}{0}{3}".format, GAP, KEYS, st.sampled_from("<>"), st.integers(0, 2**63 - 1))
PLAIN = st.lists(st.one_of(SETS, EQUALITIES, EXISTENCES), min_size=1, max_size=4)
ALL = st.lists(st.one_of(SETS, EQUALITIES, EXISTENCES, COMPARISONS), min_size=1, max_size=4)
LABELS = st.dictionaries(KEYS, VALUES, max_size=4)


@given(ALL)
def test_a_selector_reads_back_as_what_was_printed(parts: list[str]) -> None:
    selector = read(",".join(parts))
    assert read(str(selector)) == selector
    target = Pods(",".join(parts), namespace="shop", port="http")
    assert target.selector == str(selector)
    assert parse(str(target)) == target


@given(ALL, st.randoms(use_true_random=True))
def test_the_order_and_the_repetition_of_requirements_mean_nothing(parts: list[str], chance: random.Random) -> None:
    selector = read(",".join(parts))
    chance.shuffle(parts)
    assert read(",".join([*parts, parts[0]])) == selector


@given(st.text(alphabet="ab1in !=<>(),/.-\t\x0c", max_size=20))
def test_any_text_is_a_selector_or_invalid(text: str) -> None:
    said = ""
    try:
        selector = read(text)
    except InvalidTarget as error:
        said = str(error)
    else:
        assert read(str(selector)) == selector
    assert said.isprintable()


@settings(max_examples=300)
@given(PLAIN, LABELS)
def test_labels_are_chosen_as_the_simulated_api_server_chooses_them(
    parts: list[str], labels: Mapping[str, str]
) -> None:
    selector = read(",".join(parts))
    simulated = labels_match(str(selector))
    assert selector.matches(labels) is simulated({"metadata": {"labels": labels}})
