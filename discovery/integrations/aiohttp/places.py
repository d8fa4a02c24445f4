"""Where requests go, as aiohttp has it."""

from functools import partial

from yarl import URL

from ...balancing import Node
from .. import places


class Places(places.Places[str, URL]):
    """The URLs of requests to one host at its backends, by record and path with query, of this scheme."""

    def __init__(self, scheme: str) -> None:
        super().__init__(partial(_url, scheme))


def _url(scheme: str, node: Node, path_and_query: str) -> URL:
    """Nothing of a path is encoded anew."""
    path, _, query = path_and_query.partition("?")
    return URL.build(scheme=scheme, authority=node.backend.netloc, path=path, query_string=query, encoded=True)
