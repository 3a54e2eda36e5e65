"""Settings of a machine that a measurement may change for its time, and the scripts that do and undo it.

The journal is a file on the machine: a line `kind<TAB>name<TAB>former value` for each setting, on disk
before the first one is changed and removed when all are back. Manuals: the kernel's admin-guide/pm/cpufreq;
NVIDIA's Jetson Linux guide for nvpmodel and jetson_clocks; Android's `settings`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgebench.devices.sysfs import SysFiles

POLICIES = "sys/devices/system/cpu/cpufreq/policy*"
_CLOCKS = "$ command -v jetson_clocks"
MODE_PATTERNS = ("$ sudo -n nvpmodel -q", "$ nvpmodel -q")
"""A Jetson's power mode, as root is told it, or else this user."""
_AWAKE = "stay_on_while_plugged_in"
_STAY_AWAKE = f"$ settings get global {_AWAKE}"
_ANY_POWER = "7"  # charger, USB, wireless: the sum of their bits
PATTERNS = (
    f"{POLICIES}/scaling_governor",
    f"{POLICIES}/scaling_available_governors",
    f"{POLICIES}/affected_cpus",
    _CLOCKS,
    _STAY_AWAKE,
)


class Kind(enum.StrEnum):
    """How a setting is read and written."""

    FILE = "file"
    MODE = "mode"
    CLOCKS = "clocks"
    GLOBAL = "global"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. name: a path from the root, or its tool's name for it. what: for people."""

    kind: Kind
    name: str
    former: str
    wanted: str
    what: str

    def __str__(self) -> str:
        return f"{self.what} {self.wanted} (was {self.former})"


def wanted_settings(files: SysFiles, *, power_mode: int | None = None) -> tuple[Setting, ...]:
    """Return what is to be changed on a machine: what is as it should be already is left out.

    power_mode: the number of a Jetson's mode; it comes first, for it decides what the others may be. Where
    the machine does not tell its mode it stays as it is, for it could not be put back.
    """
    found = []
    former = known_mode(files)
    if power_mode is not None and former not in ("", str(power_mode)):
        found.append(Setting(Kind.MODE, "nvpmodel", former, str(power_mode), "power mode"))
    if files.text(_CLOCKS):  # before the governors, for it keeps what it finds of them
        found.append(Setting(Kind.CLOCKS, "jetson_clocks", "as it was", "at its highest", "Jetson's clock"))
    for path in files.paths(f"{POLICIES}/scaling_governor"):
        policy, governor = path.rpartition("/")[0], files.text(path)
        offered = (files.text(f"{policy}/scaling_available_governors") or "").split()
        if governor is not None and governor != "performance" and "performance" in offered:
            cores = files.text(f"{policy}/affected_cpus") or policy.rpartition("/")[2]
            what = f"governor of cores {cores.replace(' ', ',')}"
            found.append(Setting(Kind.FILE, path, governor, "performance", what))
    awake = files.text(_STAY_AWAKE)
    if awake is not None and awake != _ANY_POWER:
        found.append(Setting(Kind.GLOBAL, _AWAKE, awake, _ANY_POWER, "stay awake while plugged in"))
    return tuple(found)


def known_mode(files: SysFiles) -> str:
    """Return the number of a Jetson's power mode; empty where the machine does not tell it.

    nvpmodel prints it in a line of its own, and errors after it where the user is not root.
    """
    told = (line for pattern in MODE_PATTERNS for line in reversed(files.lines.get(pattern, ())))
    return next((line for line in told if line.isdigit()), "")


# What both scripts know: `set_one kind name value` writes one setting, by sudo where this user may not and
# sudo asks for nothing. $store: where jetson_clocks keeps what it found.
_SET = r"""PATH=$PATH:/usr/sbin:/sbin:/system/bin
put() { { echo "$2" >"$1"; } 2>/dev/null || echo "$2" | sudo -n tee "$1" >/dev/null 2>&1; }
mode() { { sudo -n nvpmodel -q || nvpmodel -q; } </dev/null 2>/dev/null | grep -x '[0-9][0-9]*' | tail -n 1; }
root_run() { "$@" </dev/null >/dev/null 2>&1 || sudo -n "$@" </dev/null >/dev/null 2>&1; }
set_one() {
  case $1 in
    file) put "$2" "$3" && [ "$(cat "$2")" = "$3" ];;
    mode) root_run nvpmodel -m "$3" && [ "$(mode)" = "$3" ];;
    global) if [ "$3" = null ]; then settings delete global "$2" >/dev/null
      else settings put global "$2" "$3"; fi </dev/null;;
    clocks) if [ "$4" ]; then # it asks before it writes over a file, and gets no answer here
        rm -f "$store"; root_run jetson_clocks --store "$store" && root_run jetson_clocks
      elif [ -f "$store" ]; then root_run jetson_clocks --restore "$store" && rm -f "$store"; fi;;
  esac
}
"""

RESTORE = (
    _SET
    + r"""journal=$2; store=$journal.clocks; [ "$3" ] && cat >/dev/null
cd "$1" && [ -f "$journal" ] || exit 0
failed=; tab='	'
while IFS="$tab" read -r kind name former; do
  if set_one "$kind" "$name" "$former" ''; then echo "back$tab$name"; else failed=y; echo "left$tab$name"; fi
done <"$journal"
[ "$failed" ] || rm -f "$journal"
"""
)
"""$1 the root, $2 the journal, $3 not empty: only after the end of standard input."""

# $1 the root, $2 the journal, $3 the restoring script, then kind, name, former and wanted value of each. The
# restorer stands in a session of its own and waits at the end of a pipe: whatever ends this script, and with
# it the pipe, has it put everything back.
HOLD = (
    _SET
    + r"""root=$1 journal=$2 restore=$3; shift 3; store=$journal.clocks; tab='	'
mkdir -p "${journal%/*}" && cd "$root" || exit
record() { while [ $# -ge 4 ]; do echo "$1$tab$2$tab$3"; shift 4; done; }
record "$@" >"$journal.part" && sync && mv -f "$journal.part" "$journal" || exit
exec 5>&1
{ while [ $# -ge 4 ]; do
    if set_one "$1" "$2" "$4" y; then echo "set$tab$2" >&5; else echo "not$tab$2" >&5; fi; shift 4
  done
  echo prepared >&5; exec 5>&-; cat 2>&1 >/dev/null # its standard error keeps the pipe open
} | $(command -v setsid) sh -c "$restore" sh "$root" "$journal" wait >/dev/null 2>&1 5>&-
"""
)
