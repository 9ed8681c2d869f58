from .activation_scales import normalized_activation as normalized_activation
from .inference import adjusted_p_values as adjusted_p_values
from .inference import bootstrap_interval as bootstrap_interval
from .inference import paired_wilcoxon as paired_wilcoxon
from .metrics import correlation as correlation
from .metrics import correlation_to_average as correlation_to_average
from .metrics import explainable_variance as explainable_variance
from .metrics import feve as feve
from .metrics import leave_one_out_oracle as leave_one_out_oracle
from .metrics import r2_er as r2_er
from .metrics import signal_to_noise as signal_to_noise
from .metrics import single_trial_correlation as single_trial_correlation
from .metrics import spearman_brown as spearman_brown
from .metrics import split_half_reliability as split_half_reliability

__all__ = [
    "adjusted_p_values",
    "bootstrap_interval",
    "correlation",
    "correlation_to_average",
    "explainable_variance",
    "feve",
    "leave_one_out_oracle",
    "normalized_activation",
    "paired_wilcoxon",
    "r2_er",
    "signal_to_noise",
    "single_trial_correlation",
    "spearman_brown",
    "split_half_reliability",
]
