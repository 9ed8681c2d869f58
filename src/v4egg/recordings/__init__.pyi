from .recording import Recording as Recording
from .recording import load_recording as load_recording
from .responses import Responses as Responses
from .responses import load_responses as load_responses

__all__ = ["Recording", "Responses", "load_recording", "load_responses"]
