"""Score members and ensembles on validation and test images, beside yardsticks and the truth where it is known."""

from v4egg import stores
from v4egg.encoders.ensemble import load_encoder
from v4egg.encoders.scoring import ScoredSession, score
from v4egg.jobs import job
from v4egg.recordings.recording import load_recording
from v4egg.responses import load_responses


def scored_session(recording_path, responses_path, natural_path):
    session = ScoredSession(load_recording(recording_path).images, load_responses(responses_path))
    if natural_path is not None:
        natural = stores.load(natural_path, "natural_responses")
        response = natural["response"].sel(unit=session.units).values
        if natural.attrs["judge"] == "simulated_brain":
            session.truth = response
        else:
            session.yardsticks[natural.attrs["judge"]] = response
    return session


with job(snakemake) as run:
    ensembles = {arch: load_encoder(paths) for arch, paths in snakemake.params.members.items()}
    paths = zip(snakemake.input.recordings, snakemake.input.responses, snakemake.params.natural_responses, strict=True)
    sessions = [scored_session(*of_session) for of_session in paths]
    scores = score(ensembles, sessions, run.progress)
    inputs = [*snakemake.input.members, *snakemake.input.recordings, *snakemake.input.responses]
    stores.save(scores, snakemake.output[0], "scores", inputs=inputs)
