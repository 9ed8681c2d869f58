"""Code digests change with the code that a script reaches, and with nothing else."""

import shutil
import subprocess
import sys

import pytest

from v4egg.workflow import provenance

SCRIPT = "from v4egg.workflow.jobs import job\nfrom v4egg import stores\nx = 1\n"
# all that versions of Python parse or print differently: f-strings, nested quotes, decorators, docstrings of each kind
SNIPPET = '''"""A module.

Over lines."""
import functools  # why


@functools.cache  # kept for speed
def outer(α: str = "é", *, b: int = 1) -> str:
    """Über
    lines."""; more = b  # after a docstring

    async def inner():
        "Short."

    class Deep:
        \'\'\'Of a class.\'\'\'

        text = "# no comment"  # a comment
        long = """keeps

        its blank lines   
        # and this
        """

    return f"{α!r:>{b}} # {b + 1:.2f} {'nested'}" f"""
      {b}

    # in an f-string
    """


if True:

    pass
'''
CODE = '''import functools
@functools.cache
def outer(α: str = "é", *, b: int = 1) -> str:
; more = b
    async def inner():
    class Deep:
        text = "# no comment"
        long = """keeps

        its blank lines   
        # and this
        """
    return f"{α!r:>{b}} # {b + 1:.2f} {'nested'}" f"""
      {b}

    # in an f-string
    """
if True:
    pass'''
DIGEST = "dc6810e9c5ba3101"
OTHERS = [f"python3.{minor}" for minor in range(11, 16) if minor != sys.version_info.minor]


def digest(folder, text):
    folder.mkdir(exist_ok=True)
    path = folder / "script.py"
    path.write_text(text)
    provenance._code_of.cache_clear()
    provenance._imports.cache_clear()
    return provenance.code_digest(path)


def test_comments_docstrings_and_blank_lines_are_cut_out_and_strings_are_left_alone():
    assert provenance.code_without_remarks(SNIPPET) == CODE


def test_the_digest_of_a_snippet_is_what_it_was(tmp_path):
    assert digest(tmp_path, SNIPPET) == DIGEST


@pytest.mark.parametrize("name", OTHERS)
def test_other_versions_of_python_find_the_same_code(name, tmp_path):
    python = shutil.which(name)
    if python is None or subprocess.run([python, "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"there is no {name} here")
    (tmp_path / "snippet.py").write_text(SNIPPET)
    program = "import runpy, sys; print(runpy.run_path(sys.argv[1])['code_digest'](sys.argv[2]))"
    command = [python, "-c", program, provenance.__file__, tmp_path / "snippet.py"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == [DIGEST]


def test_comments_and_docstrings_do_not_count(tmp_path):
    assert digest(tmp_path, SCRIPT) == digest(tmp_path, '"""What it does."""\n' + SCRIPT + "# why\n")


def test_code_counts(tmp_path):
    assert digest(tmp_path, SCRIPT) != digest(tmp_path, SCRIPT.replace("x = 1", "x = 2"))


def test_a_module_reached_through_another_counts_and_others_do_not(tmp_path, monkeypatch):
    package = tmp_path / "v4egg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "near.py").write_text("from v4egg import far\n")
    (package / "far.py").write_text("a = 1\n")
    (package / "unrelated.py").write_text("b = 1\n")
    monkeypatch.setattr(provenance, "_ROOT", package)
    script = "from v4egg.near import far\n"
    before = digest(tmp_path / "s", script)
    (package / "unrelated.py").write_text("b = 2\n")
    assert digest(tmp_path / "s", script) == before
    (package / "far.py").write_text("a = 2\n")
    assert digest(tmp_path / "s", script) != before


def test_a_module_that_a_registry_names_in_a_string_counts(tmp_path, monkeypatch):
    package = tmp_path / "v4egg"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "registry.py").write_text('METHODS = {"toy": "v4egg.toy:make"}\n')
    (package / "toy.py").write_text("a = 1\n")
    monkeypatch.setattr(provenance, "_ROOT", package)
    before = digest(tmp_path / "s", "from v4egg.registry import METHODS\n")
    (package / "toy.py").write_text("a = 2\n")
    assert digest(tmp_path / "s", "from v4egg.registry import METHODS\n") != before


def test_what_the_entries_of_a_registry_name_counts_only_where_it_is_loaded(tmp_path, monkeypatch):
    package = tmp_path / "v4egg"
    package.mkdir()
    files = {
        "__init__": "",
        "registry": "def options_of(registry, name): ...\n",
        "methods": 'METHODS = {"toy": Entry("v4egg.toy:Toy")}\n',
        "toy": "a = 1\n",
        "mei": "from v4egg.methods import METHODS\nfrom v4egg.registry import options_of\n",
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.setattr(provenance, "_ROOT", package)
    scripts = {"labels": "from v4egg.methods import METHODS\n", "images": "import v4egg.mei\n"}
    before = {name: digest(tmp_path / name, script) for name, script in scripts.items()}
    (package / "toy.py").write_text("a = 2\n")
    assert digest(tmp_path / "labels", scripts["labels"]) == before["labels"]
    assert digest(tmp_path / "images", scripts["images"]) != before["images"]
