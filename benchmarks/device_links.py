"""Real clients to this machine: an sshd on loopback and the tests' phone, each behind a cable to cut."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from devices.adb_phone import Phone, adb_server, attached
from devices.relay import Relay
from devices.ssh_server import ssh_server


@dataclass(frozen=True, slots=True)
class Linked:
    """A machine behind a link. uri: its name for --device. phone: None over ssh."""

    uri: str
    link: Relay
    phone: Phone | None = None

    @property
    def kind(self) -> str:
        """Return the transport's scheme."""
        return self.uri.partition(":")[0]


@contextmanager
def linked_machines(folder: Path, steps: Path | None = None) -> Iterator[list[Linked]]:
    """Yield this machine over ssh and over adb; the environment is set for both clients.

    steps: a file that grows by a byte with each call of a client.
    """
    for name in ("sshd", "adb", "phone"):
        (folder / name).mkdir()
    (folder / "counted").mkdir()
    with ssh_server(folder / "sshd") as server, adb_server(folder / "adb") as own:
        os.environ["PATH"] = f"{folder / 'sshd' / 'bin'}:{os.environ['PATH']}"
        os.environ["ANDROID_ADB_SERVER_PORT"] = own["ANDROID_ADB_SERVER_PORT"]
        if steps is not None:
            os.environ["PATH"] = f"{_counted(folder / 'counted', steps)}:{os.environ['PATH']}"
        phone = Phone(folder / "phone")
        with attached(phone, own) as known:
            yield [Linked(server.uri, server.link), Linked(f"adb://{known.serial}", known.link, phone)]


def _counted(folder: Path, steps: Path) -> Path:
    """Return a folder of clients that leave a byte in `steps` before they begin."""
    for name in ("ssh", "adb"):
        client = folder / name
        client.write_text(f'#!/bin/sh\necho >>"{steps}"\nexec {shutil.which(name)} "$@"\n')
        client.chmod(0o755)
    return folder
