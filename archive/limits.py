"""How large anything in a crate may be, so that no crate can make a reader allocate what it likes. Bytes throughout."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """The caps of format version 1."""

    signed: int = MIB
    """crate.json."""
    slot: int = 16 * KIB
    """crate.json.sig: not a cap but its size, always."""
    index: int = 64 * MIB
    """index.jsonl, about 790,000 blobs of one chunk."""
    index_line: int = 256 * KIB
    """One line of it; a blob of 8 GiB has 2,048 chunks and takes 137 KiB."""
    oci_layout: int = 4 * KIB
    oci_index: int = 16 * MIB
    smallest_chunk: int = 64 * KIB
    chunk: int = 4 * MIB
    """What is verified in one go, and so the grain at which damage is located."""
    blob: int = 8 * GIB - 1
    """What eleven octal digits of a ustar header can say."""
    catalogue: int = GIB
    catalogue_line: int = 16 * MIB
    recipe: int = 16 * MIB
    lock: int = GIB
    boot_files: int = 1024
    """How many of them."""
    parts: int = 500
    """How many of them; each is an open file."""
    allowed_signers: int = MIB


LIMITS = Limits()
FAT32_PART = 1023 * 4 * MIB
"""The part size of `--split fat32`: the last multiple of a chunk below FAT32's limit."""
