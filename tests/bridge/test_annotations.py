"""Annotations: those of consul-k8s read as it reads them, and what cannot be used refused as a whole."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.bridge.wanted.annotations import META, NAME, PORT, PREFIX, SYNC, TAGS, WEIGHT, Wishes, asked, read
from discovery.bridge.wanted.unusable import Unusable


def refused(annotation: str, value: str) -> str:
    with pytest.raises(Unusable) as caught:
        read({annotation: value})
    assert caught.value.reason == "annotation"
    return str(caught.value)


@pytest.mark.parametrize("annotations", [None, {}, {"app.kubernetes.io/name": "web", "service-weight": "x"}])
def test_a_service_without_annotations_of_ours_asks_for_nothing(annotations: dict[str, str] | None) -> None:
    assert read(annotations) == Wishes()
    assert Wishes().weight == 1


def test_annotations_of_other_parts_of_consul_mean_nothing() -> None:
    assert read({PREFIX + "connect-inject": "maybe", PREFIX + "service-upstreams": "db:1234"}) == Wishes()


@pytest.mark.parametrize("value", ["1", "t", "T", "TRUE", "true", "True"])
def test_what_go_takes_for_true_is_true(value: str) -> None:
    assert read({SYNC: value}).sync is True
    assert asked({SYNC: value}, otherwise=False)


@pytest.mark.parametrize("value", ["0", "f", "F", "FALSE", "false", "False"])
def test_what_go_takes_for_false_is_false(value: str) -> None:
    assert read({SYNC: value}).sync is False
    assert not asked({SYNC: value}, otherwise=True)


@pytest.mark.parametrize("value", ["", "yes", "no", "tRUE", " true", "on", "2", "\x1b[31mtrue"])
def test_what_is_no_bool_is_refused_and_yet_selected_so_that_it_is_told(value: str) -> None:
    """consul-k8s falls back to its default, and with that registers or deregisters what nobody asked for."""
    message = refused(SYNC, value)
    assert SYNC in message
    assert repr(value) in message
    assert "Use true or false" in message
    assert message.isprintable()
    assert asked({SYNC: value}, otherwise=False)


@pytest.mark.parametrize("otherwise", [True, False])
def test_without_the_annotation_the_options_decide(otherwise: bool) -> None:
    assert asked(None, otherwise=otherwise) is otherwise
    assert asked({NAME: "web"}, otherwise=otherwise) is otherwise


@pytest.mark.parametrize(
    ("value", "name"), [("web", "web"), ("  web\t", "web"), ("Web-1", "Web-1"), ("a" * 255, "a" * 255)]
)
def test_a_name_is_trimmed(value: str, name: str) -> None:
    assert read({NAME: value}).name == name


@pytest.mark.parametrize("value", ["", "   ", "\t\n"])
def test_a_blank_name_is_refused(value: str) -> None:
    assert "Give it a name" in refused(NAME, value)


def test_a_port_is_a_number_or_a_name() -> None:
    assert read({PORT: "http"}).port == "http"
    assert read({PORT: "8080"}).port == 8080
    assert read({PORT: "x80"}).port == "x80"
    assert read({PORT: "9" * 5000}).port == "9" * 5000  # which no port is called, and no number is made of


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("", ()),
        ("one", ("one",)),
        ("one, two,three\\,x", ("one", "two", "three,x")),
        (" , ,one,,", ("one",)),
        ("one,one", ("one",)),
        ("\\,", (",",)),
        ("a\\b,c", ("a\\b", "c")),
    ],
)
def test_tags_are_separated_by_commas_that_no_backslash_escapes(value: str, tags: tuple[str, ...]) -> None:
    assert read({TAGS: value}).tags == tags


@given(
    st.lists(
        st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"], exclude_characters="\\"), min_size=1)
    )
)
def test_any_tags_come_back_from_how_they_are_written(tags: list[str]) -> None:
    written = ",".join(tag.replace(",", "\\,") for tag in tags)
    assert read({TAGS: written}).tags == tuple(dict.fromkeys(tags))


def test_a_tag_that_would_break_a_line_is_refused() -> None:
    assert "printable" in refused(TAGS, "one,two\nthree")


def test_metadata_is_sorted_by_its_keys() -> None:
    assert read({META + "foo": "bar", META + "A_b-1": ""}).meta == (("A_b-1", ""), ("foo", "bar"))


@pytest.mark.parametrize("key", ["", "a.b", "a b", "é", "k" * 129])
def test_a_key_that_consul_does_not_take_is_refused(key: str) -> None:
    assert "128 of A-Z" in refused(META + key, "x")


def test_a_key_that_consul_keeps_for_itself_is_refused() -> None:
    assert "consul-" in refused(META + "consul-version", "1")
    assert read({META + "k" * 128: "x"}).meta


def test_a_value_is_as_long_as_consul_takes_it_in_bytes() -> None:
    assert read({META + "a": "x" * 512}).meta == (("a", "x" * 512),)
    assert read({META + "a": "é" * 256}).meta
    assert "512 bytes" in refused(META + "a", "é" * 257)
    assert len(refused(META + "a", "x" * 100_000)) < 400


@pytest.mark.parametrize(("value", "weight"), [("1", 1), ("22", 22), ("1000", 1000), ("65535", 65535)])
def test_a_weight_is_a_number_that_consul_takes(value: str, weight: int) -> None:
    """1 too, which consul-k8s refuses though it means what is the default."""
    assert read({WEIGHT: value}).weight == weight


@pytest.mark.parametrize("value", ["", "0", "-2", "non-int", "1.5", "65536", "9" * 5000, " 2", "٣"])
def test_any_other_weight_is_refused(value: str) -> None:
    assert "from 1 to 65535" in refused(WEIGHT, value)


def read_or_refuse(annotations: dict[str, str]) -> tuple[Wishes, str]:
    try:
        return read(annotations), ""
    except Unusable as error:
        return Wishes(), str(error)


@given(st.dictionaries(st.sampled_from([SYNC, NAME, PORT, TAGS, WEIGHT, META + "a", META + "\x00"]), st.text()))
def test_whatever_they_say_is_read_or_refused_in_printable_words(annotations: dict[str, str]) -> None:
    wishes, said = read_or_refuse(annotations)
    assert said.isprintable()
    assert len(said) < 700
    assert 1 <= wishes.weight <= 65535
    assert all(tag == tag.strip() and tag.isprintable() for tag in wishes.tags)
    assert msgspec.json.encode(list(wishes.meta)) is not None
