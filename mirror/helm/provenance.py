"""Provenance (Helm's documentation, "Helm Provenance and Integrity"): a clear-signed list of digests beside a chart."""

from __future__ import annotations

from mirror import yaml_documents
from mirror.errors import BadIndex, WrongDigest
from mirror.openpgp import Keyring

LIMIT = 1 << 20
"""Bytes of a provenance file: a Chart.yaml, one digest and a signature."""


def verify(document: bytes, keyring: Keyring, file: str, sha256: str) -> tuple[str, ...]:
    """The fingerprints of who signed that the chart called `file` has this digest.

    Raises `Unsigned`, `WronglySigned`, `WrongDigest`, and `BadIndex` for a document of another form.
    """
    where = f"the provenance of {file}"
    found = keyring.verify_clearsigned(document, where)
    # The signed text holds two documents: Chart.yaml, and after a line of dots the digests.
    _, dots, listed = found.data.replace(b"\r\n", b"\n").rpartition(b"\n...\n")
    digests = yaml_documents.parse(listed, where) if dots else None
    try:
        promised = digests["files"][file]  # type: ignore[index]  # anything but a mapping is the TypeError below
    except (KeyError, TypeError) as error:
        raise BadIndex(f"{where} does not speak of it") from error
    if promised != f"sha256:{sha256}":
        raise WrongDigest(f"{file} has sha256:{sha256}, and its provenance says {str(promised)[:100]}")
    return found.signers
