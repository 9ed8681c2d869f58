from .encoder import Encoder as Encoder
from .encoder import GroupedEncoder as GroupedEncoder
from .encoder import load_member as load_member
from .ensemble import Ensemble as Ensemble
from .ensemble import load_encoder as load_encoder

__all__ = ["Encoder", "Ensemble", "GroupedEncoder", "load_encoder", "load_member"]
