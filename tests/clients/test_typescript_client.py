"""clients/typescript against the service, by Node's own test runner."""

import os
import shutil
import subprocess

import pytest

from tests.support import factories
from tools.processes import ROOT, ServerProcess


@pytest.mark.skipif(not shutil.which("node"), reason="there is no Node (20 or newer) on this machine")
def test_the_typescript_client_passes_its_tests(lasting_server: ServerProcess) -> None:
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", "test/"],
        cwd=ROOT / "clients" / "typescript",
        env={"PATH": os.environ["PATH"], "SERVICE_URL": lasting_server.url, "SERVICE_TOKEN": factories.TOKEN},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
