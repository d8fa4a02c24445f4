"""Where requests go: the URLs of one host at its backends."""

from yarl import URL

from ...balancing import Node

MOST_PLACES = 256
"""URLs that are kept for a host."""


class Places(dict[tuple[Node, str], URL]):
    """The URLs of requests to one host at its backends, by record and path with query; made when first asked for.

    Nothing of a path is encoded anew. A dict and no cache with an order: to find a URL again is one step.
    """

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self._scheme = scheme

    def __missing__(self, place: tuple[Node, str]) -> URL:
        node, path_and_query = place
        path, _, query = path_and_query.partition("?")
        authority = node.backend.netloc
        url = URL.build(scheme=self._scheme, authority=authority, path=path, query_string=query, encoded=True)
        if len(self) >= MOST_PLACES:
            self.clear()
        self[place] = url
        return url
