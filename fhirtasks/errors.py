"""The one exception whose message is meant for the person at the keyboard."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or misuse: one sentence that says what was wrong and what to do. The command line exits with 2."""
