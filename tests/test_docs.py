"""The documentation says what the program does: verbs, options, gates, schema, links."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgebench import api
from edgebench.artifact import Format, Precision
from edgebench.benchmark.evidence import Span
from edgebench.benchmark.importers import IMPORTERS
from edgebench.benchmark.statistics import needed_calls
from edgebench.cli import READER_GONE, VERBS, cli
from edgebench.config import read_yaml
from edgebench.dataset_readers import CLASS_NAMES, LABEL_NAMES
from edgebench.errors import EdgebenchError
from edgebench.options import parse_preprocessing
from edgebench.pipeline_file import pipeline_schema
from edgebench.reports.gate_files import gates_from_config
from edgebench.reports.gate_words import DEFAULT_GATES, parse_gate
from edgebench.reports.quantities import QUANTILES, Quantity
from edgebench.reports.units import UNITS, unit_text
from edgebench.reports.verdict import Answer, Decision

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
NOT_YET = {DOCS / "images" / "report.png"}
"""Made by the demo's run and looked at before it is added; checked once it is there."""


def text(name: str) -> str:
    """Return a page's text."""
    return (DOCS / name).read_text(encoding="utf-8")


def table(page: str, head: str) -> list[list[str]]:
    """Return the rows of the table whose header begins with `head`, as cells."""
    lines = page.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {head}"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows


# --- command line -------------------------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every verb with each of its commands."""
    context = click.Context(cli)
    for verb in VERBS:
        command = cli.get_command(context, verb)
        assert command is not None
        yield verb, command
        if isinstance(command, click.Group):
            yield from ((verb, sub) for sub in command.commands.values())


def chapter(verb: str) -> str:
    """Return the chapter of a verb in docs/cli.md."""
    found = re.search(rf"^## edgebench {verb}$(.*?)(?=^## |\Z)", text("cli.md"), re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/cli.md has no chapter on {verb}"
    return found[1]


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_stands_in_its_verbs_chapter(verb: str) -> None:
    """Each verb has a chapter, and each of its options and arguments stands in that chapter."""
    told = chapter(verb).lower()
    for owner, command in commands():
        for parameter in command.params if owner == verb else ():
            plain = (parameter.metavar or parameter.name or "").lower().strip("[].s")
            assert (parameter.opts[-1] if isinstance(parameter, click.Option) else plain) in told


def test_every_option_that_stands_in_a_chapter_exists() -> None:
    """No chapter tells of an option that its verb does not have."""
    for verb in VERBS:
        known = {opt for owner, c in commands() if owner == verb for p in c.params for opt in p.opts}
        told = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", chapter(verb)))
        assert told <= known | {"--help"}, verb


def test_every_default_in_the_docs_is_the_programs() -> None:
    """A value that docs/cli.md writes behind an option is the option's default, where it has one."""
    defaults = {opt: p.default for _, c in commands() for p in c.params for opt in p.opts}
    for option, value in re.findall(r"`(--[a-z-]+) ([\w:.,]+)`", text("cli.md")):
        default = defaults[option]
        if isinstance(default, int | str | Path) and not isinstance(default, bool) and not value.isupper():
            assert str(default) == value, option


def test_exit_codes_stand_in_the_docs() -> None:
    """Every exit code of a decision, an error, an interruption and a broken pipe is in the table."""
    told = {int(row[0]) for row in table(text("cli.md"), "exit code")}
    kinds = [EdgebenchError, *EdgebenchError.__subclasses__()]
    codes = {decision.exit_code for decision in Decision} | {kind.exit_code for kind in kinds}
    assert told == codes | {130, READER_GONE}


def test_the_readme_names_every_verb() -> None:
    """Each verb stands in the README's tour."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if not re.search(rf"`(edgebench )?{verb}\b", readme)] == []


def test_every_tool_whose_logs_are_read_stands_in_the_docs() -> None:
    """Each importer's name is in the help of --format and in its chapter, and its tool on the page."""
    verb = next(command for name, command in commands() if name == "import")
    (told,) = [parameter.help for parameter in verb.params if parameter.name == "log_format"]
    assert re.findall(r"[\w-]+(?=[,.])", told.split("[default")[0]) == sorted(IMPORTERS, key=told.index)
    assert [tool for tool in IMPORTERS if f"`{tool}`" not in chapter("import")] == []
    page = text("import.md").lower().replace(" ", "-")
    assert [tool for tool in IMPORTERS if tool not in page] == []


def test_every_span_stands_in_the_docs() -> None:
    """What `--span` takes is what its help and its chapter say."""
    assert [span for span in Span if f"`{span}`" not in chapter("import")] == []


# --- gates --------------------------------------------------------------------------------------


def test_every_quantity_stands_in_the_table_as_it_is() -> None:
    """Each quantity with its meaning, its direction and all its units; and no other."""
    rows = table(text("gates.md"), "quantity")
    assert [row[0] for row in rows] == [f"`{quantity}`" for quantity in Quantity]
    for (_, meaning, direction, units), quantity in zip(rows, Quantity, strict=True):
        assert meaning == quantity.meaning
        assert direction == ("at least" if quantity.more_is_better else "at most")
        told = set(re.findall(r"[^\s,()]+", units)) - {"or"}
        valid = set(UNITS[quantity.dimension]) - {""}
        assert told <= valid
        assert {unit_text(unit) for unit in valid} - {unit_text(unit) for unit in told} <= {"KB"}


def test_the_numbers_of_calls_are_the_programs() -> None:
    """What docs/gates.md says a percentile needs is what it needs."""
    for row in table(text("gates.md"), "confidence"):
        confidence = float(row[0].removesuffix(" %")) / 100
        assert [int(cell) for cell in row[1:]] == [needed_calls(q, confidence) for q in QUANTILES.values()]


def test_every_gate_in_the_docs_is_read() -> None:
    """Each example line parses, the checklist is the default, and the YAML is a list of gates."""
    page = text("gates.md")
    lines = [line.strip() for line in page.split("## Quantities")[0].splitlines() if line.startswith("    ")]
    assert len(lines) == 4
    gates = [parse_gate(line) for line in lines]
    assert tuple(gates[:3]) == DEFAULT_GATES[:3]
    for example in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL):
        data, _ = read_yaml(example, name="docs/gates.md")
        found = gates_from_config(data["gates"])
        assert str(found[-1]) == "drop <= 1pp @99% on tflite"
        assert found[:3] == DEFAULT_GATES[:3]


