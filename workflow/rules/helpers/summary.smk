"""The summary in the terminal."""


def show_summary():
    """The closing table in the terminal."""
    from v4egg.workflow.summary_table import table

    path = Path(f"{RESULTS}/summary.json")
    if path.exists():
        print(table(json.loads(path.read_text())))
