"""A phone for tests: it speaks the ADB protocol on loopback, to the real adb client.

Its shell is mksh with toybox's tools, as Android's are, where those are installed; its files are this
machine's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from devices.adb_services import run_old_shell, run_shell_v2, sync
from devices.adb_wire import Link, Stream
from devices.relay import Relay, relay
from devices.ssh_server import free_port
from processes import wait_until

ENABLE = "make device-tools, which installs adb, enables this test"
LIMIT_S = 60


@dataclass
class Phone:
    """A phone. folder: for its tools. old: it knows no shell_v2. allowed: it lets this computer in.

    room: bytes that its disk has left, None for plenty.
    """

    folder: Path
    old: bool = False
    allowed: bool = True
    room: int | None = None
    opened: list[str] = field(default_factory=list)

    def start(self) -> int:
        """Listen on loopback from now on; return the port."""
        self._argv, self._path = _shell(self.folder)
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._listen, args=(listener,), daemon=True).start()
        return int(listener.getsockname()[1])

    def _listen(self, listener: socket.socket) -> None:
        features = "" if self.old else "shell_v2,cmd"
        banner = (
            f"device::ro.product.name=test;ro.product.model=Test;ro.product.device=test;features={features}"
        )
        while True:
            connection = listener.accept()[0]
            link = Link(connection, banner.encode(), allowed=self.allowed, serve=self._serve)
            threading.Thread(target=link.run, daemon=True).start()

    def _serve(self, service: str, stream: Stream) -> None:
        self.opened.append(service)
        kind, _, command = service.partition(":")
        environment = {**os.environ, "PATH": self._path, "TMPDIR": str(self.folder)}
        if kind == "sync":
            sync(stream, lambda: self.room)
        elif kind.startswith("shell,v2"):
            run_shell_v2(stream, [*self._argv, command], environment)
        elif kind.startswith("shell"):
            run_old_shell(stream, [*self._argv, command], environment)


def _shell(folder: Path) -> tuple[list[str], str]:
    """Return the phone's shell and the PATH with its tools first."""
    mksh, toybox = shutil.which("mksh"), shutil.which("toybox")
    tools = folder / "tools"
    tools.mkdir()
    if toybox is not None:
        listed = subprocess.run([toybox], capture_output=True, text=True, check=True).stdout
        for name in listed.split():
            (tools / name).symlink_to(toybox)
    if mksh is not None:
        (tools / "sh").symlink_to(mksh)
    return [mksh or "sh", "-c"], f"{tools}:{os.environ['PATH']}"


@dataclass(frozen=True)
class Attached:
    """A phone on an adb server of the test's own. link: its cable. serial: what adb calls it."""

    phone: Phone
    link: Relay
    serial: str


@contextlib.contextmanager
def adb_server(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of an adb server of the test's own; skip where adb is not installed."""
    if shutil.which("adb") is None:
        pytest.skip(f"no adb here: {ENABLE}")
    own = {
        "ANDROID_ADB_SERVER_PORT": str(free_port()),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "ADB_EMU": "0",
    }
    adb(["start-server"], own)
    try:
        yield own
    finally:
        adb(["kill-server"], own)


@contextlib.contextmanager
def attached(phone: Phone, own: dict[str, str]) -> Iterator[Attached]:
    """Yield a phone that the server has connected to, through a relay."""
    with relay(phone.start()) as link:
        serial = f"127.0.0.1:{link.port}"
        said: list[str] = []
        assert wait_until(lambda: _connects(serial, own, said)), said
        try:
            yield Attached(phone, link, serial)
        finally:
            adb(["disconnect", serial], own)


def _connects(serial: str, own: dict[str, str], said: list[str]) -> bool:
    """Return whether the server reached a phone, allowed in or not; `said` grows by what adb says."""
    said.append(adb(["connect", serial], own))
    return any(words in said[-1] for words in ("connected to", "failed to authenticate"))


def adb(argv: list[str], own: dict[str, str]) -> str:
    """Return what adb prints."""
    done = subprocess.run(
        ["adb", *argv],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    return done.stdout
