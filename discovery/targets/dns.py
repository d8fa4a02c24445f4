"""Names in the DNS."""

import attrs

from ..errors import InvalidTarget
from ..errors import quote as quoted
from . import checks
from .checks import Family
from .services import print_options


def server(text: object) -> tuple[str, int]:
    """The address and port of a DNS server, from `10.0.0.10`, `127.0.0.1:1053` or `[::1]:53`. Left out it is 53.

    Raises:
        InvalidTarget: no address, or a port that cannot be one.
    """
    plain = text if isinstance(text, str) else ""
    whole = checks.address(plain)
    if whole is not None:
        return whole, 53
    name, number = checks.split_port(plain)
    found, port = checks.address(name), checks.port(number)
    if found is None or not isinstance(port, int):
        raise InvalidTarget(
            f"{quoted(text)} is no DNS server", part=str(text), next_step="Write its address, 10.0.0.10 or [::1]:53"
        )
    return found, port


def _name(text: object) -> str:
    if not isinstance(text, str):
        raise InvalidTarget(f"{quoted(text)} is not the text of a name", part=str(text))
    return checks.host(text)


def server_text(text: str) -> str:
    """The same in its one spelling, `ADDRESS:PORT`."""
    found, port = server(text)
    return f"{checks.bracketed(found)}:{port}"


@attrs.frozen(kw_only=True)
class Dns:
    """What a name in the DNS stands for: its A and AAAA records, or with `srv` its SRV records, refreshed by TTL.

    Args:
        name: relative to the search list of resolv.conf, unless it ends with a dot.
        port: a number; with `srv` none, because the records say it.
        srv: look up SRV records.
        family: which addresses are taken where a name has both, or the only kind that is asked for.
        server: the DNS server to ask, `ADDRESS[:PORT]`; None is as the Discovery has them.

    Raises:
        InvalidTarget: no name, no port number, or a port and `srv`.
    """

    name: str = attrs.field(kw_only=False, converter=_name)
    port: int | None = attrs.field(default=None)
    srv: bool = attrs.field(default=False)
    family: Family = attrs.field(default="prefer-ipv4", validator=checks.family)
    server: str | None = attrs.field(default=None, converter=attrs.converters.optional(server_text))

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.srv, bool):
            raise InvalidTarget(f"srv={quoted(self.srv)} is neither True nor False", part=str(self.srv))
        if self.srv and self.port is not None:
            raise InvalidTarget(
                f"SRV records of {self.name} say the port themselves",
                part=str(self.port),
                next_step=f"Write dns+srv://{self.name}, or dns://{self.name}:{self.port}",
            )
        if self.srv and checks.address(self.name):
            raise InvalidTarget(f"{self.name} is an address: it has no SRV records", part=self.name)
        if not self.srv:
            self._check_port()

    def _check_port(self) -> None:
        number = checks.port(self.port)
        if isinstance(number, int):
            object.__setattr__(self, "port", number)
            return
        by_name = f", or dns+srv://_{number}._tcp.{self.name}" if number else ""
        raise InvalidTarget(
            f"{self.name} needs a port number" + (f", {quoted(number)} is a name" if number else ""),
            part=str(number or self.name),
            next_step=f"Write dns://{checks.bracketed(self.name)}:80{by_name}",
        )

    def __str__(self) -> str:
        options: dict[str, str] = {} if self.family == "prefer-ipv4" else {"family": self.family}
        if self.server is not None:
            options["server"] = self.server
        where = f"dns+srv://{self.name}" if self.srv else f"dns://{checks.bracketed(self.name)}:{self.port}"
        return where + print_options(options)
