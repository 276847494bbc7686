"""./dev bench: every suite runs and prints its figures; no test asserts on a speed."""

import json
import shutil
from pathlib import Path

import pytest

from tools.bench import __main__ as bench
from tools.bench import load, paths, peers, plot
from tools.bench.cores import Cores
from tools.bench.figures import Figure, at_least, compared, interleaved
from tools.bench.rig import Rig, Sizes
from tools.sandbox.postgres import Postgres

TINY = Sizes(
    rounds=1,
    seconds=0.1,
    connections=(2,),
    users=20,
    many_users=40,
    sign_ups=4,
    burst=8,
    wave=200,
    messages=2000,
    deliveries=2000,
    asked=3,
    events=500,
    new_users=100,
    many_messages=2000,
    requests=20,
)


@pytest.fixture
def rig(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A rig that measures as little as possible, with the load generator that is always there."""
    monkeypatch.setattr(load, "generator", lambda: "tools/bench/client.py")
    # Two of its paths once more, on a Postgres of their own.
    monkeypatch.setattr(paths, "_without_sync", lambda *_: iter(()))
    here = Cores.here()
    # On all cores, because other tests run beside this one.
    everywhere = here.server | here.others
    return Rig(Cores(everywhere, everywhere), TINY, tmp_path, postgres)


@pytest.mark.parametrize("suite", [name for name in bench.SUITES if name not in {"peers", "import"}])
def test_a_suite_prints_a_line_for_each_figure(suite: str, rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    figures = bench.run(rig, [suite])[suite]

    lines = capsys.readouterr().out.splitlines()
    assert len(figures) > 1
    assert [line.split()[0] for line in lines] == [suite] * len(figures)


def test_an_import_that_is_killed_twice_brings_every_user_once(rig: Rig) -> None:
    """Every user, session and message, every assistant kept; one more run changes nothing. 10,000 users are its bar."""
    figures = bench.run(rig, ["import"])["import"]

    assert [figure.what for figure in figures if figure.met is False] == []
    assert sum(figure.met is True for figure in figures) == 8


def test_a_peer_that_cannot_run_is_skipped_with_its_reason(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Node the other peers are still measured."""
    monkeypatch.setattr(peers, "_PEERS", {"fastify-pg": ("fastify-pg", peers._node, {})})
    monkeypatch.setattr(shutil, "which", lambda _: None)

    figures = bench.run(rig, ["peers"])["peers"]

    assert "fastify-pg is skipped: there is no Node" in capsys.readouterr().out
    assert {figure.against for figure in figures} == {"bare"}


@pytest.mark.parametrize("name", ["express-prisma", "fastify-pg"])
def test_the_lock_of_a_peer_pins_by_hash_and_names_no_registry(name: str) -> None:
    """It installs from the registry that npm is configured with."""
    lock = json.loads((Path(bench.__file__).parent / "peers" / name / "package-lock.json").read_text())
    packages = [package for path, package in lock["packages"].items() if path]

    assert packages
    assert all("integrity" in package and "resolved" not in package for package in packages)


def test_contenders_take_turns_at_going_first() -> None:
    """The first of a round finds the caches of the one before."""
    turn = iter(range(1, 5))
    measured = interleaved(dict.fromkeys("ab", turn.__next__), 2)

    assert measured == {"a": [1, 4], "b": [2, 3]}


def test_a_ratio_is_the_median_of_the_ratios_of_the_rounds() -> None:
    """A round in which the whole machine was slow counts like any other."""
    figure = compared("", "", [10, 1, 30], [20, 2, 30], against="", bar=at_least(0.5))

    assert (figure.ratio, figure.met) == (0.5, True)


def test_a_missed_bar_is_marked_in_its_line() -> None:
    figure = Figure("lookups", "/s", 40, 100, "bare", 0.4, at_least(0.45))

    assert figure.row("ensure").endswith(">= 0.45 MISSED")


def test_each_plot_has_a_line_for_each_server(tmp_path: Path) -> None:
    rates = {"ours": {1: 100.0, 32: 9000.0}, "bare": {1: 300.0, 32: 20000.0}}
    plot.draw(tmp_path, rates, {"ours": [(50, 1.0), (99, 4.0)], "bare": [(50, 0.5), (99, 0.5)]})

    for name in ("throughput", "latency"):
        assert (tmp_path / f"{name}.svg").read_text().count("<polyline") == 2
