"""`/metrics`: the whole installation's numbers as Prometheus text (delivery.md 15).

Any web process answers for all: counters come from the table that every process adds to, gauges are asked
from the outbox. For whoever has `METRICS_TOKEN`; without one, for this machine alone.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterator, Mapping

from django.conf import settings
from django.core.cache import cache
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, core, generate_latest
from prometheus_client.registry import Collector

from accounts.metrics import ABOVE, ACCOUNT, BOUNDS, BUCKET, DECLARED, SUM, Kind, Labels, Metric
from accounts.origin import client_ip
from integrations import measures

# However often somebody asks, the database is asked no more often than this.
CACHE_SECONDS = 5
CACHE_KEY = "metrics"
# Written by proxies that we have not been told of.
FORWARDING_HEADERS = ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")

Numbers = Mapping[str, Mapping[Labels, float]]


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if settings.METRICS_TOKEN and not has_token(request):
        return HttpResponse(
            "a bearer token is needed\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": "Bearer", "Cache-Control": "no-store"},
        )
    if not settings.METRICS_TOKEN and not is_from_here(request):
        raise Http404
    body = cache.get_or_set(CACHE_KEY, render, CACHE_SECONDS)
    headers = {"Cache-Control": "no-store"}
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST, headers=headers)


def has_token(request: HttpRequest) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(
        given.strip().encode(), settings.METRICS_TOKEN.encode()
    )


def is_from_here(request: HttpRequest) -> bool:
    """Whether the caller is a process of this machine, and not somebody behind a proxy on it.

    A proxy we know of (`TRUSTED_PROXIES`) tells who called. One we do not know of makes the whole world
    look like this machine: a header that a proxy adds, or an https address, which we do not speak
    ourselves, gives it away.
    """
    if not settings.TRUSTED_PROXIES and (
        settings.HTTPS or any(name in request.headers for name in FORWARDING_HEADERS)
    ):
        return False
    try:
        return ipaddress.ip_address(client_ip(request)).is_loopback
    except ValueError:
        return False


def render() -> bytes:
    """All numbers as they are now, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Installation())
    return generate_latest(registry)


class Installation(Collector):
    """Collects from the table and the outbox; the library's own counters, one process's, stay unused."""

    def collect(self) -> Iterator[core.Metric]:
        numbers = measures.read()
        for metric in DECLARED.values():
            if metric.kind == Kind.HISTOGRAM:
                yield _histogram(metric, numbers)
            else:
                yield _plain(metric, numbers.get(metric.name, {}))


def _plain(metric: Metric, numbers: Mapping[Labels, float]) -> core.Metric:
    family = core.CounterMetricFamily if metric.kind == Kind.COUNTER else core.GaugeMetricFamily
    made = family(metric.name, metric.help, labels=_names(metric))
    for labels, value in sorted(numbers.items()):
        made.add_metric(_values(metric, labels), value)
    return made


def _histogram(metric: Metric, numbers: Numbers) -> core.Metric:
    """Buckets are kept apart, and added up only here."""
    made = core.HistogramMetricFamily(metric.name, metric.help, labels=_names(metric))
    buckets: dict[Labels, dict[str, float]] = {}
    for labels, n in numbers.get(metric.name + BUCKET, {}).items():
        rest = tuple(one for one in labels if one[0] != "le")
        buckets.setdefault(rest, {})[dict(labels)["le"]] = n
    sums = numbers.get(metric.name + SUM, {})
    for labels, its in sorted(buckets.items()):
        made.add_metric(_values(metric, labels), _added_up(its), sums.get(labels, 0.0))
    return made


def _added_up(buckets: Mapping[str, float]) -> list[tuple[str, float]]:
    bounds = sorted({*BOUNDS, ABOVE, *buckets}, key=float)
    total, added = 0.0, []
    for bound in bounds:
        total += buckets.get(bound, 0.0)
        added.append((bound, total))
    return added


def _names(metric: Metric) -> list[str]:
    by_account = metric.per_account and settings.METRICS_PER_TENANT
    return [*metric.labels, *([ACCOUNT] if by_account else [])]


def _values(metric: Metric, labels: Labels) -> list[str]:
    """In the order of the names; an empty label is none, to Prometheus."""
    given = dict(labels)
    return [given.get(name, "") for name in _names(metric)]
