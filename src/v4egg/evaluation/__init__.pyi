from .judges import Judge as Judge
from .judges import encoder_judges as encoder_judges
from .judges import load_external_judges as load_external_judges
from .transfer import judge_images as judge_images
from .transfer import judge_series as judge_series

__all__ = ["Judge", "encoder_judges", "judge_images", "judge_series", "load_external_judges"]
