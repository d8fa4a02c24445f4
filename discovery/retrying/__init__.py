"""Whether and when to try again: pure decisions, time and chance are parameters."""

from .classify import Outcome, classify, retriable
from .delay import delay
from .policy import RetryPolicy

__all__ = ["Outcome", "RetryPolicy", "classify", "delay", "retriable"]
