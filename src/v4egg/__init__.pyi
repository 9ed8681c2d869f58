from .compact.model import load_compact_models as load_compact_models
from .encoders.ensemble import load_encoder as load_encoder
from .errors import V4eggError as V4eggError
from .evaluation.judges import Judge as Judge
from .priors.loading import load_prior as load_prior
from .recordings.recording import load_recording as load_recording
from .recordings.responses import load_responses as load_responses
from .synthesis.diverse_images import synthesize_diverse as synthesize_diverse
from .synthesis.mei import synthesize_mei as synthesize_mei
from .synthesis.meni import synthesize_meni as synthesize_meni
from .synthesis.models import wrap_model as wrap_model
from .synthesis.natural_search import search_natural_images as search_natural_images
from .synthesis.pipeline import EnergyGuidedPipeline as EnergyGuidedPipeline
from .synthesis.reconstruction import reconstruct as reconstruct

__version__: str
__all__ = [
    "EnergyGuidedPipeline",
    "Judge",
    "V4eggError",
    "load_compact_models",
    "load_encoder",
    "load_prior",
    "load_recording",
    "load_responses",
    "reconstruct",
    "search_natural_images",
    "synthesize_diverse",
    "synthesize_mei",
    "synthesize_meni",
    "wrap_model",
]
