"""YAML files as records."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from edgebench.config import load_config, parse_config
from edgebench.errors import ConfigError
from edgebench.pipeline_file import Pipeline, load_pipeline, pipeline_schema, starter

HEAD = "schema_version: 1\nname: a\nmodel: {model: m.onnx}\n"


def parse(text: str, *overrides: str) -> Pipeline:
    """Return the pipeline that YAML text describes."""
    return parse_config(text, Pipeline, name="p.yaml", overrides=overrides)


def test_the_starter_file_parses_as_it_stands() -> None:
    """`edgebench init` writes a file that is a valid pipeline."""
    pipeline = parse(starter("p.yaml"))
    assert pipeline.name == "my-model"
    assert len(pipeline.gates) == 4


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        (HEAD + "exprot: {}\n", "p.yaml:4: unknown key `exprot`", "did you mean `export`?"),
        (
            HEAD + "export:\n  precision: [fp32]\n",
            "p.yaml:5: unknown key `precision`",
            "did you mean `precisions`?",
        ),
        (
            HEAD + "gates:\n  - p99 <= 5ms\n  - {gte: x}\n",
            "p.yaml:6: unknown key `gte`",
            "did you mean `gate`?",
        ),
        (
            HEAD + "export: {precisions: [int9]}\n",
            "p.yaml:4: Invalid enum value 'int9'",
            "valid values: fp32, fp16",
        ),
        (HEAD + "benchmark:\n  calls: many\n", "p.yaml:5: Expected `int`, got `str`", ""),
        (
            HEAD + "data:\n  preprocessing:\n    zzz: 1\n",
            "p.yaml:6: unknown key `zzz`",
            "valid keys here: resize",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_nearest_key(text: str, place: str, hint: str) -> None:
    """Each mistake in YAML names its line, its key, and what was probably meant."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.message.startswith(place)
    assert hint in (caught.value.hint or "")


def test_a_repeated_key_is_an_error() -> None:
    """A key given twice is refused, naming both lines, instead of the last one winning."""
    with pytest.raises(ConfigError, match=r"p.yaml:4: key `name` is already given in line 2"):
        parse(HEAD + "name: b\n")


@pytest.mark.parametrize(
    "text", ["", "just words", "a: [", "a: \x00", "- 1\n- !!python/object/apply:os.system [id]\n"]
)
def test_what_is_no_pipeline_is_one_clear_error(text: str) -> None:
    """Empty files, plain words, broken YAML and Python tags end in a ConfigError."""
    with pytest.raises(ConfigError, match=r"p\.yaml"):
        parse(text)


def test_dotted_overrides_win_over_the_file() -> None:
    """`benchmark.sessions=5` replaces the file's value, and adds sections that it lacks."""
    pipeline = parse(HEAD, "benchmark.sessions=5", "export.precisions=[fp32, fp16]")
    assert pipeline.benchmark.sessions == 5
    assert [p.value for p in pipeline.export.precisions] == ["fp32", "fp16"]


@pytest.mark.parametrize(
    "override", ["nonsense", "=3", "benchmark.sesions=5", "name.x=1", "benchmark.calls=["]
)
def test_a_wrong_override_is_refused(override: str) -> None:
    """An override without a value, with an unknown key or through a plain value is a ConfigError."""
    with pytest.raises(ConfigError):
        parse(HEAD, override)


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        (HEAD, "benchmark.calls=many", "override 'benchmark.calls=many': Expected `int`, got `str`"),
        (HEAD, "benhcmark.calls=3", "override 'benhcmark.calls=3': unknown key `benhcmark`"),
        (HEAD + "benchmark: {calls: 9}\n", "benchmark.calls=", "override 'benchmark.calls=': Expected `int`"),
        (HEAD + "benchmark:\n  calls: x\n", "name=b", "p.yaml:5: Expected `int`, got `str`"),
        ("- a\n", "name=b", "override 'name=b': p.yaml holds no keys"),
        (HEAD, "name.x=1", "override 'name.x=1': `name` holds no keys"),
        (HEAD, "a..b=1", "has not the form key.key=value"),
        (HEAD, "benchmark.calls=[", "the value is not valid YAML"),
        (HEAD, "seed=" + "[" * 3000, "the value is not valid YAML"),
    ],
)
def test_a_mistake_in_an_override_names_the_override(text: str, override: str, message: str) -> None:
    """What an override breaks is blamed on it and not on a line of the file, and the other way round."""
    with pytest.raises(ConfigError) as caught:
        parse(text, override)
    assert message in caught.value.message


def test_on_and_off_are_words_in_overrides_too() -> None:
    """As in the file, only true and false are booleans."""
    assert parse(HEAD, "name=on").name == "on"
    assert parse(HEAD, "name=no").name == "no"


def test_aliases_and_merge_keys() -> None:
    """What an alias repeats and a merge key brings in counts as written there."""
    pipeline = parse(HEAD + "gates:\n  - &g {gate: size <= 1MB}\n  - *g\nbenchmark:\n  <<: {calls: 5}\n")
    assert len(pipeline.gates) == 2
    assert pipeline.benchmark.calls == 5


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefghijkl")
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "seed: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        (HEAD + "gates: &a [*a]\n", "p.yaml:4"),
        (HEAD + "zzz: &a {b: *a}\n", "p.yaml:4: unknown key `zzz`"),
        (HEAD + BOMB, "p.yaml:4: unknown key `a`"),
        (HEAD + BOMB.replace("a:", "gates:", 1), "p.yaml:5: unknown key `b`"),
        (HEAD + "1: x\n", "p.yaml:4: unknown key `1`"),
        (HEAD + "? [a]\n: b\n", "p.yaml:4: not valid YAML"),
    ],
)
def test_hostile_yaml_is_one_quick_error(text: str, message: str) -> None:
    """Deep nesting, aliases of themselves, a billion laughs and odd keys neither hang nor crash."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("benchmark.calls=0", "`benchmark.calls` must be at least 1"),
        ("export.formats=[]", "`export.formats` must name at least one format"),
        ("compress.prune.sparsity=1.0", "`compress.prune.sparsity` must be 0 or more"),
        ("schema_version=99", "schema_version 99 is not known"),
        ("name=' '", "`name` must not be empty"),
    ],
)
def test_a_value_out_of_range_names_its_key(tmp_path: Path, override: str, message: str) -> None:
    """Values of the right type that make no sense are refused by key."""
    path = tmp_path / "p.yaml"
    path.write_text(HEAD)
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path, (override,))
    assert message in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    """A pipeline file that is not there is named, with the command that writes one."""
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.yaml", Pipeline)


def test_the_published_schema_is_the_one_in_force() -> None:
    """docs/pipeline.schema.json is what `edgebench init --schema` prints."""
    import json

    published = Path(__file__).parents[1] / "docs" / "pipeline.schema.json"
    assert json.loads(published.read_text()) == json.loads(json.dumps(pipeline_schema()))


def test_the_schema_accepts_the_starter_and_refuses_unknown_keys() -> None:
    """The JSON Schema agrees with the parser on a good file and on a misspelt key."""
    import jsonschema
    import yaml

    data = yaml.safe_load(starter("p.yaml"))
    jsonschema.validate(data, pipeline_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**data, "exprot": {}}, pipeline_schema())
