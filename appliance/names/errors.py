"""What can go wrong with names and time, below `archive.errors.Problem`.

Problem
├── ClockRefused        the clock may not be set by this user, or on this machine             exit 1
├── BadTime             what somebody typed is not a time                                     exit 2
├── NoPackage           a program that is neither here nor in the crate                       exit 1
└── NotAnswered         the program was started, and nobody answers at its port               exit 1
"""

from __future__ import annotations

from archive.errors import Problem


class ClockRefused(Problem):
    """The kernel did not take the new time."""


class BadTime(Problem):
    """Not a time as we read them."""

    exit_code = 2


class NoPackage(Problem):
    """`setup` reports it and goes on without; the nodes do too."""


class NotAnswered(Problem):
    """Names or time were set up, and are not to be had: something else has the port, or the address is gone."""
