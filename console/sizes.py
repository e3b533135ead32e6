"""Sizes as people type them."""

from __future__ import annotations

import re

import click

from archive.limits import FAT32_PART

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


class Size(click.ParamType[int]):
    """Bytes: `700M`, `4GiB`, `1048576`. Units are binary."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value).strip())
        if not found or not (size := int(float(found[1]) * _UNITS[found[2].upper()])):
            self.fail(f"{value!r} is not a size; write it like 700M or 4G", param, ctx)
        return size


class PartSize(Size):
    """What `--split` takes: a size, or the name of the file system that parts must fit on."""

    name = "fat32|size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return FAT32_PART if value == "fat32" else super().convert(value, param, ctx)
