"""A template is strict: what is wrong with it is said when it is loaded, and where."""

import sys
from pathlib import Path

import pytest

from discovery import Backend, ConfigurationError
from discovery.rendering import RenderError, Template
from discovery.rendering.template import NAMED

BACKENDS = [Backend(address="10.0.0.2", port=80, node="node-2"), Backend(address="10.0.0.1", port=80, zone="a")]


def test_it_sees_the_target_its_name_the_variables_and_the_backends_in_order() -> None:
    text = "{{ target }} {{ name }} {{ colour }}\n{% for one in backends %}\n{{ one.netloc }}\n{% endfor %}\n"
    made = Template(text, variables={"colour": "blue"}).render("node-port://shop/web:http", BACKENDS)
    assert made == "node-port://shop/web:http shop-web-http blue\n10.0.0.1:80\n10.0.0.2:80\n"


def test_the_same_backends_give_the_same_text_in_whatever_order() -> None:
    for name in NAMED:
        made = Template.named(name)
        assert made.render("t", BACKENDS) == made.render("t", reversed(BACKENDS))


def test_a_variable_may_be_another_name() -> None:
    assert Template("{{ name }}", variables={"name": "blue"}).render("shop/web", []) == "blue"


@pytest.mark.parametrize("name", ["target", "backends"])
def test_a_variable_may_not_hide_what_there_is(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"a variable cannot be called '{name}'"):
        Template("", variables={name: "x"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\n{% for %}", "line 2: Expected an expression"),
        ("\n{% if x %}", "line 2: Unexpected end of template"),
        ("{{ nme }}", "line 1: 'nme' is undefined"),
        ("{% for one in backends %}\n{{ one.adress }}{% endfor %}", "line 2: .* no attribute 'adress'"),
        ("{% for one in backends %}\n\n{{ one.pod.nme }}{% endfor %}", "line 3: .* no attribute 'nme'"),
        ("\n{{ backends | nope }}", "line 2: No filter named 'nope'"),
        ("\n\n{{ 1 / 0 }}", "line 3: ZeroDivisionError"),
        ("\n{% include 'other' %}", "line 2: .*no loader"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_loaded_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the template web.j2 {says}"):
        Template(text, name="web.j2")


def test_what_does_not_go_with_the_backends_there_are_is_an_error_of_its_stage() -> None:
    made = Template("{% for one in backends %}\n{{ one.pod.name }}{% endfor %}", name="pods.j2")
    with pytest.raises(RenderError, match=r"pods\.j2 line 2: 'None' has no attribute 'name'") as raised:
        made.render("t", BACKENDS)
    assert raised.value.stage == "template"


def test_nothing_is_escaped_and_what_an_author_filters_is_safe() -> None:
    odd = [Backend(address="10.0.0.1", port=80, node='a"\n<b>')]
    text = "{% for one in backends %}{{ one.node | word }} {{ one.node | json }} <&>{% endfor %}"
    assert Template(text).render("t", odd) == r'a___b_ "a\"\n<b>" <&>'


# Where it comes from


def test_a_name_is_one_of_those_that_come_with_it_and_all_else_is_a_path(tmp_path: Path) -> None:
    assert Template.find("haproxy").name == "haproxy.cfg.j2"
    (tmp_path / "haproxy").write_text("{{ name }}")
    assert Template.find(tmp_path / "haproxy").render("a/b", []) == "a-b"
    assert Template.find(str(tmp_path / "haproxy"), variables={"name": "x"}).render("a/b", []) == "x"


def test_a_name_that_is_none_says_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no template 'envoy'\. One of haproxy, nginx, prometheus"):
        Template.named("envoy")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"web\.j2' cannot be read: .*No such file"):
        Template.find(tmp_path / "web.j2")
    (tmp_path / "web.j2").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"web\.j2' cannot be read: .*utf-8"):
        Template.find(tmp_path / "web.j2")


def test_a_file_may_include_others_beside_it(tmp_path: Path) -> None:
    (tmp_path / "head").write_text("# {{ name }}")
    (tmp_path / "web.j2").write_text("{% include 'head' %} x\n")
    assert Template.read(tmp_path / "web.j2").render("a", []) == "# a x\n"


def test_without_jinja2_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'aiodiscovery\[render\]'"):
        Template.named("haproxy")
