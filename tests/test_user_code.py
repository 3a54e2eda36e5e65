"""The user's own functions, by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgebench.errors import DataError, InputError
from edgebench.user_code import (
    call_function,
    is_function_spec,
    load_function,
    resolve_function_spec,
    source_path,
)


def write(path: Path, text: str) -> Path:
    """Write a file of user code, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("spec", "is_one"),
    [
        ("model.py:build", True),
        ("package.module:build", True),
        ("/a folder/größe.py:build", True),
        ("model.py", False),
        (":build", False),
        ("model.py:", False),
        ("https://host/model.onnx", False),
        ("model.py:build it", False),
        ("data.npz", False),
    ],
)
def test_what_names_a_function(spec: str, *, is_one: bool) -> None:
    """`place:function` names a function; files, URLs and half a name do not."""
    assert is_function_spec(spec) is is_one


@pytest.mark.parametrize("name", ["model.py", "two words.py", "q\"uo'te.py", "größe-模型.py", "a;b$(c).py"])
def test_a_function_is_loaded_from_a_file_of_any_name(name: str, tmp_path: Path) -> None:
    """The file's name is only a name, and a relative one is taken from `base`."""
    write(tmp_path / "nets" / name, "def build():\n    return 7\n")
    assert load_function(f"nets/{name}:build", base=tmp_path)() == 7
    assert call_function(f"nets/{name}:build", base=tmp_path) == 7


def test_a_neighbour_is_found_at_import_and_in_the_call(tmp_path: Path) -> None:
    """A file may import its neighbours at its top and inside the function; sys.path is left as it was."""
    write(tmp_path / "neighbour_early.py", "VALUE = 1\n")
    write(tmp_path / "neighbour_late.py", "VALUE = 2\n")
    late = "def build():\n    import neighbour_late as l\n    return e.VALUE + l.VALUE\n"
    write(tmp_path / "near.py", f"import neighbour_early as e\n{late}")
    before = list(sys.path)
    assert call_function("near.py:build", base=tmp_path) == 3
    assert sys.path == before


def test_a_module_is_found_from_the_base(tmp_path: Path) -> None:
    """`package.module:function` is imported with the base folder on the path, and its file is known."""
    path = write(tmp_path / "zoo_of_nets" / "small.py", "def build():\n    return 'small'\n")
    write(tmp_path / "zoo_of_nets" / "__init__.py", "")
    assert source_path("zoo_of_nets.small:build", base=tmp_path) == path
    assert call_function("zoo_of_nets.small:build", base=tmp_path) == "small"


def test_where_a_function_lies_is_told_without_running_its_file(tmp_path: Path) -> None:
    """source_path runs no code of the file; for a module that is not there it is None."""
    path = write(tmp_path / "loud.py", "raise SystemExit('was run')\n")
    assert source_path("loud.py:build", base=tmp_path) == path
    assert source_path("loud:build", base=tmp_path) == path
    assert source_path("no_such_package.module:build", base=tmp_path) is None
    assert source_path("sys:exit", base=tmp_path) is None


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        ("import absent_dependency\n", "No module named 'absent_dependency'"),
        ("raise SystemExit('over')\n", "SystemExit: over"),
    ],
)
def test_a_package_that_cannot_be_imported_is_not_called_absent(code: str, says: str, tmp_path: Path) -> None:
    """What its `__init__` raises is said with its line, where a model in it is only looked for, too."""
    name = f"broken_{len(code)}"
    init = write(tmp_path / name / "__init__.py", code)
    write(tmp_path / name / "module.py", "def build():\n    return 1\n")
    with pytest.raises(InputError) as caught:
        source_path(f"{name}.module:build", base=tmp_path)
    assert caught.value.message.startswith(f"{name}.module: cannot be imported: ")
    assert says in caught.value.message
    assert f"{init}:1" in caught.value.message


def test_a_file_in_two_folders_is_two_modules(tmp_path: Path) -> None:
    """Two files of one name do not take each other's place."""
    for value in (1, 2):
        write(tmp_path / str(value) / "same.py", f"def build():\n    return {value}\n")
    assert [call_function(f"{v}/same.py:build", base=tmp_path) for v in (1, 2)] == [1, 2]


