"""What a server counts, in the form that Prometheus reads."""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Requests, latency, batches, queue, cache and GPU memory of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "partlab_requests_total",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "partlab_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "partlab_batch_images",
            "Images that a model looked at together.",
            ("model",),
            buckets=_IMAGES,
            registry=self.registry,
        )
        self.model_seconds = Counter(
            "partlab_model_seconds_total",
            "Time that a model worked.",
            ("model",),
            registry=self.registry,
        )

    def watch(self, look: Callable[[], Iterable[Any]]) -> None:
        """Also tell what `look` finds when it is asked: metric families of prometheus-client."""
        self.registry.register(_Watched(look))

    def batch_done(self, model: str, images: int, seconds: float) -> None:
        """A model looked at a batch."""
        self.batch.labels(model).observe(images)
        self.model_seconds.labels(model).inc(seconds)

    def request_done(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request ended, answered or not."""
        self.requests.labels(route, method, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self.registry)


class _Watched(Collector):
    def __init__(self, look: Callable[[], Iterable[Any]]) -> None:
        self._look = look

    def collect(self) -> Iterable[Any]:
        return self._look()


def gauge(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Any:
    """A gauge with one label."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


def counters(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Any:
    """A counter with one label."""
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


def counter(name: str, text: str, value: float) -> Any:
    """A counter without labels."""
    return CounterMetricFamily(name, text, value=value)


def level(name: str, text: str, value: float) -> Any:
    """A gauge without labels."""
    return GaugeMetricFamily(name, text, value=value)


def gpu_memory() -> Iterable[tuple[str, float]]:
    """Bytes that torch holds on each GPU; nothing without one, and torch is not loaded for it."""
    import sys

    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield str(index), float(torch.cuda.memory_reserved(index))
