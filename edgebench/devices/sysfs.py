"""A machine's own files under /sys and /proc, read through its shell in one round trip.

Manual: the kernel's Documentation/ABI and admin-guide. The patterns are constants of this package; what a
user names never becomes one. A file that is there and gives nothing (no permission, a sensor that is off)
is told apart from one that is absent.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgebench.errors import DeviceError

if TYPE_CHECKING:
    from edgebench.devices.transport import Transport

READ_S = 30.0
"""For one reading; a phone's dumpsys may take a second."""

# $1: the root; then how often, how many seconds between, and the patterns. `+` before one asks for all
# lines up to one of many interrupts' counts, the others for the first. `read` is the shell's own: no
# process is started for a file. $4: which lines of commands are kept.
_READ = r"""cd "$1" || exit; n=$2 pause=$3 keep=$4; shift 4; IFS=
try() {
  command -v "$1" >/dev/null || return
  "$@" </dev/null 2>/dev/null | grep -E "$keep" | while read -r v; do echo "$ $*	$v"; done
}
while :; do
  for p; do
    all=; case $p in '$'*) IFS=' '; try ${p#?}; IFS=; continue;; +*) all=y; p=${p#?};; esac
    for f in $p; do
      [ -e "$f" ] || continue
      { if [ "$all" ]; then while read -r v; do case $v in intr*) break;; esac; echo "$f	$v"; done <"$f"
        else v=; read -r v <"$f"; echo "$f	$v"; fi; } 2>/dev/null || [ "$v" ] || echo "$f	"
    done
  done
  n=$((n - 1)); echo "--"; [ $n -gt 0 ] || break; sleep "$pause"
done"""


@dataclass(frozen=True, slots=True)
class SysFiles:
    """What a machine's files held at one time. lines: by path from the root, or by `$ command`."""

    lines: Mapping[str, tuple[str, ...]]

    def text(self, path: str) -> str | None:
        """Return a file's first line, None where it is absent or gives nothing."""
        return next(iter(self.lines.get(path, ())), "") or None

    def number(self, path: str) -> int | None:
        """Return a file's whole number, None where it has none."""
        return whole(self.text(path))

    def paths(self, pattern: str) -> list[str]:
        """Return the paths that match, in the order of the numbers in them."""
        return sorted(fnmatch.filter(self.lines, pattern), key=_natural)

    def unreadable(self, pattern: str) -> bool:
        """Return whether a file of this pattern is there and gives nothing."""
        return any(self.text(path) is None for path in fnmatch.filter(self.lines, pattern))

    def why_not(self, *patterns: str) -> str:
        """Return why there is no reading of these files."""
        if any(self.unreadable(pattern) for pattern in patterns):
            return "the files are there, but give nothing to this user"
        return "this machine does not tell"


def whole(text: str | None) -> int | None:
    """Return the whole number that a text is, else None."""
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,20}", text) else None


def read_files(
    machine: Transport,
    patterns: Sequence[str],
    *,
    keep: str = ".",
    root: str = "/",
    times: int = 1,
    every_s: float = 0.0,
) -> tuple[SysFiles, ...]:
    """Return what the files of some patterns hold, read `times` times in one command.

    A pattern is a path from the root with `*`; after `+` all lines of its files are read, after `$` it is
    a command, left out where the machine has none of that name; of its lines those that `keep`, an
    expression of grep, finds. root: another tree in place of the machine's own. Raises DeviceError where
    the machine is gone.
    """
    argv = ["sh", "-c", _READ, "sh", root, str(times), f"{every_s:g}", keep, *patterns]
    done = machine.run(argv, timeout_s=READ_S + 2 * times * every_s)
    parts = f"\n{done.stdout}".replace("\r", "").replace("\0", "").split("\n--\n")
    if done.returncode != 0 or len(parts) != times + 1:
        raise DeviceError(f"{machine.uri}: its shell does not read /sys as a POSIX shell does")
    return tuple(SysFiles(_lines(part)) for part in parts[:times])


def _lines(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for path, value in _pairs(text):
        found.setdefault(path, []).append(value.strip())
    return {path: tuple(values) for path, values in found.items()}


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        path, tab, value = line.partition("\t")
        if tab:
            yield path, value


def _natural(path: str) -> list[tuple[bool, int, str]]:
    """Return a key under which cpu2 comes before cpu10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", path)]
