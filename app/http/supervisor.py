"""Several worker processes on one port: a worker that dies is replaced, SIGHUP restarts them one by one.

uvicorn's own `Multiprocess` leaves its workers on the port when it is killed.
"""

import mmap
import multiprocessing
import signal
import socket
import sys
from collections.abc import Callable
from time import monotonic

from app import log
from app.http.last_connections import refuse_new_connections

# A worker that dies at once does not keep a core busy with dying.
REPLACE_SECONDS = 1.0
# A worker that dies sooner after its start, or before it accepts connections, counts as one that cannot start.
STABLE_SECONDS = 10.0
# So many of them in a row, and the next one would die as well.
FAILED_STARTS = 5
# How long a worker may take to accept connections when it replaces one that still does.
START_SECONDS = 30.0
# How long a worker may take to end before the next one is replaced.
STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05

_STOP = {signal.SIGTERM, signal.SIGINT}
_SIGNALS = _STOP | {signal.SIGCHLD, signal.SIGHUP}

# What a worker does: serve until SIGTERM, and call the function that it gets as soon as it accepts connections.
Serve = Callable[[Callable[[], None]], None]


class Worker:
    """A process forked from the supervisor."""

    def __init__(self, serve: Serve) -> None:
        self._started_at = monotonic()
        # Shared with the process, which writes 1 when it is ready.
        self._ready = mmap.mmap(-1, 1)
        # A daemon is told to end also when the supervisor fails, and is waited for.
        self.process = multiprocessing.get_context("fork").Process(target=self._work, args=(serve,), daemon=True)
        self.process.start()

    def is_ready(self) -> bool:
        """Whether it has accepted connections, even if it has died since."""
        return self._ready[0] == 1

    def is_alive(self) -> bool:
        return self.process.is_alive()

    def has_been_stable(self) -> bool:
        return self.is_ready() and monotonic() - self._started_at >= STABLE_SECONDS

    def _work(self, serve: Serve) -> None:
        # A terminal that closes sends it to the workers as well, and they are restarted by the supervisor.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        serve(self._mark_ready)

    def _mark_ready(self) -> None:
        self._ready[0] = 1


class Supervisor:
    """Keeps workers on one listening socket until SIGTERM or Ctrl-C.

    Its signals are waited for and never interrupt, so none can come between a fork and the note of it.
    """

    def __init__(self, serve: Serve, listening: socket.socket, processes: int) -> None:
        self._serve = serve
        self._listening = listening
        self._processes = processes
        self._workers: list[Worker] = []
        self._failed_starts = 0
        self._is_stopping = False

    def run(self) -> None:
        """Return when all workers have ended; SystemExit(1) if they cannot start."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for number in (signal.SIGCHLD, signal.SIGHUP):
            # Without a handler some systems throw the first away, blocked or not, and nohup the second.
            signal.signal(number, lambda *_: None)
        self._workers = [Worker(self._serve) for _ in range(self._processes)]
        while not self._is_stopping:
            match signal.sigwait(_SIGNALS):
                case signal.SIGCHLD:
                    self._replace_dead()
                case signal.SIGHUP:
                    self._restart()
                case _:
                    self._is_stopping = True
        self._stop()
        if self._failed_starts >= FAILED_STARTS:
            sys.exit(1)

    def _replace_dead(self) -> None:
        self._wait_until(lambda: False, REPLACE_SECONDS)
        for dead in [worker for worker in self._workers if not worker.is_alive()]:
            log.info("worker_died", code=dead.process.exitcode)
            self._workers.remove(dead)
            self._failed_starts = 0 if dead.has_been_stable() else self._failed_starts + 1
            if self._failed_starts >= FAILED_STARTS:
                hint = "the lines before this one say why; `python -m app doctor` checks the configuration"
                log.error("workers_cannot_start", hint=hint)
                self._is_stopping = True
            if self._is_stopping:
                return
            self._workers.append(Worker(self._serve))

    def _restart(self) -> None:
        """Replace the workers one by one, each by one that accepts connections already."""
        log.info("workers_restarting", processes=len(self._workers))
        for place, old in enumerate(self._workers):
            new = Worker(self._serve)
            self._wait_until(lambda: new.is_ready() or not new.is_alive(), START_SECONDS)  # noqa: B023  # Called here.
            if not new.is_ready():
                new.process.kill()
                new.process.join()
                if not self._is_stopping:
                    log.error("restart_failed", code=new.process.exitcode, hint="the workers before it serve on")
                return
            self._workers[place] = new
            old.process.terminate()
            self._wait_until(lambda: not old.is_alive(), STOP_SECONDS)  # noqa: B023  # As above.
            if not self._is_stopping:
                # By now it has ended, unless it hangs.
                old.process.kill()
                old.process.join()

    def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Return when the condition holds, at the latest after so many seconds or when we are told to stop."""
        give_up_at = monotonic() + seconds
        while not (condition() or self._is_stopping or monotonic() >= give_up_at):
            self._is_stopping = signal.sigtimedwait(_STOP, _POLL_SECONDS) is not None

    def _stop(self) -> None:
        # Ours is closed first: a socket that no process accepts on would collect clients until the last worker ends.
        refuse_new_connections(self._listening)
        self._listening.close()
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
