"""Fixtures that every test may ask for: real servers on loopback ports, each test's own."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.containerd import Containerd, containerd
from tests.support.registries import Registry, docker_registry
from tests.support.tools import MissingToolError


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A docker-registry over plain HTTP."""
    with docker_registry(tmp_path / "registry") as running:
        yield running


@pytest.fixture
def tls_registry(tmp_path: Path) -> Iterator[Registry]:
    """A docker-registry over TLS that asks for the password of `robot`."""
    with docker_registry(tmp_path / "tls-registry", tls=True, user="robot") as running:
        yield running


@pytest.fixture
def container_daemon() -> Iterator[Containerd]:
    """A containerd; its folder has a short name, for the socket's sake."""
    with tempfile.TemporaryDirectory(prefix="ctrd-", dir="/tmp") as folder, containerd(Path(folder)) as running:
        yield running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without-missing-tools",
        action="store_true",
        help="skip what needs a program or a right that is missing here (make test does so for a plain user)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skip is a failure; elsewhere a missing program may be one, if that was asked for."""
    report = yield
    missing = call.excinfo is not None and call.excinfo.errisinstance(MissingToolError)
    if missing and item.config.getoption("--without-missing-tools"):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.location[1] or 0, str(call.excinfo and call.excinfo.value))
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be: {report.longreprtext}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole module that skips itself is a skip too."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where nothing may be: {report.longrepr}"
    return report
