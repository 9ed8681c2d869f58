from .constraints import Aperture as Aperture
from .constraints import L2Norm as L2Norm
from .constraints import PixelRange as PixelRange
from .constraints import RMSContrast as RMSContrast
from .constraints import chain as chain
from .diverse_images import synthesize_diverse as synthesize_diverse
from .diversity import Differ as Differ
from .diversity import Diverse as Diverse
from .energies import Depress as Depress
from .energies import Energy as Energy
from .energies import Excite as Excite
from .energies import ExciteSparing as ExciteSparing
from .energies import MatchResponse as MatchResponse
from .jitter import Jittered as Jittered
from .mei import synthesize_mei as synthesize_mei
from .meni import synthesize_meni as synthesize_meni
from .methods import METHODS as METHODS
from .methods import SWEEPS as SWEEPS
from .models import ResponseModel as ResponseModel
from .models import validate_model as validate_model
from .models import wrap_model as wrap_model
from .natural_search import search_natural_images as search_natural_images
from .pipeline import EnergyGuidedOutput as EnergyGuidedOutput
from .pipeline import EnergyGuidedPipeline as EnergyGuidedPipeline
from .reconstruction import Targets as Targets
from .reconstruction import reconstruct as reconstruct
from .result import Synthesis as Synthesis

__all__ = [
    "METHODS",
    "SWEEPS",
    "Aperture",
    "Depress",
    "Differ",
    "Diverse",
    "Energy",
    "EnergyGuidedOutput",
    "EnergyGuidedPipeline",
    "Excite",
    "ExciteSparing",
    "Jittered",
    "L2Norm",
    "MatchResponse",
    "PixelRange",
    "RMSContrast",
    "ResponseModel",
    "Synthesis",
    "Targets",
    "chain",
    "reconstruct",
    "search_natural_images",
    "synthesize_diverse",
    "synthesize_mei",
    "synthesize_meni",
    "validate_model",
    "wrap_model",
]
