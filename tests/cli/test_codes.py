"""Exit codes of what Consul answers."""

import pytest

from discovery.cli.codes import DENIED, NOT_FOUND, UNREACHABLE, code_of
from discovery.errors import ConsulError

CODES = {
    "denied": DENIED,
    "not-found": NOT_FOUND,
    "unreachable": UNREACHABLE,
    "no-leader": UNREACHABLE,
    "": UNREACHABLE,
}


@pytest.mark.parametrize(("reason", "code"), CODES.items())
def test_what_consul_says_has_the_code_of_what_kubernetes_says_alike(reason: str, code: int) -> None:
    assert code_of(ConsulError("it is so", reason=reason)) == code
