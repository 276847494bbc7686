"""docs/monitor.md, the alert rules and the dashboard name metrics that a scrape shows, and rules that there are."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.metrics import Metrics, SharedFigures
from tests.docs.pages import ROOT, code, page, rows, section

RULES = page("docs/monitor/alerts.yml")
DASHBOARD: dict[str, Any] = json.loads(page("docs/monitor/dashboard.json"))

FULL = SharedFigures(
    read_at=0.0,
    doubts={"provisioning_attempts": (1, 60.0)},
    failing=1,
    last_events={"user.created": 1.0},
    requests={("webhook", "created", 200): 1},
)


def shown() -> dict[str, set[str]]:
    """By the name of each sample of a full scrape, its labels."""
    metrics = Metrics({"lookup": lambda: {"size": 1}})
    metrics.count("webhook", "created", 200, 0.1)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text(FULL, 1.0).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("name", ["docs/monitor/alerts.yml", "docs/monitor/dashboard.json", "docs/monitor.md"])
def test_every_metric_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"\bclerk_sync_[a-z_]+", page(name)))

    assert named
    assert named <= set(shown()) | {"clerk_sync_request_seconds"}


@pytest.mark.parametrize("name", ["docs/monitor/alerts.yml", "docs/monitor/dashboard.json"])
def test_every_label_that_is_matched_exists(name: str) -> None:
    """A matcher on a label that a metric lacks matches nothing, and the alert never fires."""
    metrics = shown()
    for metric, matchers in re.findall(r"\b(clerk_sync_[a-z_]+)\{([^}]*)\}", page(name)):
        labels = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", matchers))
        assert labels <= metrics[metric], f"{metric} has no {labels - metrics[metric]}"


def test_every_alert_has_its_row_with_its_severity() -> None:
    explained = {code(row[0])[0]: row[1] for row in rows(section(page("docs/monitor.md"), "## Alerts"))}
    rules = re.findall(r"- alert: (\w+)\n.*?severity: (\w+)", RULES, re.DOTALL)

    assert explained == dict(rules)


def test_promtool_accepts_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool on this machine (Debian: apt install prometheus)")

    done = subprocess.run(
        [promtool, "check", "rules", str(ROOT / "docs" / "monitor" / "alerts.yml")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert f"SUCCESS: {RULES.count('- alert:')} rules found" in done.stdout


def test_the_dashboard_has_what_grafana_needs_to_load_it() -> None:
    """Panels of its own ids that do not overlap, each asking the data source that is chosen at the import."""
    panels = DASHBOARD["panels"]
    places = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
    assert DASHBOARD["schemaVersion"] >= 36
    assert [one["name"] for one in DASHBOARD["templating"]["list"]] == ["datasource"]
    sources = [target["datasource"] for panel in panels for target in panel["targets"]]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
