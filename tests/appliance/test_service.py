"""After an installation the service runs, if there is one for this store."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance import service
from appliance.errors import ServiceFailed


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for systemctl: the file that it writes its arguments to. It fails where a file `broken` lies."""
    told = tmp_path / "told"
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ ! -e {tmp_path}/broken ] || {{ echo "no bus" >&2; exit 1; }}\necho "$@" >>{told}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setattr(service, "UNIT_PATH", tmp_path / service.UNIT)
    return told


ROOTS = ["/var/lib/crate", "/srv/a crate", "/srv/50%$HOME"]


@pytest.mark.parametrize("root", ROOTS)
def test_a_service_of_this_store_is_started(root: str, calls: Path) -> None:
    service.UNIT_PATH.write_text(service.unit(Path(root), []))
    assert service.start(Path(root))
    assert calls.read_text() == f"start {service.UNIT}\n"


def test_a_service_of_another_store_is_left_alone(calls: Path) -> None:
    service.UNIT_PATH.write_text(service.unit(Path("/srv/crate-two"), ["--listen", "127.0.0.1:5000"]))
    assert not service.start(Path("/srv/crate"))
    assert not calls.exists()


def test_without_a_service_nothing_is_started(calls: Path) -> None:
    assert not service.start(Path("/srv/crate"))
    assert not calls.exists()


def test_a_service_that_will_not_start_says_where_to_look(calls: Path) -> None:
    service.UNIT_PATH.write_text(service.unit(Path("/srv/crate"), []))
    (calls.parent / "broken").touch()
    with pytest.raises(ServiceFailed, match="no bus") as failed:
        service.start(Path("/srv/crate"))
    assert "journalctl" in failed.value.hint
