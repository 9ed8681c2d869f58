"""What every rule has, set here for all of them: log, benchmark, conda environment, digests of its code and its files.

Snakemake has no default for these, and does not notice changed imports, nor a file that an older one replaces: `params:
code=` reruns a job when its script or any package module that the script reaches has changed, `params: given=` when an
input that no rule makes has other contents. Threads are 1, memory and time those of the profile's `default-resources`,
where a rule says nothing else.
"""

from v4egg.workflow.provenance import code_digest


include: "helpers/every_rule.smk"


for each in workflow.rules:
    if each.module_globals is not globals() or each.norun:  # a rule of a workflow that has this one as a module; `all`
        continue
    if each.script is None:
        raise WorkflowError(f"rule {each.name}: there is no script; only scripts have a digest of the code they run")
    where = "-".join(f"{{{name}}}" for name in dict.fromkeys(re.findall(r"{(\w+)", str(each.output[0]))))
    each.log_modifier = each.benchmark_modifier = each.output_modifier
    if not each.log:
        each.set_log(f"{RESULTS}/logs/{each.name}/{where}.log" if where else f"{RESULTS}/logs/{each.name}.log")
    if each.benchmark is None:
        named = f"{each.name}-{where}" if where else each.name
        each.benchmark = f"{RESULTS}/benchmarks/{Path(each.snakefile).stem}/{named}.tsv"
    each.conda_env = each.conda_env or "../../envs/v4egg.yaml"
    if "code" not in each.params.keys():
        each.set_params(code=code_digest(workflow.source_path(each.script)))
        each.set_params(given=lambda wildcards, rule=each: given_digest(rule, wildcards))
