"""The text of /metrics: names, labels and values are what dashboards and alerts are built on."""

from app.metrics import Metrics

TEXT = """\
# HELP requests_total Requests answered.
# TYPE requests_total counter
requests_total{event="webhook",outcome="",status="503"} 1.0
requests_total{event="webhook",outcome="created",status="200"} 2.0
# HELP request_seconds Time to answer.
# TYPE request_seconds histogram
request_seconds_bucket{event="webhook",le="0.002"} 1.0
request_seconds_bucket{event="webhook",le="0.005"} 1.0
request_seconds_bucket{event="webhook",le="0.01"} 1.0
request_seconds_bucket{event="webhook",le="0.05"} 1.0
request_seconds_bucket{event="webhook",le="0.1"} 1.0
request_seconds_bucket{event="webhook",le="0.5"} 2.0
request_seconds_bucket{event="webhook",le="1.0"} 2.0
request_seconds_bucket{event="webhook",le="2.0"} 2.0
request_seconds_bucket{event="webhook",le="5.0"} 2.0
request_seconds_bucket{event="webhook",le="8.0"} 2.0
request_seconds_bucket{event="webhook",le="12.0"} 2.0
request_seconds_bucket{event="webhook",le="+Inf"} 3.0
request_seconds_count{event="webhook"} 3.0
request_seconds_sum{event="webhook"} 13.002
# HELP pool_connections Connections and callers of a pool.
# TYPE pool_connections gauge
pool_connections{pool="lookup",state="size"} 2.0
"""


def test_metrics_count_requests_and_read_the_pools() -> None:
    """A time of exactly a bound counts in that bound's bucket."""
    metrics = Metrics({"lookup": lambda: {"size": 2}})

    metrics.count("webhook", "", 503, 12.5)
    metrics.count("webhook", "created", 200, 0.002)
    metrics.count("webhook", "created", 200, 0.5)

    assert metrics.text().decode() == TEXT


def test_two_applications_count_apart() -> None:
    first, second = Metrics({}), Metrics({})

    first.count("webhook", "created", 200, 0.1)

    assert b"created" not in second.text()
