"""The error of the commands: something that the user gave is wrong."""


class BadInput(Exception):
    """An argument or a file of the user is wrong; the message says how to correct the command."""
