from .model import load_compact_models as load_compact_models
from .network import CompactModels as CompactModels
from .network import CompactNetwork as CompactNetwork
from .published import load_published_models as load_published_models

__all__ = ["CompactModels", "CompactNetwork", "load_compact_models", "load_published_models"]
