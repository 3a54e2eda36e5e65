"""The conductor: starts an agent per artifact on the device, and lets them time their calls in turn.

    python conductor.py job.json

Standard library only, Python 3.8 or later. All agents live at the same
time, each with its model loaded and warm, and one at a time has the turn: the others wait in a read, and so
does the conductor. Round after round each agent that has calls left times one block of them, in an order
drawn anew. What the machine does meanwhile therefore meets all of them alike.

A job is JSON: schema 1, command (which stands before the path of an agent's job), jobs (those paths, mode
`turns`), results (where they say that theirs go; older ones are removed), calls (of each), seed (a string:
the same gives the same orders), turn_s (a turn that takes longer is ended), result.

The result is JSON, written whole or not at all: schema, block_calls, together (whether all were there at
the same time), cpu_s (what all took of the processor), and `agents`, for each one: status (as a shell has
it, null where it was ended for its turn_s), avoid (why LiteRT's CompiledModel was not used in the end, else
null), said (its last words).

All models are in memory at the same time. Where that is more than the device has, which shows in an agent
that says so or is killed, they are taken one after the other, and `together` is false.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Dict, List, Optional, Sequence, Tuple

SCHEMA = 1
PR_SET_PDEATHSIG = 1
BLOCK_NS = 10000000
"""A block of the slowest artifact's calls is to take about so long: shorter than what disturbs a machine."""
FEWEST_BLOCKS, MOST_BLOCKS = 10, 40
"""Of a session: fewer pair too little, and each costs the cold calls at its beginning."""
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)


class ShortOfMemoryError(Exception):
    """The agents do not fit into the device's memory together."""


