"""What can be wrong with a profile, or with what a site makes of it.

Problem
├── ProfileInvalid      a folder that is no profile, or one that contradicts itself: file, line, key      exit 2
├── UnknownProfile      nothing is called that, neither in the crate nor here                             exit 2
└── SettingInvalid      a setting that the profile does not have, or a value that it cannot take          exit 2
"""

from __future__ import annotations

from archive.errors import Problem


class ProfileInvalid(Problem):
    """`what` begins with the file, and the line where there is one."""

    exit_code = 2


class UnknownProfile(Problem):
    """The hint names the nearest one."""

    exit_code = 2


class SettingInvalid(Problem):
    """`setting` is its key, so that whoever read it from a file can say where it stands there."""

    exit_code = 2

    def __init__(self, what: str, *, setting: str, hint: str = "") -> None:
        super().__init__(what, hint=hint)
        self.setting = setting
