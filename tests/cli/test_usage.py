"""How the command is called, and what it says when it is called otherwise."""

import pytest

from discovery import __version__
from discovery.cli import COMMANDS, main

from .command import Ran, run


async def test_it_says_its_version() -> None:
    assert await run("--version") == Ran(0, f"aiodiscovery {__version__}\n", "")


async def test_without_a_command_it_says_that_one_is_missing() -> None:
    ran = await run()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == "discovery: error: the following arguments are required: COMMAND"


async def test_the_help_names_every_command_and_exit_code() -> None:
    ran = await run("--help")
    assert (ran.code, ran.err) == (0, "")
    assert all(f"    {name} " in ran.out for name in ("resolve", "watch", "demo"))
    assert "Exit codes: 0 done" in ran.out


@pytest.mark.parametrize("command", [module.__name__.rpartition(".")[2] for module in COMMANDS])
def test_the_help_of_each_command_has_examples_that_can_be_read(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"  discovery {command}" in said.partition("examples:")[2]
    assert "--output" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["serve"], "invalid choice: 'serve'"),
        (["resolve"], "required: TARGET"),
        (["resolve", "web", "--nope"], "unrecognized arguments: --nope"),
        (["resolve", "web", "extra"], "unrecognized arguments: extra"),
        (["resolve", "web", "--output", "xml"], "invalid choice: 'xml'"),
        (["resolve", "web", "--timeout", "0"], "argument --timeout: '0' is not a number of seconds above 0"),
        (["resolve", "web", "--timeout", "-1"], "'-1' is not a number of seconds above 0"),
        (["resolve", "web", "--timeout", "nan"], "'nan' is not a number of seconds above 0"),
        (["resolve", "web", "--timeout", "inf"], "'inf' is not a number of seconds above 0"),
        (["resolve", "web", "--timeout", "soon"], "'soon' is not a number of seconds above 0"),
        (["watch", "web", "--timeout", ""], "'' is not a number of seconds above 0"),
        (["resolve", "Web"], "argument TARGET: 'Web' is not the name of a Service"),
        (["resolve", "web:0"], "port 0 is not in 1 to 65535"),
        (["resolve", "web:"], "ends with a colon"),
        (["resolve", ""], "names no Service"),
        (["resolve", "endpoint://default/web"], "Did you mean endpoints://?"),
        (["resolve", "\x1b[31mweb"], "'\\x1b[31mweb' is not the name of a Service"),
        (["resolve", "web?family=ipv5"], "family 'ipv5' is unknown. One of prefer-ipv4"),
        (["watch", "a/b/c"], "is not the name of a Service"),
        (["demo", "--timeout", "1"], "unrecognized arguments: --timeout"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line_after_the_usage(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    usage, _, said = err.rpartition("discovery")
    assert (out, usage.startswith("usage: discovery")) == ("", True)
    assert says in said
    assert said.rstrip("\n").isprintable()
