"""Score members and ensembles on validation and test images, beside yardsticks, baselines and the known truth."""

from v4egg.evaluation.encoder_scores import ScoredSession, score
from v4egg.io import stores
from v4egg.recordings.responses import load_responses
from v4egg.workflow.jobs import job


def scored_session(responses_path, predictions_path, natural_path, baselines_path):
    session = ScoredSession(load_responses(responses_path), stores.load(predictions_path, "predictions"))
    if natural_path is not None:
        natural = stores.load(natural_path, "natural_responses")
        response = natural["response"].sel(unit=session.units).values
        if natural.attrs["judge"] == "simulated_brain":
            session.truth = response
        else:
            session.reference_models[natural.attrs["judge"]] = response
    if baselines_path is not None:
        prediction = stores.load(baselines_path, "baselines")["prediction"].sel(unit=session.units)
        session.baselines |= {str(name): prediction.sel(baseline=name).values for name in prediction["baseline"].values}
    return session


with job(snakemake) as run:
    optional = map(run.local, (snakemake.params.natural_responses, snakemake.params.baselines))
    paths = zip(snakemake.input.responses, snakemake.input.predictions, *optional, strict=True)
    sessions = [scored_session(*of_session) for of_session in paths]
    inputs = [*snakemake.input.responses, *snakemake.input.predictions]
    stores.save(score(sessions, snakemake.params.combined_architectures), snakemake.output[0], "scores", inputs=inputs)
