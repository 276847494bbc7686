"""nginx and HAProxy in front of a server, set up to share its connections among their clients.

Each lane is a port with upstream connections of its own, so that cases in different lanes do not meet.
"""

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tools.hostile.clients import Address
from tools.processes import ServerProcess, ended_with_us, free_port, start

# How long a proxy waits for the rest of a request, also after our 408 to it, and for an answer. Both waits fit in a
# client's patience, and are longer than ours for a body.
CLIENT_SECONDS = 8
SERVER_SECONDS = 12

_NGINX = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    client_header_timeout {client}s; client_body_timeout {client}s; proxy_read_timeout {server}s;
    large_client_header_buffers 8 64k;
    # It passes on as much as it can be told to.
    ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    {lanes}
}}
"""
_NGINX_LANE = """\
    upstream lane{number} {{ server 127.0.0.1:{upstream}; keepalive 2; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://lane{number}; proxy_http_version 1.1; proxy_request_buffering off;
            {headers}
        }}
    }}
"""
_NGINX_HEADERS = 'proxy_set_header Host $host; proxy_set_header Connection "";'
# As uvicorn's and Starlette's users are told to write it for WebSockets.
_NGINX_UPGRADES = (
    "proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade;"
    " proxy_set_header Connection $connection_upgrade;"
)
_HAPROXY = """\
global
    nbthread 1
    tune.bufsize 65536
defaults
    mode http
    timeout connect 3s
    timeout client {client}s
    timeout http-request {client}s
    timeout http-keep-alive 60s
    timeout server {server}s
    http-reuse always
    {options}
{lanes}
"""
_HAPROXY_LANE = """\
frontend front{number}
    bind 127.0.0.1:{port}
    default_backend lane{number}
backend lane{number}
    server upstream 127.0.0.1:{upstream} maxconn 1
"""


def _nginx(headers: str) -> Callable[[Path, int, Sequence[int]], str]:
    def configure(folder: Path, upstream: int, ports: Sequence[int]) -> str:
        lanes = "".join(
            _NGINX_LANE.format(number=number, port=port, upstream=upstream, headers=headers)
            for number, port in enumerate(ports)
        )
        return _NGINX.format(folder=folder, client=CLIENT_SECONDS, server=SERVER_SECONDS, lanes=lanes)

    return configure


def _haproxy(options: str) -> Callable[[Path, int, Sequence[int]], str]:
    def configure(_: Path, upstream: int, ports: Sequence[int]) -> str:
        lanes = "".join(
            _HAPROXY_LANE.format(number=number, port=port, upstream=upstream) for number, port in enumerate(ports)
        )
        return _HAPROXY.format(client=CLIENT_SECONDS, server=SERVER_SECONDS, options=options, lanes=lanes)

    return configure


class Proxy(NamedTuple):
    """A program, and how it is set up."""

    program: str
    option: str
    configure: Callable[[Path, int, Sequence[int]], str]

    def find(self) -> str | None:
        """The program's path; Debian's folder is not on every user's PATH."""
        return shutil.which(self.program) or shutil.which(self.program, path="/usr/sbin:/usr/local/sbin")


PROXIES = {
    "nginx": Proxy("nginx", "-c", _nginx(_NGINX_HEADERS)),
    "nginx-upgrades": Proxy("nginx", "-c", _nginx(_NGINX_UPGRADES)),
    "haproxy": Proxy("haproxy", "-f", _haproxy("")),
    "haproxy-lenient": Proxy("haproxy", "-f", _haproxy("option accept-invalid-http-request")),
}


@contextmanager
def running(name: str, upstream: int, *, lanes: int) -> Iterator[list[Address]]:
    """Run a proxy of the table in front of a port of this machine; the address of each lane."""
    proxy = PROXIES[name]
    program = proxy.find()
    assert program is not None, f"there is no {proxy.program} on this machine"
    folder, ports = Path(tempfile.mkdtemp(prefix="proxy-")), [free_port() for _ in range(lanes)]
    configuration = folder / "configuration"
    configuration.write_text(proxy.configure(folder, upstream, ports))
    command = [*ended_with_us("KILL"), program, proxy.option, str(configuration)]
    process = start(command, {"PATH": "/usr/bin:/bin"}, cwd=folder, log=folder / "log")
    try:
        process.wait_until_ready(lambda: all(_is_listening(port) for port in ports))
        yield [("127.0.0.1", port) for port in ports]
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: ServerProcess) -> None:
    if process.exit_code is None:
        process.kill()


def _is_listening(port: int) -> bool:
    with socket.socket() as wire:
        return wire.connect_ex(("127.0.0.1", port)) == 0
