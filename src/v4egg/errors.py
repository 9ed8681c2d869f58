"""The exception for mistakes that the user can correct."""


class V4eggError(ValueError):
    """A wrong input: a file, a configuration key or an argument.

    The message is one line that says which file, key or argument is at fault, what is wrong with it, and what to do.

    Example:
        >>> from v4egg.errors import V4eggError
        >>> V4eggError("images of shape (3, 8):\\n  give (n, channel, y, x)")
        V4eggError('images of shape (3, 8): give (n, channel, y, x)')
    """

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))
