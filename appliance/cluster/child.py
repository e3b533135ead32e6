"""The child process that works on the nodes: started, told its order, listened to, and ended in any case.

pyinfra needs gevent's patched world, and a process of its own keeps that away from the appliance. The order goes over
standard input and nowhere else, for it holds secrets; events come back over standard output, a line each; what the
child has to say besides is a log, whose end is shown only when the child dies.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, cast

from pydantic import ValidationError

import deploys
from appliance.cluster.errors import RunFailed
from deploys.events import EVENT, Ended, Event, NodeEnded
from deploys.order import Order

# -P: nothing may be imported from the folder somebody happens to stand in, a stick's for instance.
COMMAND = (sys.executable, "-P", "-m", "deploys")
_LINE = 16 << 20  # bytes of the longest event
_GRACE = 20.0  # seconds that the child has to end after SIGTERM
_TAIL = 12  # lines of its log that say why it died
_TAIL_BYTES = 8 << 10
_PR_SET_PDEATHSIG = 1  # prctl(2)
_AGAIN = "run the same command again: it goes on from here"


def run(order: Order, log: Path, *, hold: Sequence[int] = (), command: Sequence[str] = COMMAND) -> Generator[Event]:
    """The events of a run, as they come. Leaving early ends the child.

    `log` is written anew. The descriptors in `hold` stay open for as long as the child lives, so that locks of theirs
    outlive a parent that was killed. Raises `RunFailed` with the end of the log when the child dies, or says what is no
    event.
    """
    with _started(log, hold, command) as process:
        _tell(process, order)
        failed = False
        for event in _events(process, log):
            failed |= isinstance(event, Ended) and not event.ok
            failed |= isinstance(event, NodeEnded) and event.state in {"failed", "unreachable"}
            yield event
        code = process.wait()
        if code not in {0, 1} or code > failed:
            raise _died(code, log)


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM is Ctrl-C: what was begun is ended, and said."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _started(log: Path, hold: Sequence[int], command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        log.chmod(0o600)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd="/",
            env=_environment(),
            pass_fds=tuple(hold),
            # Ctrl-C is for us alone: we tell the child, and wait until it has left the nodes.
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread of ours holds a lock by now
        )
    try:
        yield process
    finally:
        _end(process)


def _environment() -> dict[str, str]:
    """Ours, and our own packages first: parent and child are of one version, wherever they are installed."""
    ours = str(Path(deploys.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH", "")]))}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _tell(process: subprocess.Popen[bytes], order: Order) -> None:
    with suppress(BrokenPipeError), cast("IO[bytes]", process.stdin) as pipe:  # why it died is in its log
        pipe.write(order.model_dump_json().encode())


def _events(process: subprocess.Popen[bytes], log: Path) -> Iterator[Event]:
    said = cast("IO[bytes]", process.stdout)
    while line := said.readline(_LINE):
        if not line.endswith(b"\n") and len(line) < _LINE:
            return  # cut off with the child's life; how it ended is looked at next
        try:
            event = EVENT.validate_json(line)
        except ValidationError as error:
            # not what it said: that may be a secret
            wrong = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, wrong["loc"]))
            raise RunFailed(
                f"the run on the nodes said what is no event: {where}{': ' if where else ''}{wrong['msg'][:200]}",
                hint=f"{_AGAIN}; should it happen again, report this with {log}",
            ) from None
        yield event


def _died(code: int, log: Path) -> RunFailed:
    name = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    said = "".join(f"\n  | {line}" for line in _tail(log))
    return RunFailed(f"the run on the nodes {name}{':' if said else ' and said nothing'}{said}", hint=_AGAIN)


def _tail(log: Path) -> list[str]:
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - _TAIL_BYTES, 0))
        return file.read().decode(errors="replace").splitlines()[-_TAIL:]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asks the child to end, hears it out so that no full pipe holds it up, and kills it when it takes too long."""
    said = cast("IO[bytes]", process.stdout)
    if process.poll() is None:
        process.terminate()
        timer = threading.Timer(_GRACE, _kill, (process,))
        timer.start()
        try:
            _hear_out(said)
            process.wait()
        except KeyboardInterrupt:  # a second Ctrl-C: at once, then
            _kill(process)
            process.wait()
            raise
        finally:
            timer.cancel()
    said.close()


def _hear_out(pipe: IO[bytes]) -> None:
    while pipe.read(1 << 16):
        pass


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
