"""The model card of an exported ensemble: how to load and use it, and how well it predicts."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from v4egg.errors import V4eggError


def model_card(config: Mapping[str, Any], license: str, metrics: Mapping[str, Mapping[str, float]]) -> str:
    """The model card: YAML front matter for the hub, followed by a description for users."""
    results = [_result(session, scores) for session, scores in metrics.items()]
    front: dict[str, Any] = {
        "library_name": "v4egg",
        "license": license,
        "tags": ["v4egg", "neuroscience", "visual-cortex", "macaque-v4", "encoding-model"],
    }
    if results:
        front["model-index"] = [{"name": config["architecture"], "results": results}]
    units, members = config["units"], config["members"]
    unnamed = "The licence of the weights is still to be named; it depends on that of the recordings."
    terms = unnamed if license == "other" else f"Licence of the weights: {license}."
    roles = "\n".join(f"| {member['name']} | {member['role']} |" for member in members)
    return f"""---
{yaml.safe_dump(front, sort_keys=False).strip()}
---

# Encoding model of macaque V4: {config["architecture"]}

{len(members)} members predict the responses of {len(units)} units ({units[0]} to {units[-1]}) to images;
the ensemble is their mean. Written by v4egg {config["v4egg_version"]}.
{terms}

```python
import torch
from v4egg.encoders.export import load_export

ensemble = load_export("owner/name")  # this repository, or a folder with its files
images = torch.rand(8, 3, 112, 112)
with torch.no_grad():
    responses = ensemble(images)  # (8, {len(units)}), in the order of ensemble.units
```

- images: float in [0, 1], (batch, channel, y, x), grey or RGB, of any size; the model resizes and z-scores them itself
- responses: (batch, unit), {config["responses"]["unit"]}
- generators may make images, validators may not: judge images by `ensemble.validators()`

| member | role |
|---|---|
{roles}
"""


def _result(session: str, scores: Mapping[str, float]) -> dict[str, Any]:
    """The finite scores of one session in the format of the hub's model index."""
    numbers = {name: float(value) for name, value in scores.items() if isinstance(value, int | float)}
    return {
        "task": {"type": "neural-response-prediction"},
        "dataset": {"type": session, "name": f"test images of {session}"},
        "metrics": [{"type": name, "value": value} for name, value in numbers.items() if math.isfinite(value)],
    }


def summary_metrics(path: str | Path, architecture: str) -> dict[str, dict[str, float]]:
    """The test scores of an architecture in the ``summary.json`` of a run, by session and name.

    Raises:
        V4eggError: the file cannot be read or has no scores of the architecture.
    """
    try:
        sessions = json.loads(Path(path).read_text(encoding="utf-8"))["encoders"][architecture]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise V4eggError(
            f"{path}: no scores under encoders.{architecture} ({error}); give the summary.json of the members' run"
        ) from error
    return {session: {k: v for k, v in scores.items() if k != "n_units"} for session, scores in sessions.items()}
