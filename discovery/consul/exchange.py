"""One request to Consul and its answer: addresses, tokens, TLS, limits of time, and nothing of a secret in an error."""

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import aiohttp
import attrs
import msgspec
import yarl

from ..errors import ConfigurationError, ConsulError, quote
from ..events import Event, Hook
from ..network import NETWORK_ERRORS, kept_alive
from ..version import __version__
from .addresses import Address
from .failures import is_elsewhere, is_undone, status_error, unreachable, unusable
from .settings import Login, Settings
from .tls import Trust
from .tokens import FromFile, Given, LoggedIn, Tokens

CONNECT_SECONDS = 5.0
"""Limit on making a connection, its look-up and TLS included."""

ANSWER_SECONDS = 10.0
"""Limit on the time without a byte of an answer. A blocking query has it on top of the time it may block."""

BODY_SECONDS = 30.0
"""What a whole answer may take beyond that."""

LOGOUT_SECONDS = 2.0
"""Limit on logging out."""

LONGEST_TEXT = 65536
"""Bytes of an error's body that are read."""

Query = Mapping[str, str] | Sequence[tuple[str, str]]


@attrs.frozen(kw_only=True)
class Call:
    """A request.

    Attributes:
        method: of HTTP.
        path: below the address, quoted.
        what: it is for, an infinitive such as "read the nodes".
        query: its parameters.
        body: of a PUT or POST.
        accepted: the statuses besides 200 that are an answer.
        blocking: seconds that Consul may take before it answers.
        secret: a text in the body that no error may repeat.
    """

    method: str
    path: str
    what: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = attrs.field(default=None, repr=False)
    accepted: tuple[int, ...] = ()
    blocking: float = 0.0
    secret: str = attrs.field(default="", repr=False)


