"""`smolcall serve` as a process beside us, for as long as the official program asks."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent_runtime.errors import ConfigError

_START_S = 600.0  # a large model takes minutes to load
_STOP_S = 60.0


@contextmanager
def serving(options: Sequence[str], log: Path) -> Iterator[str]:
    """A server on a free port of this machine; gives the address OpenAI clients want.

    Args:
        options: what `smolcall serve` takes, such as `--model` and `--fill`.
        log: a file for what the server says.

    Raises:
        ConfigError: the server does not come up.
    """
    port = _free_port()
    command = [sys.executable, "-m", "agent_runtime", "serve", "--port", str(port), "--rate-limit", "0"]
    command += ["--request-timeout", "600", "--max-body-bytes", str(1 << 24), "--no-tools", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(process, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise ConfigError(f"the server did not start: {''.join(last) or 'it said nothing'}")
        if _is_ready(port):
            return
        time.sleep(0.2)
    raise ConfigError(f"the server was not ready within {_START_S:g} s: see {log}")


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
