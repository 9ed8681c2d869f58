"""The rule graph of docs/architecture.md, drawn from Snakemake's own. ``make docs`` writes it.

Snakemake's graph of the whole workflow in Mermaid, without styles, without the target rule and with all figures as one
node, one line per rule. Of an edge and a longer path between the same rules only the path is drawn.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from v4egg.errors import V4eggError

_BLOCK = re.compile(r"(<!-- rule graph -->\n).*?(<!-- end -->)", re.DOTALL)
_NODE = re.compile(r"^\s*(id\d+)\[(.+)\]$", re.MULTILINE)
_EDGE = re.compile(r"^\s*(id\d+) --> (id\d+)$", re.MULTILINE)


def rule_graph(root: Path, configuration: Path) -> str:
    """Snakemake's graph of rules for a configuration, as Mermaid text.

    Raises:
        V4eggError: Snakemake cannot plan the configuration.
    """
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--snakefile", root / "Snakefile"]
    with tempfile.TemporaryDirectory() as folder:
        words = [*map(str, command), "--directory", folder, "--configfile", str(configuration)]
        run = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        raise V4eggError(f"{configuration}: Snakemake cannot plan it: {run.stderr.strip()[-500:]}")
    return run.stdout


def simplified(graph: str) -> str:
    """The graph as a Mermaid flow chart with one line per rule, sorted so that the text is always the same.

    Example:
        >>> print(simplified("id0[all]\\nid1[figure_meni]\\nid2[transfer]\\nid1 --> id0\\nid2 --> id1"))
        flowchart LR
          transfer --> figures
    """
    names = {key: "figures" if name.startswith("figure_") else name for key, name in _NODE.findall(graph)}
    after: dict[str, set[str]] = {}
    for a, b in _EDGE.findall(graph):
        if names[b] != "all" and names[a] != names[b]:
            after.setdefault(names[a], set()).add(names[b])
    lines = []
    for rule in sorted(after):
        longer = {end for step in after[rule] for end in _reached(step, after)}
        lines.append(f"  {rule} --> {' & '.join(sorted(after[rule] - longer))}")
    return "\n".join(["flowchart LR", *lines])


def _reached(rule: str, after: Mapping[str, set[str]]) -> set[str]:
    """All rules that come after one."""
    reached: set[str] = set()
    pending = list(after.get(rule, ()))
    while pending:
        step = pending.pop()
        if step not in reached:
            reached.add(step)
            pending += after.get(step, ())
    return reached


def render(page: str, graph: str) -> str:
    """The page with the graph between its markers."""
    return _BLOCK.sub(lambda match: f"{match.group(1)}```mermaid\n{simplified(graph)}\n```\n{match.group(2)}", page)


def main(arguments: Sequence[str]) -> None:
    """Draw the graph of a configuration into docs/architecture.md."""
    root = Path(arguments[1] if len(arguments) > 1 else ".").resolve()
    page = root / "docs/architecture.md"
    page.write_text(render(page.read_text(), rule_graph(root, root / "tests/workflow/tiny.yaml")))


if __name__ == "__main__":
    main(sys.argv)
