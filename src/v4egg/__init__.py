"""v4egg: from recordings of macaque V4 to the images that excite its neurons.

``load_recording``, ``load_responses``, ``load_encoder`` and ``load_prior`` take the path of a store that the workflow
wrote (``load_encoder`` also a list of members) and return the object.
"""

from importlib import import_module

_PUBLIC = {
    "load_recording": "v4egg.recordings.recording",
    "load_responses": "v4egg.recordings.responses",
    "load_encoder": "v4egg.encoders.ensemble",
    "load_prior": "v4egg.priors.loading",
}
__all__ = ["load_encoder", "load_prior", "load_recording", "load_responses"]


def __getattr__(name: str):
    """Import on first use: torch and diffusers take seconds that a small script need not pay."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'v4egg' has no attribute '{name}'")
    return getattr(import_module(_PUBLIC[name]), name)
