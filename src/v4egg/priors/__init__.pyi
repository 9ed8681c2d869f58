from .latent import LatentPrior as LatentPrior
from .loading import load_prior as load_prior
from .pretrained import pretrained_prior as pretrained_prior
from .prior import Prior as Prior
from .training import train_prior as train_prior

__all__ = ["LatentPrior", "Prior", "load_prior", "pretrained_prior", "train_prior"]