@attrs.frozen
class Reply:
    """An answer: its status, headers and body, who gave it, and whether it was asked for without a token."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    where: str
    anonymous: bool = False


class Exchange:
    """The way to one Consul, at one or several addresses. Opens nothing before its first request."""

    def __init__(self, settings: Settings, *, emit: Hook, rng: random.Random) -> None:
        self._settings = settings
        self._addresses = settings.addresses
        # Where several servers are named, not all of their clients are to begin with the first.
        self._at = rng.randrange(len(self._addresses))
        self._emit = emit
        self._trust = Trust(settings)
        self._tokens = self._source()
        self._sessions: dict[str | None, aiohttp.ClientSession] = {}
        self._basic = aiohttp.encode_basic_auth(*settings.auth.split(":", 1)) if settings.auth else ""
        self.requests = 0

    @property
    def where(self) -> str:
        """The address in use, for messages."""
        return self._addresses[self._at].where

    async def aclose(self) -> None:
        """Log out, for two seconds at most, and close every connection."""
        try:
            await self._log_out()
        finally:
            sessions, self._sessions = self._sessions, {}
            for session in sessions.values():
                await session.close()

    async def ask(self, call: Call) -> Reply:
        """The answer to a request: one with the status 200, or one of those accepted.

        A refusal is asked once more where there is another token by now. Of several addresses, the next one is tried
        where one cannot be reached, has no leader or too much to do; a write only where it is certain that nothing of
        it was done.

        Raises:
            ConsulError, ConfigurationError.
        """
        token = await self._tokens.get()
        try:
            return await self._anywhere(call, token)
        except ConsulError as error:
            if error.status not in (401, 403):
                raise
            other = await self._tokens.renewed(token, error)
            if other == token:
                raise
        self._emit(Event("consul.token", self.where, {"renewed": True}))
        return await self._anywhere(call, other)

    async def _anywhere(self, call: Call, token: str | None) -> Reply:
        left = len(self._addresses)
        while True:
            at, left = self._at, left - 1
            try:
                return await self._once(self._addresses[at], call, token)
            except ConsulError as error:
                if not is_elsewhere(error) or len(self._addresses) == 1:
                    raise
                self._move(at, error)
                if left == 0 or not (call.method == "GET" or is_undone(error)):
                    raise

    def _move(self, at: int, error: ConsulError) -> None:
        """To the next address, unless another request has done so."""
        if at != self._at:
            return
        self._at = (at + 1) % len(self._addresses)
        self._emit(Event("consul.moved", self.where, {"from": self._addresses[at].where, "reason": error.reason}))

    async def _once(self, address: Address, call: Call, token: str | None) -> Reply:
        context = await self._trust.context() if address.tls else True
        self.requests += 1
        try:
            async with self._session(address).request(
                call.method,
                _url(address, call),
                data=call.body,
                headers=self._headers(token, call),
                ssl=context,
                server_hostname=self._settings.tls_server_name if address.tls else None,
                allow_redirects=False,
                timeout=_timeout(call),
            ) as response:
                if response.status == 200 or response.status in call.accepted:
                    body = await response.read()
                    return Reply(response.status, response.headers, body, address.where, anonymous=token is None)
                text = self._shown(await _text(response), token, call.secret)
                page = response.content_type == "text/html"
                failure = status_error(response.status, text, address.where, call.what, page=page)
        except aiohttp.ClientConnectorCertificateError as error:
            raise _untrusted(address, error) from error
        except aiohttp.ClientResponseError as error:
            failure = unreachable(address.where, error)
        except NETWORK_ERRORS as error:
            raise unreachable(address.where, error) from error
        raise failure  # without a cause, which would hold the request and so the token

    def _headers(self, token: str | None, call: Call) -> dict[str, str]:
        headers = {"X-Consul-Token": token} if token else {}
        if self._basic:
            headers["Authorization"] = self._basic
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _shown(self, text: str, *secrets: str | None) -> str:
        """What a server said, without what we told it: a proxy may give back a request as it came."""
        for secret in (*secrets, self._basic.removeprefix("Basic ")):
            text = text.replace(secret, "…") if secret else text
        return text

    def _session(self, address: Address) -> aiohttp.ClientSession:
        session = self._sessions.get(address.socket)
        if session is None:
            # Blocking queries are connections that stay: no limit may count them.
            connector = (
                aiohttp.UnixConnector(address.socket, limit=0)
                if address.socket
                else aiohttp.TCPConnector(limit=0, socket_factory=kept_alive)
            )
            session = self._sessions[address.socket] = aiohttp.ClientSession(
                connector=connector,
                headers={
                    "User-Agent": f"aiodiscovery/{__version__}",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                },
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=2**18,
            )
        return session

    # The token

    def _source(self) -> Tokens:
        if self._settings.login is not None:
            return LoggedIn(self._settings.login, self._log_in)
        return FromFile(self._settings.token_file) if self._settings.token_file else Given(self._settings.token)

    async def _log_in(self, bearer: str) -> str:
        login = self._settings.login
        assert login is not None
        body = msgspec.json.encode({"AuthMethod": login.method, "BearerToken": bearer, "Meta": dict(login.meta)})
        call = Call(
            method="POST",
            path="/v1/acl/login",
            what=f"log in by the auth method {quote(login.method)}",
            query=_of_login(login),
            body=body,
            secret=bearer,
        )
        reply = await self._anywhere(call, None)
        try:
            token = msgspec.json.decode(reply.body, type=_Token).secret_id
        except msgspec.MsgspecError:
            raise unusable(reply.where, call.what, "no token in it") from None
        self._emit(Event("consul.login", reply.where, {"method": login.method}))
        return token

    async def _log_out(self) -> None:
        if not isinstance(self._tokens, LoggedIn) or (token := self._tokens.token) is None:
            return
        self._tokens.token = None
        call = Call(method="POST", path="/v1/acl/logout", what="log out")
        try:
            async with asyncio.timeout(LOGOUT_SECONDS):
                await self._anywhere(call, token)
        except (ConsulError, ConfigurationError, TimeoutError) as error:
            self._emit(Event("consul.logout", self.where, {"error": str(error) or "no answer in time"}))


class _Token(msgspec.Struct):
    secret_id: str = msgspec.field(name="SecretID")


def _of_login(login: Login) -> tuple[tuple[str, str], ...]:
    given = (("dc", login.datacenter), ("ns", login.namespace), ("partition", login.partition))
    return tuple((name, value) for name, value in given if value)


def _url(address: Address, call: Call) -> yarl.URL:
    tail = f"?{urlencode(call.query)}" if call.query else ""
    return yarl.URL(f"{address.base}{call.path}{tail}", encoded=True)


def _timeout(call: Call) -> aiohttp.ClientTimeout:
    silent = ANSWER_SECONDS + call.blocking * 17 / 16
    return aiohttp.ClientTimeout(
        total=CONNECT_SECONDS + silent + BODY_SECONDS, connect=CONNECT_SECONDS, sock_read=silent
    )


def _untrusted(address: Address, error: aiohttp.ClientConnectorCertificateError) -> ConfigurationError:
    return ConfigurationError(
        f"the certificate of Consul at {address.where} is not trusted ({quote(error.certificate_error)})",
        next_step="Check CONSUL_CACERT and CONSUL_TLS_SERVER_NAME",
    )


async def _text(response: aiohttp.ClientResponse) -> str:
    """What a server says of its refusal; what there is of it where the rest does not come."""
    body = b""
    with contextlib.suppress(*NETWORK_ERRORS):
        while len(body) < LONGEST_TEXT and (chunk := await response.content.read(LONGEST_TEXT)):
            body += chunk
    return body[:LONGEST_TEXT].decode(errors="replace")
