"""What a list or a watch brings, by group, and what differs between one list and the next."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from discovery.kube.objects import Object, decode_slice
from discovery.kube.store import Store


def held(name: str, version: str = "1", *, group: str = "web", uid: str = "") -> Object:
    return Object("shop", name, uid or f"uid-{name}", version, group, b"", decode_slice)


def store(objects: Iterable[Object]) -> Store:
    made = Store()
    for one in objects:
        made.put(one)
    return made


def differences(old: Iterable[Object], new: Iterable[Object]) -> dict[str, str | None]:
    found = dict(store(old).differences(store(new), [("shop", "web")])).get(("shop", "web"), {})
    return {name: one.version if one else None for name, one in found.items()}


def test_a_new_list_tells_only_what_differs() -> None:
    """Case 14."""
    old = [held("pod1", "1"), held("pod2", "2"), held("pod3", "3")]
    new = [held("pod1", "4"), held("pod2", "5"), held("pod4", "6")]
    assert differences(old, new) == {"pod1": "4", "pod2": "5", "pod3": None, "pod4": "6"}
    assert differences(old, []) == {"pod1": None, "pod2": None, "pod3": None}
    assert differences(old, old) == {}


def test_the_same_name_with_another_uid_is_another_object() -> None:
    assert differences([held("a", uid="one")], [held("a", uid="two")]) == {"a": "1"}


def test_an_object_whose_group_changes_leaves_the_old_one() -> None:
    made = store([held("a", group="web")])
    moved = made.put(held("a", "2", group="db"))
    assert moved is not None
    assert moved.group == "web"
    assert (list(made.group(("shop", "web"))), list(made.group(("shop", "db")))) == ([], ["a"])


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["web", "db"]), st.booleans())))
def test_groups_are_always_a_division_of_what_is_held(events: list[tuple[str, str, bool]]) -> None:
    made, model = Store(), dict[str, str]()
    for name, group, there in events:
        if there:
            made.put(held(name, group=group))
            model[name] = group
        else:
            made.drop(("shop", name))
            model.pop(name, None)
    assert dict.fromkeys(made.group(("shop", "web")), "web") | dict.fromkeys(made.group(("shop", "db")), "db") == model
    assert len(made) == len(model)


def test_a_group_that_is_forgotten_is_gone_whole() -> None:
    made = store([held("a"), held("b", group="db")])
    made.forget(("shop", "web"))
    assert (len(made), list(made.group(("shop", "web")))) == (1, [])
