"""A stream is the same lines wherever its chunks end."""

from hypothesis import given
from hypothesis import strategies as st

from discovery.kube.lines import Lines


def cut(data: bytes, places: list[int]) -> list[bytes]:
    lines, found, at = Lines(), [], 0
    for place in [*sorted(place % (len(data) + 1) for place in places), len(data)]:
        found += lines.feed(data[at:place])
        at = place
    return found + lines.finish()


@given(st.lists(st.text(max_size=20).map(lambda text: text.encode().replace(b"\n", b""))), st.lists(st.integers(0)))
def test_any_chunks_give_the_lines_that_were_sent(sent: list[bytes], places: list[int]) -> None:
    data = b"\n".join(sent)
    assert cut(data, places) == [line for line in sent if line]


def test_a_line_of_four_megabytes_in_small_chunks_is_one_line() -> None:
    line = b"x" * 2**22
    lines, found = Lines(), []
    for at in range(0, len(line), 4096):
        found += lines.feed(line[at : at + 4096])
    assert found == []
    assert lines.feed(b"\n") == [line]


def test_a_last_line_without_an_end_is_a_line() -> None:
    lines = Lines()
    assert lines.feed(b"a\nb") == [b"a"]
    assert lines.finish() == [b"b"]
    assert lines.finish() == []
