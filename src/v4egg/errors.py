"""The one exception a user should ever read: a single line that names the cause and the mend."""


class V4eggError(Exception):
    """A mistake that the user can mend.

    The message is one line: which file, key or field, what is wrong with it, and what to do.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))
