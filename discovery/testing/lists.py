"""Lists as the simulated API server gives them: versions, pages, selectors. Pure."""

import base64
import json
from collections.abc import Mapping

import attrs

from . import statuses
from .objects import Gone, Json, Kind, Objects
from .selectors import BadSelector, Predicate, fields_match, labels_match

EXACT, NOT_OLDER = "Exact", "NotOlderThan"


@attrs.frozen
class Options:
    """The query of a list or watch, checked. `version` is None where none was given."""

    version: int | None
    match: str
    limit: int
    continue_: str
    selected: Predicate
    timeout: float | None
    bookmarks: bool
    initial: bool | None


def options_of(query: Mapping[str, str], *, watch: bool) -> Options:
    """Read the query.

    Raises:
        Refused: 400 what cannot be read, 422 what cannot go together.
    """
    version, match = query.get("resourceVersion", ""), query.get("resourceVersionMatch", "")
    if version and not version.isdigit():
        raise statuses.bad_request(f'invalid resource version "{version}"')
    initial = _flag(query, "sendInitialEvents")
    _check_match(version, match, watch=watch, initial=initial)
    try:
        labels, fields = labels_match(query.get("labelSelector", "")), fields_match(query.get("fieldSelector", ""))
    except BadSelector as error:
        raise statuses.bad_request(str(error)) from error
    return Options(
        version=int(version) if version else None,
        match=match,
        limit=int(query.get("limit") or 0),
        continue_=query.get("continue", ""),
        selected=lambda body: labels(body) and fields(body),
        timeout=float(query["timeoutSeconds"]) if query.get("timeoutSeconds") else None,
        bookmarks=bool(_flag(query, "allowWatchBookmarks")),
        initial=initial,
    )


def _check_match(version: str, match: str, *, watch: bool, initial: bool | None) -> None:
    field = "resourceVersionMatch"
    if initial is not None and match != NOT_OLDER:
        message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise statuses.invalid_options(field, "Forbidden", message)
    if watch:
        if match and initial is None:
            message = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            raise statuses.invalid_options(field, "Forbidden", message)
        return
    if match and not version:
        message = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise statuses.invalid_options(field, "Forbidden", message)
    if match not in ("", EXACT, NOT_OLDER):
        raise statuses.invalid_options(field, "Unsupported value", f'"{match}"')
    if match == EXACT and version == "0":
        message = 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
        raise statuses.invalid_options(field, "Forbidden", message)


def _flag(query: Mapping[str, str], name: str) -> bool | None:
    return None if not query.get(name) else query[name].lower() in ("1", "true")


def listed(objects: Objects, kind: Kind, namespace: str | None, options: Options) -> Json:
    """The list.

    Raises:
        Refused: 410 or 504 for a version that is gone or yet to come.
    """
    after: tuple[str, str] | None = None
    version = objects.version
    if options.continue_:
        version, after = _token(options.continue_)
    elif options.version and options.version > objects.version:
        raise statuses.too_new(options.version, objects.version)
    elif options.version and (options.match == EXACT or (options.limit and not options.match)):
        version = options.version
    try:
        found = objects.at(version, kind.resource, namespace)
    except Gone:
        raise (statuses.continue_expired() if options.continue_ else statuses.list_expired()) from None
    left = [body for body in found if options.selected(body) and (after is None or _place(body) > after)]
    paged = options.limit and not (options.version == 0 and not options.continue_)  # a cache answers "0" whole
    page = left[: options.limit] if paged else left
    meta: Json = {"resourceVersion": str(version)}
    if len(page) < len(left):
        meta["continue"] = _continue(version, page[-1])
        meta["remainingItemCount"] = len(left) - len(page)
    items = [{name: value for name, value in body.items() if name not in ("kind", "apiVersion")} for body in page]
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": items}


def _place(body: Json) -> tuple[str, str]:
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def _continue(version: int, last: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *_place(last)]).encode()).decode()


def _token(text: str) -> tuple[int, tuple[str, str]]:
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(text))
    except ValueError:
        raise statuses.bad_request("continue key is not valid") from None
    return version, (namespace, name)
