"""Digests of the files that a user gives, for every rule."""

EXPECTED = sources.expected_digests(config["sessions"], COWLEY, RESULTS)
MADE = re.compile(rf"(^|/){re.escape(RESULTS)}/")  # also where the workflow is a module with a prefix


def given_digest(rule, wildcards):
    """Digest of a job's inputs that no rule makes; as a param that takes `input` Snakemake would not compare it."""
    files = rule.expand_input(dict(wildcards.items()))[0]
    given = [str(file) for file in files if not file.is_storage and not MADE.search(str(file))]
    return files_digest(given, EXPECTED)
