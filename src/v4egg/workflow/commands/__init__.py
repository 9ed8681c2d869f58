"""The commands of `v4egg` by name, known without importing their code."""

from v4egg.registry import Entry, Registry

COMMANDS: Registry = {
    "inspect": Entry(
        "v4egg.workflow.commands.inspect:Inspect", label="show what is in a file, and what is taken as what"
    ),
    "init": Entry("v4egg.workflow.commands.init:Init", label="write a configuration for a file, ready to run"),
    "check": Entry(
        "v4egg.workflow.commands.check:Check", label="read all recordings of a configuration, and run nothing"
    ),
}
