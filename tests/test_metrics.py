"""The text of /metrics: names, labels and values are what dashboards and alerts are built on."""

from time import monotonic

from app.metrics import Metrics, ProcessFigures, SharedFigures

BREAKER = """\
# HELP clerk_sync_breaker_state 1 for the state of the circuit breaker.
# TYPE clerk_sync_breaker_state gauge
clerk_sync_breaker_state{process="p1",state="closed"} 0.0
clerk_sync_breaker_state{process="p1",state="open"} 1.0
clerk_sync_breaker_state{process="p1",state="probing"} 0.0
# HELP clerk_sync_history_lost_total Entries that the history lacks.
# TYPE clerk_sync_history_lost_total counter
clerk_sync_history_lost_total{process="p1"} 3.0
"""

TEXT = """\
# HELP clerk_sync_process_requests_total Requests answered by this process.
# TYPE clerk_sync_process_requests_total counter
clerk_sync_process_requests_total{event="webhook",outcome="",process="p1",status="503"} 1.0
clerk_sync_process_requests_total{event="webhook",outcome="created",process="p1",status="200"} 2.0
# HELP clerk_sync_request_seconds Time to answer, of this process.
# TYPE clerk_sync_request_seconds histogram
clerk_sync_request_seconds_bucket{event="webhook",le="0.002",process="p1"} 1.0
clerk_sync_request_seconds_bucket{event="webhook",le="0.005",process="p1"} 1.0
clerk_sync_request_seconds_bucket{event="webhook",le="0.01",process="p1"} 1.0
clerk_sync_request_seconds_bucket{event="webhook",le="0.05",process="p1"} 1.0
clerk_sync_request_seconds_bucket{event="webhook",le="0.1",process="p1"} 1.0
clerk_sync_request_seconds_bucket{event="webhook",le="0.5",process="p1"} 2.0
clerk_sync_request_seconds_bucket{event="webhook",le="1.0",process="p1"} 2.0
clerk_sync_request_seconds_bucket{event="webhook",le="2.0",process="p1"} 2.0
clerk_sync_request_seconds_bucket{event="webhook",le="5.0",process="p1"} 2.0
clerk_sync_request_seconds_bucket{event="webhook",le="8.0",process="p1"} 2.0
clerk_sync_request_seconds_bucket{event="webhook",le="12.0",process="p1"} 2.0
clerk_sync_request_seconds_bucket{event="webhook",le="+Inf",process="p1"} 3.0
clerk_sync_request_seconds_count{event="webhook",process="p1"} 3.0
clerk_sync_request_seconds_sum{event="webhook",process="p1"} 13.002
# HELP clerk_sync_pool_connections Connections and callers of a pool.
# TYPE clerk_sync_pool_connections gauge
clerk_sync_pool_connections{pool="lookup",process="p1",state="size"} 2.0
"""


def test_metrics_count_requests_and_read_the_pools() -> None:
    """A time of exactly a bound counts in that bound's bucket. Without figures of all processes, none are shown."""
    metrics = Metrics({"lookup": lambda: {"size": 2}}, ProcessFigures("p1", lambda: "open", lambda: 3))

    metrics.count("webhook", "", 503, 12.5)
    metrics.count("webhook", "created", 200, 0.002)
    metrics.count("webhook", "created", 200, 0.5)

    assert metrics.text().decode() == TEXT + BREAKER


def test_figures_of_all_processes_are_shown_as_far_as_they_are_known() -> None:
    """Without a history those of the doubts only; each scrape stands for itself."""
    metrics, now = Metrics({}), monotonic()
    doubts = {"session_attempts": (2, 60.0)}
    full = SharedFigures(now, doubts, 1, {"user.created": 5.0}, {("webhook", "created", 200): 7})

    first = metrics.text(full, 5.0).decode()
    second = metrics.text(SharedFigures(now, doubts)).decode()

    assert 'clerk_sync_requests_total{event="webhook",outcome="created",status="200"} 7.0' in first
    assert {"clerk_sync_failing_deliveries 1.0", "clerk_sync_silence_seconds 5.0"} <= set(first.splitlines())
    assert 'clerk_sync_open_doubts{table="session_attempts"} 2.0' in first
    assert 'clerk_sync_open_doubts{table="session_attempts"} 2.0' in second
    assert not any(word in second for word in ("_failing_", "_silence_", "_last_event_", "clerk_sync_requests_total"))


def test_two_applications_count_apart() -> None:
    first, second = Metrics({}), Metrics({})

    first.count("webhook", "created", 200, 0.1)

    assert b"created" not in second.text()
