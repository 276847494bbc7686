"""`./dev run`: which variables it takes, what it says when it cannot run, and that nothing in the shell stops it."""

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from app.settings import DATABASE_VARIABLES, Settings, load
from tools.processes import ROOT, free_port
from tools.sandbox import __main__ as sandbox
from tools.sandbox import banner

NAMES = (*DATABASE_VARIABLES, *(name.upper() for name in Settings.model_fields), "POSTGRES_BIN")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without a .env, and an environment without a variable of the service."""
    for name in NAMES:
        monkeypatch.setenv(name, "")  # What the test sets is taken back only if monkeypatch has seen the variable.
        monkeypatch.delenv(name)
    monkeypatch.setattr(sandbox, "ROOT", tmp_path)
    monkeypatch.setattr(sandbox, "FOLDER", tmp_path / ".local")
    return tmp_path


@pytest.mark.parametrize("real", DATABASE_VARIABLES)
@pytest.mark.parametrize("written", DATABASE_VARIABLES)
def test_a_real_address_wins_over_the_file_under_any_of_its_names(
    real: str, written: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in every other command."""
    (folder / ".env").write_text(f"{written}=file\nPORT=9001\n")
    monkeypatch.setenv(real, "real")

    sandbox._add_env_file()

    assert {name: os.environ[name] for name in DATABASE_VARIABLES if name in os.environ} == {real: "real"}
    assert os.environ["PORT"] == "9001"


def test_an_empty_variable_counts_as_unset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "POSTGRES_URL", "PORT", "SERVICE_TOKENS"):
        monkeypatch.setenv(name, "")
    (folder / ".env").write_text("DATABASE_URL=file\nPORT=9001\nBACKBOARD_API_KEY=\n")

    sandbox._add_env_file()
    sandbox._secrets()

    assert (os.environ["DATABASE_URL"], os.environ["PORT"]) == ("file", "9001")
    assert len(os.environ["SERVICE_TOKENS"]) == 32


def test_the_example_changes_nothing_when_it_is_copied(folder: Path) -> None:
    """As it says itself: no example of it makes the database or Backboard "yours"."""
    (folder / ".env").write_bytes((ROOT / ".env.example").read_bytes())
    before = dict(os.environ)

    sandbox._add_env_file()

    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("content", "words"), [("PORT=1\n".encode("utf-16"), ".env is not text in UTF-8"), (b"PORT=0\n", "PORT should be")]
)
def test_a_file_that_cannot_be_used_is_a_sentence(
    content: bytes, words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_bytes(content)
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/app")
    monkeypatch.setenv("BACKBOARD_API_KEY", "canary")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    code = sandbox.main()

    for number, handler in before.items():
        signal.signal(number, handler)
    assert code == 78
    assert capsys.readouterr().err.startswith(f"./dev run: {words}")


def test_a_folder_of_roots_is_a_sentence_with_the_remedy(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a day of sudo; root itself may write everywhere, so the refusal is made here."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder / ".local" / "lock"))

    monkeypatch.setattr(sandbox, "_run", refuse)
    before = signal.getsignal(signal.SIGTERM)

    assert sandbox.main() == 1

    signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr().err
    assert f"{folder}/.local/lock belongs to another user" in said
    assert f"sudo chown -R {os.getuid()}:{os.getgid()} {folder}/.local" in said


def test_a_port_that_is_taken_and_one_that_is_refused_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(sandbox.CannotRun, match=f"port {port} is taken"), sandbox._server(port):
            pass

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(sandbox.CannotRun, match=r"port 80 cannot be used \(Permission denied\)"), sandbox._server(80):
        pass


def test_a_real_key_of_backboard_is_not_printed(
    folder: Path,  # noqa: ARG001  # Empties the environment.
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither is Backboard's address, which is the real one; the service's lines are there, quoted for a shell."""
    variables = {"BACKBOARD_API_KEY": "espr_canary", "SERVICE_TOKENS": "canary'canary$canary", "PORT": "8123"}
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    for name, value in (
        variables | {"DATABASE_URL": "postgresql://localhost/app", "CLERK_WEBHOOK_SIGNING_SECRET": secret}
    ).items():
        monkeypatch.setenv(name, value)

    banner.print_banner(load(Settings), [])

    printed = capsys.readouterr().out
    assert exported(printed.splitlines()[:6]) == {
        "SERVICE_URL": "http://127.0.0.1:8123",
        "SERVICE_TOKEN": variables["SERVICE_TOKENS"],
    }
    assert "espr_canary" not in printed


STRANGE = {
    "PGSERVICE": "nowhere",
    "PGSERVICEFILE": "/nowhere",
    "PGOPTIONS": "-c nonsense=1",
    "PGHOSTADDR": "192.0.2.1",
    "PGSSLMODE": "verify-full",
    "PGTARGETSESSIONATTRS": "standby",
    "PGREQUIREAUTH": "scram-sha-256",
    "PGCLIENTENCODING": "LATIN1",
    "SERVICE_TOKENS": "",
    "DATABASE_URL": "",
}


def exported(lines: list[str]) -> dict[str, str]:
    """The variables in the lines that a person copies."""
    words = [shlex.split(line) for line in lines if line.lstrip().startswith("export ")]
    return dict(assignment.split("=", 1) for _, assignment in words)


def converse(variables: dict[str, str]) -> str:
    """A sign-up at the service, and one turn with the assistant that it answers."""
    bearer = {"Authorization": f"Bearer {variables['SERVICE_TOKEN']}"}
    with httpx.Client(trust_env=False, verify=False, timeout=10) as client:
        user = client.post(
            f"{variables['SERVICE_URL']}/ensure-user", headers=bearer, json={"clerk_id": "user_2abc"}
        ).json()
        key = {"X-API-Key": variables["BACKBOARD_API_KEY"]}
        sent = {"content": "hi", "assistant_id": user["assistant_id"]}
        answer = client.post(f"{variables['BACKBOARD_API_URL']}/threads/messages", headers=key, json=sent)
    return str(answer.json()["messages"][-1]["content"])


def test_it_runs_whatever_the_shell_says_about_other_databases(tmp_path: Path) -> None:
    """Its own Postgres is asked without the user's variables of libpq; Ctrl-C ends it with 0.

    The lines that it prints for a chat backend lead to the service and to the sandbox, which talks.
    """
    program = "import sys, pathlib; from tools.sandbox import __main__ as m; m.FOLDER = pathlib.Path(sys.argv[1]); "
    environment = {"PATH": os.environ["PATH"], "PORT": str(free_port()), **STRANGE}
    with subprocess.Popen(
        [sys.executable, "-c", program + "m.ROOT = m.FOLDER; sys.exit(m.main())", str(tmp_path / "local")],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout is not None
        lines = []
        reply = ""
        for line in run.stdout:
            lines.append(line)
            if "-d '{" in line:
                try:
                    reply = converse(exported(lines))
                finally:
                    run.send_signal(signal.SIGINT)
    printed = "".join(lines)

    assert run.returncode == 0, printed
    assert reply == "You said: hi"
    assert "200  created" in printed
    assert urlsplit(f"http://127.0.0.1:{environment['PORT']}").netloc in printed
    assert printed.endswith("Stopped.\n")
