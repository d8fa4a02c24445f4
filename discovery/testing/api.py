"""The simulated API server's HTTP side: which request does what.

It answers in JSON only, as every API server may: a client that would rather have protobuf takes what comes. What is
simulated is held to the real server by one conformance suite that runs against both.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from aiohttp import web

from . import statuses
from .faults import Faults, Request
from .lists import Options, listed, options_of
from .objects import KINDS, Json, Key, Kind, Objects
from .selectors import exact_name
from .statuses import Refused
from .watching import Watcher

BOOKMARKS = 60.0
"""Seconds between bookmarks (kube-apiserver: a minute); one also comes `BEFORE_END` a watch's timeout."""

BEFORE_END = 2.0

VERSION = "v1.36.3"
"""Of Kubernetes, that is simulated."""

MERGE_PATCH = "application/merge-patch+json"


class Api:
    """Answers requests about `objects`, as `faults` allow.

    Args:
        objects: what is stored.
        faults: what goes wrong.
        token: the only one that is accepted.
        kinds: those that are served.
    """

    def __init__(self, objects: Objects, faults: Faults, token: str, kinds: Sequence[Kind] = KINDS) -> None:
        self._objects = objects
        self._faults = faults
        self._token = token
        self._kinds = kinds
        self.requests: list[Request] = []
        self.listeners: set[Callable[[Request], None]] = set()

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application()
        for kind in KINDS:
            root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
            places = [f"{root}/{kind.resource}"]
            if kind.namespaced:
                places.append(f"{root}/namespaces/{{namespace}}/{kind.resource}")
            for place in places:
                app.router.add_route("*", place, self._handler(kind))
            app.router.add_route("*", places[-1] + "/{name}", self._handler(kind))
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/version", self._version)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        return app

    def _handler(self, kind: Kind) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            name, namespace = request.match_info.get("name", ""), request.match_info.get("namespace")
            watch = request.query.get("watch", "") in ("1", "true")
            verb = _verb(request.method, name, watch=watch)
            noted = Request(verb, request.path, dict(request.query))
            self.requests.append(noted)
            for listener in tuple(self.listeners):
                listener(noted)
            await self._faults.going()
            planned = self._faults.planned(verb, kind.resource)
            if planned is not None:
                return planned
            try:
                self._authorize(
                    request, kind, verb, namespace, name or exact_name(request.query.get("fieldSelector", ""))
                )
                if kind not in self._kinds:
                    return not_served()
                if verb in ("list", "watch"):
                    return await self._read(request, kind, namespace, watch=watch)
                return await self._object(request, kind, namespace or "", name)
            except Refused as refused:
                return web.json_response(refused.status, status=refused.code)

        return handle

    async def _ready(self, _request: web.Request) -> web.Response:
        await self._faults.going()
        return web.Response(text="ok")

    async def _version(self, request: web.Request) -> web.Response:
        await self._faults.going()
        if request.headers.get("Authorization") not in (None, f"Bearer {self._token}"):
            return web.json_response(statuses.unauthorized().status, status=401)
        return web.json_response({"major": "1", "minor": "36", "gitVersion": VERSION})

    async def _unknown(self, request: web.Request) -> web.Response:
        await self._faults.going()
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.json_response(statuses.unauthorized().status, status=401)
        return not_served()

    def _authorize(self, request: web.Request, kind: Kind, verb: str, namespace: str | None, name: str) -> None:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            raise statuses.unauthorized()
        if self._faults.denies(kind, verb, namespace, name):
            raise statuses.forbidden(kind, verb, namespace, name)

    async def _read(
        self, request: web.Request, kind: Kind, namespace: str | None, *, watch: bool
    ) -> web.StreamResponse:
        options = options_of(request.query, watch=watch)
        if not watch:
            answer = listed(self._objects, kind, namespace, options)
            answer["items"] = self._faults.shown(kind.resource, answer["items"])
            return web.json_response(answer)
        return await self._watch(request, Watcher(self._objects, kind, namespace, options), options)

    # Watches

    async def _watch(self, request: web.Request, watcher: Watcher, options: Options) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        with self._cuttable() as cut, contextlib.suppress(ConnectionResetError):  # whoever has gone wants no answer
            await response.prepare(request)
            try:
                async for event in self._events(watcher, options, cut):
                    await self._faults.going()
                    await response.write(json.dumps(event).encode() + b"\n")
            except Refused as refused:
                await response.write(json.dumps({"type": "ERROR", "object": refused.status}).encode() + b"\n")
            if cut.is_set() and request.transport is not None:
                await response.write(b'{"type":"MODIF')
                request.transport.abort()
        return response

    @contextlib.contextmanager
    def _cuttable(self) -> Iterator[asyncio.Event]:
        cut = asyncio.Event()
        self._faults.streams.add(cut.set)
        try:
            yield cut
        finally:
            self._faults.streams.discard(cut.set)

    async def _events(self, watcher: Watcher, options: Options, cut: asyncio.Event) -> AsyncIterator[Json]:
        """What is to be sent, when it is; ends with the watch's time."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        end = loop.time() + (options.timeout or 1800.0)
        marks = [loop.time() + BOOKMARKS, end - BEFORE_END] if options.bookmarks else []
        self._objects.listeners.add(news.set)
        self._faults.streams.add(news.set)
        try:
            while not cut.is_set() and loop.time() < end:
                news.clear()
                for event in watcher.pending():
                    if self._faults.pause:
                        await asyncio.sleep(self._faults.pause)
                    yield event
                if marks and loop.time() >= min(marks):
                    marks = [mark if mark > loop.time() else mark + BOOKMARKS for mark in marks]
                    yield watcher.bookmark()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout_at(min(end, *marks) if marks else end):
                        await news.wait()
        finally:
            self._objects.listeners.discard(news.set)
            self._faults.streams.discard(news.set)

    # Objects

    async def _object(self, request: web.Request, kind: Kind, namespace: str, name: str) -> web.Response:
        if request.method == "POST" and not name:
            return web.json_response(await self._create(request, kind, namespace), status=201)
        key: Key = kind.resource, namespace, name
        stored = self._objects.get(key)
        if request.method not in ("GET", "PUT", "PATCH", "DELETE") or not name:
            raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        if stored is None:
            raise statuses.not_found(kind, name)
        if request.method == "DELETE":
            return web.json_response(self._objects.remove(key))
        if request.method in ("PUT", "PATCH"):
            return web.json_response(self._put(kind, namespace, await _changed(request, kind, name, stored)))
        return web.json_response(stored)

    async def _create(self, request: web.Request, kind: Kind, namespace: str) -> Json:
        body = await _json(request)
        name = body.get("metadata", {}).get("name", "")
        if kind.namespaced and self._objects.get(("namespaces", "", namespace)) is None:
            raise statuses.not_found(next(kind for kind in KINDS if kind.resource == "namespaces"), namespace)
        if self._objects.get((kind.resource, namespace, name)) is not None:
            raise statuses.already_exists(kind, name)
        return self._put(kind, namespace, body)

    def _put(self, kind: Kind, namespace: str, body: Json) -> Json:
        place = {"namespace": namespace} if kind.namespaced else {}
        return self._objects.put(kind, {**body, "metadata": {**body["metadata"], **place}})


def not_served() -> web.Response:
    """What kube-apiserver says at a path that it does not know, such as that of a group it does not have."""
    return web.Response(status=404, text="404 page not found\n")


def _verb(method: str, name: str, *, watch: bool) -> str:
    if method == "GET":
        return "get" if name else "watch" if watch else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, method.lower())


async def _changed(request: web.Request, kind: Kind, name: str, stored: Json) -> Json:
    """The object after a PUT or PATCH."""
    if request.method == "PATCH":
        if request.content_type != MERGE_PATCH:
            message = "the body of the request was in an unknown format - accepted media types include: "
            raise Refused(415, "UnsupportedMediaType", message + MERGE_PATCH)
        after: Json = merged(stored, await _json(request))
        return after
    body = await _json(request)
    meta, version = {**body.get("metadata", {}), "name": name}, stored["metadata"]["resourceVersion"]
    if meta.get("resourceVersion", version) != version:
        raise statuses.conflict(kind, name)
    return {**body, "metadata": meta}


async def _json(request: web.Request) -> Json:
    try:
        body = await request.json()
    except ValueError:
        raise statuses.bad_request("the body of the request is not JSON") from None
    if not isinstance(body, dict):
        raise statuses.bad_request("the body of the request is no object")
    return body


def merged(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result
