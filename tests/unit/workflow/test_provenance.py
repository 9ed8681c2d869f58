"""Code digests change with the code that a script reaches, and with nothing else."""

from v4egg.workflow import provenance

SCRIPT = "from v4egg.workflow.jobs import job\nfrom v4egg import stores\nx = 1\n"


def digest(folder, text):
    folder.mkdir(exist_ok=True)
    path = folder / "script.py"
    path.write_text(text)
    provenance._normalised.cache_clear()
    provenance._imports.cache_clear()
    provenance._tree.cache_clear()
    return provenance.code_digest(path)


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
