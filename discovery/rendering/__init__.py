"""Backends in a file, for load balancers that are no part of the program: HAProxy, nginx, Prometheus, and others.

A template says what the file is like, and a renderer keeps it so: whole, only when something changed, and no more than
once a second. Jinja2 is imported with the first template, and no sooner.
"""

from .errors import RenderError
from .renderer import Renderer
from .template import Template

__all__ = ["RenderError", "Renderer", "Template"]