class Agent:
    """One agent's process, seen from here."""

    def __init__(self, job: Dict[str, Any], path: str, avoid: Optional[str] = None) -> None:
        self.path, self.avoid, self.left = path, avoid, int(job["calls"])
        self.hung, self.short_of_memory = False, False
        self._limit_s, self._read, self._said = float(job["turn_s"]), b"", path + ".said"
        with open(self._said, "wb") as said:
            self._process = subprocess.Popen(
                [*job["command"], path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
            )

    def ask(self, order: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Give an order and return its answer, None where there is none."""
        return self.hear() if self._tell(order) else None

    def hear(self) -> Optional[Dict[str, Any]]:
        """Return the agent's next answer, waited for without spinning; None where it ended or hung."""
        until, source = time.monotonic() + self._limit_s, self._process.stdout
        while b"\n" not in self._read:
            if source is None:
                return None
            if not select.select([source], [], [], max(0.0, until - time.monotonic()))[0]:
                self.hung = True
                self.kill()
                return None
            more = os.read(source.fileno(), 65536)
            if not more:
                return None
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        answer = json.loads(line)  # type: Dict[str, Any]
        self.short_of_memory = answer.get("kind") == "memory"
        return None if "error" in answer else answer

    def finish(self) -> None:
        """Let the agent write its result and end."""
        self._tell({"end": True})
        self.status()

    def status(self) -> int:
        """Return the exit status as a shell has it, when the agent has ended; it ends with its input."""
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            status = self._process.wait(self._limit_s)
        except subprocess.TimeoutExpired:
            self.hung = True
            self.kill()
            status = self._process.returncode
        return status if status >= 0 else 128 - status

    def lacked_memory(self) -> bool:
        """Return whether the agent, which has ended, did so for want of memory."""
        return self.short_of_memory or (not self.hung and self.status() == 128 + signal.SIGKILL)

    def kill(self) -> None:
        """End the agent, if it is still there."""
        self._process.kill()
        self._process.wait()

    def outcome(self) -> Dict[str, Any]:
        """Return how the agent ended, for the result."""
        status = self.status()
        with open(self._said, "rb") as stream:
            said = stream.read()[-2000:].decode(errors="replace")
        return {"status": None if self.hung else status, "avoid": self.avoid, "said": said}

    def _tell(self, order: Dict[str, Any]) -> bool:
        stream = self._process.stdin
        if stream is None:
            return False
        try:
            stream.write(json.dumps(order).encode() + b"\n")
            stream.flush()
        except OSError:
            return False
        return True


def conduct(job: Dict[str, Any]) -> Dict[str, Any]:
    """Return the result: all agents in turn, or one after the other where memory is short."""
    together = True
    try:
        outcomes, block_calls = perform(job, job["jobs"])
    except ShortOfMemoryError:
        together = False
        alone = [perform(job, [path]) for path in job["jobs"]]
        outcomes, block_calls = [found[0] for found, _ in alone], min(calls for _, calls in alone)
    cpu_s = time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    told = {"schema": SCHEMA, "together": together, "block_calls": block_calls, "cpu_s": cpu_s}
    return dict(told, agents=outcomes)


def perform(job: Dict[str, Any], paths: Sequence[str]) -> Tuple[List[Dict[str, Any]], int]:
    """Return the outcomes of agents that live at the same time, in the order of `paths`, and a block's calls.

    Raises ShortOfMemoryError where they do not fit together.
    """
    order, agents, playing, slowest_ns = random.Random(job["seed"]), {}, [], 1
    try:
        for path in order.sample(list(paths), len(paths)):
            agents[path], ready = prepared(job, path)
            if ready is not None:
                playing.append(agents[path])
                slowest_ns = max(slowest_ns, int(ready["median_ns"]))
            elif len(paths) > 1 and agents[path].lacked_memory():
                raise ShortOfMemoryError
        calls = calls_per_block(int(job["calls"]), slowest_ns)
        lost = play(playing, order, calls)
        if len(paths) > 1 and any(agent.lacked_memory() for agent in lost):
            raise ShortOfMemoryError
        for agent in playing:
            if agent not in lost:
                agent.finish()
        return [agents[path].outcome() for path in paths], calls
    finally:
        for agent in agents.values():
            agent.kill()


def prepared(job: Dict[str, Any], path: str) -> Tuple[Agent, Optional[Dict[str, Any]]]:
    """Return an agent with its model loaded and warm, and what it said then: None where it has ended.

    A model that crashes LiteRT's CompiledModel is loaded once more, into its Interpreter.
    """
    agent = Agent(job, path)
    ready = agent.hear()
    if ready is not None or agent.hung or agent.status() - 128 not in CRASHES:
        return agent, ready
    with open(path, encoding="utf-8") as stream:
        asked = json.load(stream)
    if asked["runtime"] != "litert" or asked.get("avoid"):
        return agent, ready
    crash = "CompiledModel ended by %s" % signal.Signals(agent.status() - 128).name
    with open(path + ".again", "w", encoding="utf-8") as stream:
        json.dump(dict(asked, avoid=crash), stream)
    again = Agent(job, path + ".again", crash)
    return again, again.hear()


def calls_per_block(calls: int, slowest_ns: int) -> int:
    """Return how many calls a block has, of `calls` in all, where the slowest artifact's takes so long."""
    most = max(calls // FEWEST_BLOCKS, 1)
    return min(max(BLOCK_NS // slowest_ns, calls // MOST_BLOCKS, 1), most)


def play(agents: Sequence[Agent], order: random.Random, calls: int) -> List[Agent]:
    """Let the agents time their blocks, round after round, each until it has its calls or its time is spent.

    Return those that ended on the way.
    """
    playing, lost, block, turn = list(agents), [], 0, 0  # type: List[Agent], List[Agent], int, int
    while playing:
        for agent in order.sample(playing, len(playing)):
            asked = {"block": block, "turn": turn, "calls": min(calls, agent.left)}
            answer = agent.ask(asked)
            turn += 1
            if answer is None:
                lost.append(agent)
            else:
                agent.left -= int(answer["calls"])
            if answer is None or agent.left < 1 or answer["spent"]:
                playing.remove(agent)
        block += 1
    return lost


def write(path: str, result: Dict[str, Any]) -> None:
    """Write the result whole or not at all."""
    temporary = "%s.%d.part" % (path, os.getpid())
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(result, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def end_with_host() -> None:
    """End this process, and by that the agents, when the host's or the link's end closes standard input."""
    with suppress(OSError, AttributeError):  # not Linux: standard input remains
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os._exit(125)

    threading.Thread(target=watch, daemon=True).start()


def main(argv: List[str]) -> int:
    """Conduct the job that argv names and return the exit status."""
    end_with_host()
    with open(argv[1], encoding="utf-8") as stream:
        job = json.load(stream)
    try:
        for path in [*job["results"], job["result"]]:
            with suppress(FileNotFoundError):
                os.unlink(path)
        write(job["result"], conduct(job))
    except OSError as err:
        print("storage: %s: %s" % (err.filename or job["result"], err.strerror or err), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
