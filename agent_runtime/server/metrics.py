"""What the server counts, in Prometheus' words. Nothing counted holds what anybody said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..messages import Turn

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The counts of one server.

    Args:
        statistics: what the runtime's engine says of itself: a dataclass of numbers, or nothing yet.
        connections: how many connections are open.
    """

    def __init__(self, statistics: Callable[[], Any], connections: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "smolcall_http_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "smolcall_http_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "smolcall_http_requests_in_flight", "Requests being answered now.", registry=self._registry
        )
        self._refusals = Counter(
            "smolcall_http_refusals",
            "Requests that were refused, by reason.",
            ("code",),
            registry=self._registry,
        )
        self._turns = Counter(
            "smolcall_turns", "Turns by how they ended.", ("stop_reason",), registry=self._registry
        )
        self._calls = Counter("smolcall_tool_calls", "Tool calls written.", registry=self._registry)
        self._tokens = Counter(
            "smolcall_tokens", "Tokens of finished turns.", ("kind",), registry=self._registry
        )
        self._turn_seconds = Histogram(
            "smolcall_turn_seconds",
            "Seconds a turn took, waiting included.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        open_connections = Gauge(
            "smolcall_http_connections", "Connections open now.", registry=self._registry
        )
        open_connections.set_function(connections)
        self._registry.register(_EngineCollector(statistics))
        ProcessCollector(registry=self._registry)

    def count_request(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered, or its client went away (status 499)."""
        known = method if method in _METHODS else "other"
        self._requests.labels(method=known, route=route, status=str(status)).inc()
        self._seconds.labels(route=route).observe(seconds)

    def count_refusal(self, code: str) -> None:
        """A request was refused."""
        self._refusals.labels(code=code).inc()

    def count_turn(self, turn: Turn) -> None:
        """A turn was made."""
        self._turns.labels(stop_reason=turn.stop_reason).inc()
        self._calls.inc(len(turn.tool_calls))
        self._tokens.labels(kind="prompt").inc(turn.usage.prompt_tokens)
        self._tokens.labels(kind="completion").inc(turn.usage.completion_tokens)
        self._tokens.labels(kind="cached").inc(turn.usage.cached_tokens)
        self._turn_seconds.observe(turn.timings.total_ms / 1000)

    def text(self) -> bytes:
        """All counts in the text exposition format."""
        return generate_latest(self._registry)


class _EngineCollector(Collector):
    """Asks the engine when Prometheus asks."""

    def __init__(self, statistics: Callable[[], Any]) -> None:
        self._statistics = statistics

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        statistics = self._statistics()
        if not dataclasses.is_dataclass(statistics):
            return
        numbers: Any = statistics
        yield _gauge("loaded", "Whether the weights are in memory.", numbers.is_loaded)
        yield _gauge("queue_length", "Turns that wait for a place.", numbers.queue_length)
        yield _gauge("active_turns", "Turns that have a place.", numbers.active)
        yield _gauge("cache_tokens", "Tokens the prefix cache holds.", numbers.cache_held_tokens)
        yield _counter("forwards", "Forwards computed.", numbers.forwards)
        yield _counter("compute_seconds", "Seconds spent in forwards.", numbers.compute_s)
        ended = CounterMetricFamily(
            "smolcall_engine_turns", "Turns by what became of them.", labels=("outcome",)
        )
        for outcome, number in (
            ("finished", numbers.turns),
            ("failed", numbers.failed),
            ("cancelled", numbers.cancelled),
            ("expired", numbers.expired),
            ("refused", numbers.refused),
        ):
            ended.add_metric((outcome,), number)
        yield ended
        tokens = CounterMetricFamily(
            "smolcall_engine_tokens", "Tokens computed, or found in the prefix cache.", labels=("kind",)
        )
        tokens.add_metric(("prefill",), numbers.prefill_tokens)
        tokens.add_metric(("decode",), numbers.decode_tokens)
        tokens.add_metric(("cached",), numbers.cached_tokens)
        yield tokens


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"smolcall_engine_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"smolcall_engine_{name}", text, value=value)
