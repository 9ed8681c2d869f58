"""The frame of the command line: what it prints, its exit codes, and that it starts without torch."""

import subprocess
import sys

import pytest

from v4egg.registry import load
from v4egg.workflow.command_line import main
from v4egg.workflow.commands import COMMANDS
from v4egg.workflow.commands.command import Command


def test_alone_it_prints_every_command_with_a_line(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, entry in COMMANDS.items():
        assert [line for line in lines if line.startswith(f"  v4egg {name} ") and line.endswith(entry.label)]


def test_an_unknown_command_is_told_what_was_meant(capsys):
    assert main(["inspct", "x.nwb"]) == 2
    assert "there is no command 'inspct'; did you mean 'inspect'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    command = load(COMMANDS[name].target)
    assert issubclass(command, Command)
    assert main([name, "--help"]) == 0
    assert " ".join(command.__doc__.split()) in " ".join(capsys.readouterr().out.split())
    assert main([name]) == 2, "every command needs a file"


def test_a_mistake_is_one_line_and_exit_code_1(capsys):
    assert main(["inspect", "nowhere.nwb"]) == 1
    assert capsys.readouterr().err == "error: nowhere.nwb: no such file or folder; correct the path\n"


def test_a_reader_of_the_output_that_has_enough_is_no_error():
    script = """
import sys
from v4egg.workflow.command_line import main
from v4egg.workflow.commands.inspect import Inspect

def run(self, arguments):
    raise BrokenPipeError

Inspect.run = run
sys.exit(main(["inspect", "x.nwb"]))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    "words", [["--version"], ["inspect", "absent.nwb"], ["init", "absent.nwb"], ["check", "a.yaml"]]
)
def test_no_command_imports_torch(words):
    script = f"import sys; from v4egg.workflow.command_line import main; main({words}); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "False"


def test_python_m_v4egg_is_the_command_line():
    run = subprocess.run([sys.executable, "-m", "v4egg", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("v4egg ")