def test_answers_and_decisions_stand_in_the_docs() -> None:
    """Each answer, each decision with its exit code, and what `on` takes."""
    page = text("gates.md")
    assert [row[0] for row in table(page, "answer")] == list(Answer)
    assert {row[0]: int(row[1]) for row in table(page, "decision")} == {d: d.exit_code for d in Decision}
    named = {*Precision, *Format} - {Precision.UNKNOWN}
    assert [name for name in named if f"`{name}`" not in page] == []


# --- data and pipeline --------------------------------------------------------------------------


def test_the_names_of_labels_stand_in_the_docs() -> None:
    """The arrays that are taken for labels and for names of classes are told."""
    assert [name for name in (*LABEL_NAMES, CLASS_NAMES[0]) if f"`{name}`" not in text("data.md")] == []


def test_the_published_schema_is_the_one_in_force() -> None:
    """docs/pipeline.schema.json is, value for value, what `edgebench init --schema` prints."""
    published = json.loads(text("pipeline.schema.json"))
    assert published == json.loads(json.dumps(pipeline_schema()))
    assert published == json.loads(json.dumps(api.pipeline_schema()))


def test_the_inline_preprocessing_of_the_docs_is_read() -> None:
    """What docs/data.md shows for `--preprocessing` parses."""
    (example,) = re.findall(r"--preprocessing '(.*?)'", text("data.md"))
    assert parse_preprocessing(example).scale == pytest.approx(1 / 255, rel=1e-3)
    block = re.search(r"    preprocessing:\n((?:      .*\n)+)", text("data.md"))
    assert block is not None
    assert parse_preprocessing(block[1]).resize == (224, 224)


# --- links --------------------------------------------------------------------------------------


def links(path: Path) -> list[tuple[str, str]]:
    """Return the relative links of a page: target and anchor."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    relative = [target for target in targets if not re.match(r"[a-z]+:", target)]
    return [(target.partition("#")[0], target.partition("#")[2]) for target in relative]


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """Each link of README and docs to a file or a heading has its target."""
    for target, anchor in links(page):
        path = (page.parent / target).resolve() if target else page
        if path in NOT_YET and not path.exists():
            continue
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_the_pages_exist(page: Path) -> None:
    """A path of this project that a page names in code is there."""
    named = re.findall(
        r"`((?:edgebench|docs|benchmarks|examples|tests)/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8")
    )
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_page_stands_in_the_contents() -> None:
    """Each page of docs/ is in the table of contents, and the contents name no other."""
    listed = re.search(r"\n\n([\w/\n]+)```", text("index.md"))
    assert listed is not None
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.glob("*.md")} - {"index"}
    assert set(listed[1].split()) == pages | {"decisions/index"}


# --- the build ----------------------------------------------------------------------------------


def test_the_docs_build_without_a_warning(tmp_path: Path) -> None:
    """Sphinx builds the pages with warnings as errors, as `make docs` does."""
    pytest.importorskip("myst_parser", reason="the docs' tools are missing: make docs installs them")
    argv = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        str(DOCS),
        str(tmp_path),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    built = (tmp_path / "gates.html").read_text(encoding="utf-8")
    assert "shrink" in built
    assert (tmp_path / "pipeline.schema.json").exists()


def test_every_benchmark_is_listed() -> None:
    """The page of benchmarks names each script that has goals, and no other."""
    scripts = {
        path.name
        for path in (ROOT / "benchmarks").glob("*.py")
        if "arguments(__doc__)" in path.read_text(encoding="utf-8")
    }
    listed = {row[0].strip("`") for row in table(text("benchmarks.md"), "script")}
    assert listed == scripts
