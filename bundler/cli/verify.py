"""`crate-bundle verify`: whether a crate is whole, and who vouches for it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from archive.signers import AllowedSigners
from bundler import inspection
from bundler.cli.arguments import CRATES
from bundler.inspection import Verification
from console import units
from console.command import JSON_OPTION, emit
from console.progress import progress


@click.command(short_help="Check every byte of a crate, and its signatures.")
@CRATES
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="An OpenSSH allowed_signers file; one of those it names must have signed. Without it nobody is trusted, and "
    "only the content is checked.",
)
@JSON_OPTION
def verify(crates: tuple[Path, ...], allowed_signers: Path | None, as_json: bool) -> int:
    """Check CRATE… without importing it: signatures first, then every chunk of every blob.

    Damage is named by part, offset, blob and the items that need it, and ends with exit code 1; a crate that is not
    signed by an allowed signer ends with 3.
    """
    allowed = AllowedSigners.parse(allowed_signers.read_text("utf-8")) if allowed_signers else None
    found = inspection.verify(crates, allowed, datetime.now(UTC), progress())
    emit(found.to_json(), as_json, lambda: _text(found))
    return 1 if found.damages else 0


def _text(found: Verification) -> str:
    release = found.crate.release
    lines = [f"{release.name} {release.serial}: {found.blobs} blobs, {units.size(found.size)} checked"]
    lines += [f"signed by {it.principal} ({it.fingerprint}), allowed" for it in found.trusted]
    if not found.trusted:
        lines += [
            f"signed by {fingerprint}; without --allowed-signers nobody is trusted" for fingerprint in found.signers
        ]
        lines += [] if found.signers else ["not signed"]
    lines += [f"damaged: {damage}" for damage in found.damages]
    lines.append("copy the damaged part again" if found.damages else "sound")
    return "\n".join(lines)