def test_a_file_that_was_edited_is_run_anew(tmp_path: Path) -> None:
    """In one process, as a notebook is, the file's text of today counts; unchanged, it runs once."""
    path = write(tmp_path / "data.py", "made = []\ndef f():\n    made.append(1)\n    return len(made)\n")
    assert [call_function(f"{path}:f") for _ in range(2)] == [1, 2]
    path.write_text("def f():\n    return 'new'\n")
    assert call_function(f"{path}:f") == "new"


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("nothing.py:build", "nothing.py: no such file", "names a function in it"),
        ("words", "'words' does not name a function", "as in model.py:build"),
        ("ok.py:biuld", "ok.py has no function 'biuld'", "did you mean `build`?"),
        ("ok.py:zzz", "has no function 'zzz'", "it has: build, Net"),
        ("ok.py:VALUE", "has no function 'VALUE'", "it has: build, Net"),
        ("no_such_module_here:build", "No module named 'no_such_module_here'", ""),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(
    spec: str, message: str, hint: str, tmp_path: Path
) -> None:
    """A file, module or function that is not there is named, with what was probably meant."""
    write(tmp_path / "ok.py", "VALUE = 3\ndef build():\n    pass\nclass Net:\n    pass\n")
    with pytest.raises(InputError) as caught:
        load_function(spec, base=tmp_path)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nx = x / 0\n", ("ZeroDivisionError: division by zero", "bad.py:2")),
        ("def build(:\n", ("SyntaxError", "bad.py")),
        ("import no_such_package_at_all\n", ("No module named", "bad.py:1")),
        ("import sys\nsys.exit(0)\n", ("SystemExit: 0", "bad.py:2")),
        ("import json\njson.loads('{')\n", ("JSONDecodeError", "bad.py:2")),
        ("raise ValueError('a\\n\\n  b')\n", ("ValueError: a b (", "bad.py:1")),
    ],
)
def test_an_import_that_fails_names_the_users_own_line(
    text: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    """Whatever the file raises, sys.exit too, is one line with the line of the user's code."""
    write(tmp_path / "bad.py", text)
    with pytest.raises(InputError, match="cannot be imported") as caught:
        load_function("bad.py:build", base=tmp_path)
    assert all(word in caught.value.message for word in words), caught.value.message
    assert "\n" not in caught.value.message


def test_an_import_that_failed_is_tried_again(tmp_path: Path) -> None:
    """A file that was repaired is imported; nothing half-imported stays behind."""
    write(tmp_path / "mended.py", "1 / 0\n")
    with pytest.raises(InputError):
        load_function("mended.py:build", base=tmp_path)
    write(tmp_path / "mended.py", "def build():\n    return 'good'\n")
    assert call_function("mended.py:build", base=tmp_path) == "good"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("return undefined", "NameError"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("assert False", "AssertionError (/"),
    ],
)
def test_a_call_that_fails_names_the_users_own_line(body: str, words: str, tmp_path: Path) -> None:
    """Whatever the function raises becomes one line with file and line: no exit code 0 by sys.exit."""
    write(tmp_path / "failing.py", f"def build():\n    {body}\n")
    with pytest.raises(InputError, match="failed: ") as caught:
        call_function("failing.py:build", base=tmp_path)
    assert words in caught.value.message
    assert "failing.py:2" in caught.value.message


def test_the_tools_own_errors_and_ctrl_c_pass_a_call(tmp_path: Path) -> None:
    """An EdgebenchError keeps its kind and words, and Ctrl-C is never taken for a failure."""
    head = "from edgebench.errors import DataError\n"
    write(
        tmp_path / "own.py",
        head + "def f():\n    raise DataError('mine')\ndef g():\n    raise KeyboardInterrupt\n",
    )
    with pytest.raises(DataError, match=r"^mine$"):
        call_function("own.py:f", base=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        call_function("own.py:g", base=tmp_path)


def test_a_specs_path_is_made_absolute(tmp_path: Path) -> None:
    """`file.py:function` becomes an absolute path; a module's name stays."""
    path = write(tmp_path / "m.py", "")
    assert resolve_function_spec("m.py:f", base=tmp_path) == f"{path}:f"
    assert resolve_function_spec("a.b:f", base=tmp_path) == "a.b:f"
