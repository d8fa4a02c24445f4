"""What a DNS message means: the records that were asked for, or why there are none. Pure.

It imports dnspython, which takes a while: import this module where names are looked up, not before.
"""

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from ..errors import ResolutionError, quote
from ..targets import checks
from .answers import Answer, Kind, Srv
from .resolv_conf import Server

ADDRESSES = (dns.rdatatype.A, dns.rdatatype.AAAA)

LOOPING = "its aliases (CNAME) are a loop, or too many"
LOOK = "Look at the DNS servers: in a cluster, at the pods of CoreDNS"


MOST_TARGETS = 1000
"""SRV records that are taken of one name, the first by priority: each target may have to be asked for by itself."""


class Elsewhere(Exception):
    """The answer ends with the alias of a `name` that it does not tell of; `ttl` is of the aliases up to there."""

    def __init__(self, name: str, ttl: float) -> None:
        self.name = name
        self.ttl = ttl


def read(message: dns.message.Message, name: str, kind: Kind, server: Server) -> Answer:
    """What a server says of an absolute name, in the message that answers the question.

    Raises:
        ResolutionError: there are no records, or the server fails (see `reason`).
        Elsewhere: another name is to be looked up.
    """
    code = message.rcode()
    if code not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise failure(name, kind, f"{_place(server)} answered {dns.rcode.to_text(code)}")
    assert isinstance(message, dns.message.QueryMessage)  # as the question was
    try:
        chain = message.resolve_chaining()
    except dns.message.ChainTooLong:
        raise unusable(name, kind, LOOPING) from None
    except dns.exception.DNSException as error:
        raise unusable(name, kind, str(error)) from error
    if chain.answer is not None:
        return _answer(message, chain.answer, kind, float(chain.minimum_ttl))
    last = _text(chain.canonical_name)
    told = _soa(message, chain.canonical_name)
    ttl = float(chain.minimum_ttl) if told else 0.0
    if code == dns.rcode.NXDOMAIN:
        raise ResolutionError(
            f"there is no name {quote(name)} in the DNS{_by_way_of(name, last)}",
            reason="no-such-name",
            ttl=ttl,
            next_step="Check its spelling, its namespace and the cluster's domain, and whether any pod of it is ready",
        )
    if chain.cnames and not told:
        raise Elsewhere(last, float(chain.minimum_ttl))
    if not told and any(one.rdtype == dns.rdatatype.NS for one in message.authority):
        raise failure(name, kind, f"{_place(server)} refers to others (it is lame)")
    raise ResolutionError(
        f"{quote(name)} has no {kind} records{_by_way_of(name, last)}",
        reason="no-data",
        ttl=ttl,
        next_step="Ask for the family that it has" if kind != "SRV" else "Only named ports have SRV records",
    )


def failure(name: str, kind: Kind, why: str) -> ResolutionError:
    """No server would say."""
    return ResolutionError(
        f"{kind} records of {quote(name)} could not be looked up: {why}",
        reason="server-failure",
        next_step=LOOK,
    )


def unreached(name: str, kind: Kind, server: Server, error: OSError) -> ResolutionError:
    """A server is not there, or hung up."""
    return failure(name, kind, f"{_place(server)} cannot be reached ({error.strerror or error})")


def silent(name: str, kind: Kind, server: Server, timeout: float) -> ResolutionError:
    """A server did not answer."""
    return ResolutionError(
        f"{kind} records of {quote(name)} could not be looked up: {_place(server)} did not answer within {timeout:g} s",
        reason="timeout",
        next_step=LOOK,
    )


def unusable(name: str, kind: Kind, why: str) -> ResolutionError:
    """A server said something that cannot be used."""
    return ResolutionError(
        f"the answer for {kind} records of {quote(name)} cannot be used: {why}",
        reason="unusable",
        next_step="Look at the records of the name and at the DNS servers",
    )


def impossible(name: str, why: str) -> ResolutionError:
    """No server was asked."""
    return ResolutionError(
        f"{quote(name)} cannot be a name in the DNS: {why}", reason="unusable", next_step="Check its spelling"
    )


def _answer(message: dns.message.Message, found: dns.rrset.RRset, kind: Kind, ttl: float) -> Answer:
    if kind != "SRV":
        return Answer(addresses=_addresses(found), ttl=ttl)
    services = sorted({Srv(one.priority, one.weight, one.port, _text(one.target)) for one in found})[:MOST_TARGETS]
    targets = {one.target for one in services}
    additional: dict[str, tuple[str, ...]] = {}
    for rrset in message.additional:
        name = _text(rrset.name)
        if name in targets and rrset.rdclass == dns.rdataclass.IN and rrset.rdtype in ADDRESSES:
            additional[name] = tuple(sorted({*additional.get(name, ()), *_addresses(rrset)}))
            ttl = min(ttl, float(rrset.ttl))
    return Answer(services=tuple(services), additional=additional, ttl=ttl)


def _addresses(found: dns.rrset.RRset) -> tuple[str, ...]:
    return tuple(sorted({address for one in found if (address := checks.address(one.address))}))


def _soa(message: dns.message.Message, name: dns.name.Name) -> bool:
    """Whether a zone speaks for the absence: RFC 2308."""
    return any(one.rdtype == dns.rdatatype.SOA and name.is_subdomain(one.name) for one in message.authority)


def _text(name: dns.name.Name) -> str:
    """In lower case, without the last dot."""
    return name.to_text(omit_final_dot=True).lower().removesuffix(".")


def _by_way_of(name: str, last: str) -> str:
    return "" if last == name.lower() else f", for which it is an alias: {quote(last)}"


def _place(server: Server) -> str:
    return f"{checks.bracketed(server[0])}:{server[1]}"
