"""Templates: Jinja2, strict, and with nothing in it that a cluster could have written unseen.

What is wrong with a template is said when it is loaded, with its line: it is tried on two backends that have all there
is to have, for a name that is misspelt in a loop shows only where there is something to loop over.
"""

import os
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, quote
from ..model import Backend, PodRef
from ..resolvers.addresses import is_name
from .errors import RenderError
from .filters import as_json, name_of, usable, weighted, word

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent / "templates"

NAMED = {"haproxy": "haproxy.cfg.j2", "nginx": "nginx.conf.j2", "prometheus": "prometheus.json.j2"}
"""The templates that come with this."""

OURS = frozenset({"target", "backends"})
"""What a variable may not be called."""

NO_VARIABLES: Mapping[str, str] = {}

SAMPLE = tuple(
    Backend(
        address=address,
        port=30080,
        priority=number,
        zone="zone",
        node="node",
        hostname="hostname",
        pod=PodRef(namespace="namespace", name="name", uid="uid"),
        labels=(("label", "value"),),
        app_protocol="http",
    )
    for number, address in enumerate(("192.0.2.1", "2001:db8::1"))
)


class Template:
    """Makes text of backends.

    A template sees `target`, `name` (the target as one word, unless a variable says otherwise), `backends` in the order
    of their addresses, each place once, and the variables that it is given. Filters beside Jinja2's own: `word`,
    `json`, `weighted`, `is_name`.

    Args:
        text: the template itself, in the syntax of Jinja2.
        variables: what it is told beside the backends.
        name: what to call it where it is wrong.
        folder: where other templates that it includes are; None is nowhere.

    Raises:
        ConfigurationError: it cannot be read or used, and in which line; a variable has a name that is taken; or
            Jinja2 is not installed.
    """

    def __init__(
        self,
        text: str,
        *,
        variables: Mapping[str, str] = NO_VARIABLES,
        name: str = "template",
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.name = name
        self._variables = dict(variables)
        if taken := sorted(OURS & self._variables.keys()):
            raise ConfigurationError(f"a variable cannot be called {quote(taken[0])}: the template has that already")
        environment = _environment(folder)
        try:
            code = environment.compile(text, name=name, filename=name)
            self._template = environment.template_class.from_code(environment, code, environment.make_globals(None))
        except Exception as error:  # its syntax, or what it names: Jinja2 says so in errors of many kinds
            raise self._unusable(error) from error
        self._try()

    def __repr__(self) -> str:
        return f"<Template {self.name}>"

    @classmethod
    def named(cls, name: str, *, variables: Mapping[str, str] = NO_VARIABLES) -> "Template":
        """One of those that come with this: `haproxy`, `nginx` or `prometheus`.

        Raises:
            ConfigurationError: there is none of this name, or as above.
        """
        if name not in NAMED:
            raise ConfigurationError(
                f"there is no template {quote(name)}", next_step=f"One of {', '.join(NAMED)}, or the path of a file"
            )
        return cls((HERE / NAMED[name]).read_text(encoding="utf-8"), variables=variables, name=NAMED[name], folder=HERE)

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, variables: Mapping[str, str] = NO_VARIABLES) -> "Template":
        """One from a file, which is read once.

        Raises:
            ConfigurationError: it cannot be read, or as above.
        """
        place = Path(path)
        try:
            text = place.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the template {quote(place)} cannot be read: {error}",
                next_step=f"Name a readable file, or one of {', '.join(NAMED)}",
            ) from error
        return cls(text, variables=variables, name=str(place), folder=place.parent)

    @classmethod
    def find(cls, text: str | os.PathLike[str], *, variables: Mapping[str, str] = NO_VARIABLES) -> "Template":
        """By the name of one that comes with this, else by its path: `./haproxy` is a file.

        Raises:
            ConfigurationError: as above.
        """
        if isinstance(text, str) and text in NAMED:
            return cls.named(text, variables=variables)
        return cls.read(text, variables=variables)

    def render(self, target: str, backends: Iterable[Backend]) -> str:
        """The text for these backends.

        Raises:
            RenderError: the template does not go with them, in this line.
        """
        try:
            return self._render(target, backends)
        except Exception as error:  # whatever an expression of its author's may raise
            raise RenderError(self._wrong(error), stage="template") from error

    def _render(self, target: str, backends: Iterable[Backend]) -> str:
        known = {"name": name_of(target), **self._variables, "target": target, "backends": usable(backends)}
        return self._template.render(known)

    def _try(self) -> None:
        try:
            self._render("static://192.0.2.1:30080", SAMPLE)
        except Exception as error:
            raise self._unusable(error) from error

    def _unusable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(
            self._wrong(error), next_step="What a template is told, and its filters: docs/how-to/load-balancers.md"
        )

    def _wrong(self, error: Exception) -> str:
        line = getattr(error, "lineno", None) or self._line(error)
        kind = "" if type(error).__module__.startswith("jinja2") else f"{type(error).__name__}: "
        where = f" line {line}" if line else ""
        return f"the template {quote(self.name)[1:-1]}{where}: {kind}{quote(error)[1:-1].rstrip('.')}"

    def _line(self, error: Exception) -> int | None:
        """Where in the template it was raised: Jinja2 writes its own lines into the traceback."""
        frames = traceback.extract_tb(error.__traceback__)
        return next((frame.lineno for frame in reversed(frames) if frame.filename == self.name), None)


def _environment(folder: str | os.PathLike[str] | None) -> "jinja2.Environment":
    try:
        import jinja2
    except ImportError as error:
        raise ConfigurationError(
            "templates need Jinja2, which is not installed", next_step="pip install 'aiodiscovery[render]'"
        ) from error
    made = jinja2.Environment(
        loader=None if folder is None else jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - what comes of it is configuration, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters.update(word=word, json=as_json, weighted=weighted, is_name=is_name)
    return made
