"""The one error a user sees."""


class InputError(Exception):
    """Bad input, in one message: what is wrong, where, what was expected, and what to do.

    The command line prints the message alone and exits with 2.
    """
