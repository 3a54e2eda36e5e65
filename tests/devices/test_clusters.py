"""Clusters of cores, as kernels tell them, and the cores that a benchmark is bound to."""

from __future__ import annotations

from pathlib import Path

import pytest
from devices.sys_trees import cores, jetson_orin, phone, pi_5, write

from edgebench.benchmark.placement import check_cores, chosen_cores, placement_note
from edgebench.devices.clusters import core_list, core_text, read_clusters, with_clusters
from edgebench.devices.local import LocalDevice
from edgebench.errors import ConfigError


def _chosen(root: Path, name: str, threads: int = 1) -> tuple[int, ...]:
    return chosen_cores(LocalDevice(), name, threads, root=str(root))


def test_a_phones_clusters_are_found(tmp_path: Path) -> None:
    """Four little, three middle and one big core, by their capacity."""
    found = read_clusters(LocalDevice(), root=str(phone(tmp_path)))
    assert [str(cluster) for cluster in found] == ["little 0-3", "mid 4-6", "big 7"]
    assert [_chosen(tmp_path, name) for name in ("little", "mid", "big")] == [(0, 1, 2, 3), (4, 5, 6), (7,)]


def test_clusters_are_among_the_facts(tmp_path: Path) -> None:
    """A machine with cores of several kinds has them in its facts; one with cores of one kind does not."""
    facts = LocalDevice().facts()
    found = with_clusters(facts, LocalDevice(), root=str(phone(tmp_path / "phone")))
    assert found.extra["clusters"] == "little 0-3, mid 4-6, big 7"
    assert with_clusters(facts, LocalDevice(), root=str(pi_5(tmp_path / "pi"))) == facts


def test_clocks_tell_where_capacities_do_not(tmp_path: Path) -> None:
    """Cores of 1.8 and 2.3 GHz are two kinds; favoured cores some per cent faster are not a third."""
    cores(tmp_path, {0: 1_800_000, 1: 1_800_000, 2: 2_300_000, 3: 2_400_000}, governor="schedutil")
    assert _chosen(tmp_path, "big") == (2, 3)


def test_hybrid_processors_say_it_themselves(tmp_path: Path) -> None:
    """An x86 processor with cores of two kinds lists them, whatever their clocks."""
    cores(tmp_path, dict.fromkeys(range(8), 4_000_000), governor="powersave")
    write(tmp_path, {"sys/devices/cpu_core/cpus": "0-3", "sys/devices/cpu_atom/cpus": "4-7"})
    assert (_chosen(tmp_path, "big"), _chosen(tmp_path, "little")) == ((0, 1, 2, 3), (4, 5, 6, 7))


def test_cores_that_are_off_are_left_out(tmp_path: Path) -> None:
    """A core that a power mode has switched off is not bound to."""
    write(phone(tmp_path), {"sys/devices/system/cpu/online": "0-1,4-7"})
    assert _chosen(tmp_path, "little") == (0, 1)


@pytest.mark.parametrize("machine", [pi_5, jetson_orin])
def test_cores_of_one_kind_have_no_big_ones(tmp_path: Path, machine: object) -> None:
    """A Pi and an Orin have cores of one kind: asked for big ones, they say so."""
    machine(tmp_path)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="has no big cores") as refused:
        _chosen(tmp_path, "big")
    assert "all of its cores are of one kind" in str(refused.value.hint)


def test_a_machine_that_tells_nothing_has_no_clusters(tmp_path: Path) -> None:
    """Without capacities and clocks nothing is guessed."""
    with pytest.raises(ConfigError) as refused:
        _chosen(tmp_path, "little")
    assert "it does not tell" in str(refused.value.hint)


def test_the_clusters_there_are_named(tmp_path: Path) -> None:
    """Asked for a cluster that is not there, the message lists those that are."""
    cores(tmp_path, {0: 1_000_000, 1: 2_000_000}, governor="schedutil")
    with pytest.raises(ConfigError) as refused:
        _chosen(tmp_path, "mid")
    assert "little 0, big 1" in str(refused.value.hint)


def test_threads_must_fit(tmp_path: Path) -> None:
    """Two threads on a cluster of one core are refused, naming the core."""
    with pytest.raises(ConfigError, match="2 threads do not fit on big, cores 7"):
        _chosen(phone(tmp_path), "big", threads=2)


def test_named_cores_ask_the_machine_nothing(tmp_path: Path) -> None:
    """A list of cores is taken as it is, and a cluster's name is said with what it stood for."""
    assert _chosen(tmp_path, "0,2-3") == (0, 2, 3)
    assert placement_note("0,2-3", (0, 2, 3)) == ()
    assert placement_note("big", (4, 5, 7)) == ("cores big: 4-5,7",)


@pytest.mark.parametrize("text", ["huge", "big,little", "", "3-1"])
def test_what_is_no_core_is_refused_before_anything_runs(text: str) -> None:
    """A name of no cluster, or two, is the user's mistake."""
    with pytest.raises(ConfigError, match="cores"):
        check_cores(text)


@pytest.mark.parametrize(("text", "listed"), [("0-3,7", (0, 1, 2, 3, 7)), ("5", (5,)), ("", ()), ("x-1", ())])
def test_the_kernels_lists_are_read(text: str, listed: tuple[int, ...]) -> None:
    """The kernel's lists are read and written; what is none gives no cores."""
    assert core_list(text) == listed
    assert core_list(core_text(listed)) == listed
