"""Whether and when to try again: pure decisions, time and chance are parameters."""

from .budget import Budget, RetryBudget
from .classify import Answer, Outcome, asks_again, classify, hears_retry_after, of_status, retriable
from .delay import delay
from .hedging import Hedging, Latencies
from .policy import RetryPolicy
from .retry_after import LONGEST_WAIT
from .retry_after import parse as parse_retry_after

__all__ = [
    "LONGEST_WAIT",
    "Answer",
    "Budget",
    "Hedging",
    "Latencies",
    "Outcome",
    "RetryBudget",
    "RetryPolicy",
    "asks_again",
    "classify",
    "delay",
    "hears_retry_after",
    "of_status",
    "parse_retry_after",
    "retriable",
]
