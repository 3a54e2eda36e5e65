"""The device's side of the ADB protocol: packets, authorization, streams with their acknowledgements.

After docs/dev/protocol.md of AOSP's packages/modules/adb: a packet is six little-endian words (command,
two arguments, length, sum of the bytes, the command's complement) and its data; a stream sends one WRTE
and waits for its OKAY.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable

VERSION = 0x01000001
MAX_DATA = 1 << 20
TOKEN, PUBLIC_KEY = 1, 3


class LinkGoneError(Exception):
    """The connection or the stream has ended."""


class Stream:
    """One service's bytes. theirs, ours: its numbers on either side."""

    def __init__(self, link: Link, ours: int, theirs: int) -> None:
        self._link, self._ours, self._theirs = link, ours, theirs
        self._acknowledged, self._inbox = threading.Semaphore(1), queue.SimpleQueue[bytes | None]()
        self._rest = b""
        self.gone = threading.Event()

    def write(self, data: bytes) -> None:
        """Send bytes once the last ones were acknowledged. Raises LinkGoneError."""
        for start in range(0, len(data), self._link.largest):
            self._acknowledged.acquire()
            if self.gone.is_set():
                self._acknowledged.release()
                raise LinkGoneError
            self._link.send(b"WRTE", self._ours, self._theirs, data[start : start + self._link.largest])

    def read(self, count: int) -> bytes:
        """Return exactly `count` bytes. Raises LinkGoneError where they end before."""
        while len(self._rest) < count:
            self._rest += self.read_some()
        data, self._rest = self._rest[:count], self._rest[count:]
        return data

    def read_some(self) -> bytes:
        """Return the next bytes as they came. Raises LinkGoneError."""
        data = self._inbox.get()
        if data is None:
            self._inbox.put(None)
            raise LinkGoneError
        self._link.send(b"OKAY", self._ours, self._theirs)
        return data

    def take(self, data: bytes) -> None:
        """Take what the other side has sent."""
        self._inbox.put(data)

    def acknowledge(self) -> None:
        """Take the other side's word that it has the last bytes."""
        self._acknowledged.release()

    def end(self) -> None:
        """Let readers and writers know that there is no other side any more."""
        self.gone.set()
        self._inbox.put(None)
        self._acknowledged.release()


class Link:
    """One connection of an adb server. serve: runs a service on a stream, in a thread of its own."""

    def __init__(
        self, connection: socket.socket, banner: bytes, *, allowed: bool, serve: Callable[[str, Stream], None]
    ) -> None:
        self._socket, self._banner, self._allowed, self._serve = connection, banner, allowed, serve
        self._reader, self._lock = connection.makefile("rb"), threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._sums = True
        self.largest = 4096

    def send(self, command: bytes, first: int = 0, second: int = 0, data: bytes = b"") -> None:
        """Send a packet. Raises LinkGoneError."""
        word = struct.unpack("<I", command)[0]
        total = sum(data) & 0xFFFFFFFF if self._sums else 0
        head = struct.pack("<6I", word, first, second, len(data), total, word ^ 0xFFFFFFFF)
        try:
            with self._lock:
                self._socket.sendall(head + data)
        except OSError as err:
            raise LinkGoneError from err

    def run(self) -> None:
        """Answer packets until the connection ends."""
        with contextlib.suppress(OSError, LinkGoneError, struct.error):
            while True:
                command, first, second, size, _, _ = struct.unpack("<4s5I", self._reader.read(24))
                self._answer(command, first, second, self._reader.read(size))
        for stream in list(self._streams.values()):
            stream.end()
        self._socket.close()

    def _answer(self, command: bytes, first: int, second: int, data: bytes) -> None:
        stream = self._streams.get(second)
        if command == b"CNXN":
            self._sums, self.largest = first < VERSION, min(second, MAX_DATA)
            self.send(
                *(
                    (b"CNXN", VERSION, MAX_DATA, self._banner)
                    if self._allowed
                    else (b"AUTH", TOKEN, 0, b"t" * 20)
                )
            )
        elif (
            command == b"AUTH" and first != PUBLIC_KEY
        ):  # its keys are unknown here; then the dialog stays open
            self.send(b"AUTH", TOKEN, 0, b"t" * 20)
        elif command == b"OPEN":
            self._open(first, data.rstrip(b"\0").decode(errors="surrogateescape"))
        elif command == b"WRTE" and stream:
            stream.take(data)
        elif command == b"OKAY" and stream:
            stream.acknowledge()
        elif command == b"CLSE" and stream:
            del self._streams[second]
            stream.end()
            self.send(b"CLSE", second, first)

    def _open(self, theirs: int, service: str) -> None:
        ours = theirs + 1_000_000
        stream = self._streams[ours] = Stream(self, ours, theirs)

        def serve() -> None:
            with contextlib.suppress(LinkGoneError):
                self.send(b"OKAY", ours, theirs)
                self._serve(service, stream)
            if self._streams.pop(ours, None):
                with contextlib.suppress(LinkGoneError):
                    self.send(b"CLSE", ours, theirs)

        threading.Thread(target=serve, daemon=True).start()
