"""A crate's bytes, whichever files they lie in: one, or parts in any order on several sticks. Only ever reads."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from archive import layout
from archive.errors import (
    AmbiguousCrate,
    ExtraPart,
    ForeignPart,
    MissingPart,
    OverLimit,
    ReadFailed,
    TrailingData,
    Truncated,
)
from archive.limits import LIMITS

SUFFIX = ".crate"
_PART = re.compile(r"(?P<stem>.+)\.(?P<number>[0-9]{3})")


def part_name(stem: str, number: int) -> str:
    """`site-3.crate` and 7 give `site-3.crate.007`."""
    return f"{stem}.{number:03}"


class Volumes:
    """The files of one crate, read as if they were one.

    `stem` is the whole archive's file name, `part_size` None for an undivided file. A missing part is found out
    when its bytes are asked for, or by `missing` once the total is known.
    """

    def __init__(self, stem: str, files: dict[int, Path], part_size: int | None) -> None:
        self.stem = stem
        self._files = files
        self._part_size = part_size
        self._sizes = {number: path.stat().st_size for number, path in files.items()}
        self._open: dict[int, int] = {}
        self._total: int | None = None
        if part_size is not None:
            self._check_sizes(part_size)

    @classmethod
    def open(cls, paths: Sequence[Path], part_size: int | None = None) -> Self:
        """Finds a crate's files: a whole one, or parts; a folder stands for the crate in it.

        Parts beside a given part are taken too. The size of a part is that of part 000; `part_size` is needed only
        when that one is not at hand. Raises `AmbiguousCrate`, `ForeignPart`, `MissingPart`, `FileNotFoundError`.
        """
        stem, whole, parts = _gather(paths)
        if whole is not None:
            return cls(stem, {0: whole}, None)
        if part_size is None:
            if 0 not in parts:
                raise MissingPart(f"{part_name(stem, 0)} is missing", hint="the first part is needed to read any other")
            part_size = parts[0].stat().st_size
        return cls(stem, parts, max(part_size, 1))

    def _check_sizes(self, part_size: int) -> None:
        if max(self._files) >= LIMITS.parts:
            raise OverLimit(f"{self._files[max(self._files)].name}: a crate has at most {LIMITS.parts} parts")
        for number in sorted(self._files):
            size, last = self._sizes[number], number == max(self._files)
            if size > part_size or (size != part_size and not last):
                raise ForeignPart(
                    f"{self._files[number]} has {size} bytes where a part of this crate has {part_size}",
                    hint="it is cut short or belongs to another crate; copy it again",
                )

    @property
    def part_size(self) -> int | None:
        return self._part_size

    @property
    def paths(self) -> list[Path]:
        return [self._files[number] for number in sorted(self._files)]

    @property
    def size(self) -> int:
        """The archive's size in bytes: what `expect` was told, or what the files at hand amount to."""
        if self._total is not None:
            return self._total
        last = max(self._files)
        return last * (self._part_size or 0) + self._sizes[last]

    def expect(self, total: int) -> None:
        """Checks the files at hand against the size that the signed index gives the archive.

        Raises `Truncated`, `TrailingData`, `ExtraPart`, `ForeignPart`. A missing part is no error here; see `missing`.
        """
        sizes = [total] if self._part_size is None else layout.parts(total, self._part_size)
        if max(self._files) >= len(sizes):
            raise ExtraPart(
                f"{self._files[max(self._files)]} is one part too many: this crate has {len(sizes)}",
                hint="it belongs to another crate of the same name; take it away",
            )
        for number in sorted(self._files):
            path, size = self._files[number], self._sizes[number]
            if size < sizes[number]:
                raise Truncated(
                    f"{path} ends after {size} bytes of {sizes[number]}", hint="the copy was cut short; copy it again"
                )
            if size > sizes[number]:
                raise TrailingData(
                    f"{path} goes on for {size - sizes[number]} bytes after the crate's end", hint="copy it again"
                )
        self._total = total

    def missing(self, total: int) -> list[str]:
        """The names of the parts that an archive of `total` bytes has and that are not at hand."""
        if self._part_size is None:
            return []
        count = len(layout.parts(total, self._part_size))
        return [part_name(self.stem, number) for number in range(count) if number not in self._files]

    def where(self, offset: int, length: int = 1) -> str:
        """The place for a message: `site-3.crate.001 at byte 123`, with the next part when it reaches into that."""
        number, within = self._locate(offset)
        last, _ = self._locate(offset + max(length, 1) - 1)
        beyond = f" and on in {self._name(last)}" if last != number else ""
        return f"{self._name(number)} at byte {within}{beyond}"

    def _name(self, number: int) -> Path | str:
        return self._files[number] if number in self._files else part_name(self.stem, number)

    def pread(self, length: int, offset: int) -> bytes:
        """Exactly `length` bytes. Raises `MissingPart`, `Truncated`, `ReadFailed`."""
        buffer = bytearray(length)
        self.pread_into(memoryview(buffer), offset)
        return bytes(buffer)

    def pread_into(self, buffer: memoryview, offset: int) -> None:
        """Fills `buffer` from `offset`, across parts. Safe from several threads. Raises as `pread`."""
        filled = 0
        while filled < len(buffer):
            number, within = self._locate(offset + filled)
            if number not in self._files:
                raise MissingPart(
                    f"{self._name(number)} is missing",
                    hint="bring the stick that holds it, or name the folder it is in",
                )
            wanted = len(buffer) - filled
            if self._part_size is not None:
                wanted = min(wanted, self._part_size - within)
            try:
                got = os.preadv(self._descriptor(number), [buffer[filled : filled + wanted]], within)
            except OSError as error:
                raise ReadFailed(
                    f"{self.where(offset + filled)} cannot be read: {error.strerror}",
                    hint="the medium may be failing; copy that file from its source again",
                ) from error
            if got == 0:
                raise Truncated(
                    f"{self._files[number]} ends after {within} bytes", hint="the copy was cut short; copy it again"
                )
            filled += got

    def _locate(self, offset: int) -> tuple[int, int]:
        return (0, offset) if self._part_size is None else divmod(offset, self._part_size)

    def _descriptor(self, number: int) -> int:
        if number not in self._open:
            opened = os.open(self._files[number], os.O_RDONLY | os.O_CLOEXEC)
            # another thread may have been first; its descriptor stays, this one goes
            if self._open.setdefault(number, opened) != opened:
                os.close(opened)
        return self._open[number]

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _gather(paths: Iterable[Path]) -> tuple[str, Path | None, dict[int, Path]]:
    """The whole archive's name, and either its one file or its parts by number."""
    given = list(paths)
    files = [path for path in given if not path.is_dir()]
    stems = {_stem(path) for path in files}
    if len(stems) > 1:
        first, second = sorted(stems)[:2]
        raise ForeignPart(f"{first} and {second} are different crates", hint="name the files of one crate at a time")
    folders = [path for path in given if path.is_dir()]
    inside = [found for folder in folders for found in _crates_in(folder)]
    if not stems:
        stems = {_stem(path) for path in inside}
        if len(stems) != 1:
            found = ", ".join(sorted(stems)) or "no crate"
            raise AmbiguousCrate(
                f"found {found} in {', '.join(map(str, folders))}", hint="name the crate's files, or all of one crate's"
            )
    stem = stems.pop()
    whole = next((path for path in files if not _PART.fullmatch(path.name)), None)
    if whole is not None:
        return stem, whole, {}
    if not files:
        whole = next((path for path in inside if path.name == stem), None)
        if whole is not None:
            return stem, whole, {}
    beside = [found for folder in dict.fromkeys(path.parent for path in files) for found in _crates_in(folder)]
    parts: dict[int, Path] = {}
    for path in [*files, *inside, *beside]:
        if (named := _PART.fullmatch(path.name)) and named["stem"] == stem:
            parts.setdefault(int(named["number"]), path)
    return stem, None, parts


def _stem(path: Path) -> str:
    named = _PART.fullmatch(path.name)
    return named["stem"] if named else path.name


def _crates_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if _stem(path).endswith(SUFFIX) and path.is_file())
