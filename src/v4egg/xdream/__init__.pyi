from .evolution import Evolution as Evolution
from .evolution import PoissonSpikes as PoissonSpikes
from .evolution import Trial as Trial
from .evolution import evolve as evolve
from .exchange import Exchange as Exchange
from .generators import make_image_generator as make_image_generator
from .neurons import HiddenUnits as HiddenUnits
from .neurons import ModelUnits as ModelUnits
from .neurons import NeuronGroup as NeuronGroup
from .optimizers import make_optimizer as make_optimizer

__all__ = [
    "Evolution",
    "Exchange",
    "HiddenUnits",
    "ModelUnits",
    "NeuronGroup",
    "PoissonSpikes",
    "Trial",
    "evolve",
    "make_image_generator",
    "make_optimizer",
]
