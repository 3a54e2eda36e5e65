"""A TCP relay on loopback that a test cuts, at once or after so many bytes, as a cable is pulled."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator


class Relay:
    """Forwards connections to a port. port: where it listens. bytes_per_s: its speed, None for no limit."""

    def __init__(self, target: int) -> None:
        self._target, self._lock = target, threading.Lock()
        self._open: set[socket.socket] = set()
        self._left: int | None = None
        self.bytes_per_s: float | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection off, without the ordinary end of one; later ones are served again."""
        with self._lock:
            self._left = None
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
            self._open.clear()

    def cut_after(self, count: int) -> None:
        """Break all connections off once `count` more bytes have passed, in either direction."""
        with self._lock:
            self._left = count

    def left(self) -> int:
        """Return how many bytes may still pass before the cut that was asked for; 0 where none was."""
        with self._lock:
            return self._left or 0

    def close(self) -> None:
        """Take no more connections and cut those that are open."""
        with contextlib.suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)  # else the waiting accept takes one more
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                for end in (near, far):  # a cable keeps nothing back until an answer comes
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, sink), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                # Linux alone has it: what has come is acknowledged at once, as where no relay is between.
                if hasattr(socket, "TCP_QUICKACK"):
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                if self.bytes_per_s is not None:
                    time.sleep(len(data) / self.bytes_per_s)
                if self._spent(len(data)):
                    self.cut()
                    return
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _spent(self, count: int) -> bool:
        with self._lock:
            if self._left is None:
                return False
            self._left -= count
            return self._left < 0


@contextlib.contextmanager
def relay(target: int) -> Iterator[Relay]:
    """Yield a relay to a port of this machine."""
    made = Relay(target)
    try:
        yield made
    finally:
        made.close()
