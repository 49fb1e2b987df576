"""A million hostile inputs chosen by coverage (atheris): what a hundred random ones would not reach.

Each target of `tests.support.hostile` is fuzzed in a process of its own, since libFuzzer ends
the process it runs in. An input that does harm is printed, and kept in ``data/fuzz/NAME``.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.report import Row, per_second

INPUTS = 1_000_000
_LONGEST_BYTES = 4_096
_RUN = "from benchmarks.soak.fuzz import fuzz; fuzz()"
_KEPT = Path("data/fuzz")


def run(inputs: int = INPUTS) -> Iterator[Row]:
    """All targets, the same share each; two at a time would starve on two cores."""
    if find_spec("atheris") is None:
        yield Row("atheris", "has no wheel for this platform", "", "", "installed", met=False)
        return
    from tests.support.hostile import targets  # not above: a target's process imports it under instruments

    names = sorted(targets())
    share = -(-inputs // len(names))
    done = 0
    for name in names:
        with TemporaryDirectory(prefix="mdingest-fuzz-") as corpus:
            command = [
                sys.executable,
                "-c",
                _RUN,
                name,
                corpus,
                f"-runs={share}",
                f"-max_len={_LONGEST_BYTES}",
            ]
            kept = _KEPT / name.replace(" ", "-")
            kept.mkdir(parents=True, exist_ok=True)
            command += [
                "-timeout=20",
                "-rss_limit_mb=2048",
                "-print_final_stats=1",
                f"-artifact_prefix={kept}/",
            ]
            ended = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        said = ended.stderr + ended.stdout
        count = int(next(iter(re.findall(r"number_of_executed_units:\s*(\d+)", said)), 0))
        rate = float(next(iter(re.findall(r"average_exec_per_sec:\s*(\d+)", said)), 0))
        covered = re.findall(r"cov: (\d+)", said)
        done += count
        if ended.returncode:
            print(f"{name}:\n{said[-3000:]}")
        elif not any(kept.iterdir()):
            kept.rmdir()
        note = f"coverage {covered[0]} to {covered[-1]}" if covered else ""
        yield Row(name, f"{count:,}", note, per_second(rate), "nothing escapes", ended.returncode == 0)
    yield Row("inputs in all", f"{done:,}", "", "", f">= {inputs:,}", done >= inputs)


def fuzz() -> None:
    """One target in this process; its name and libFuzzer's options are the arguments."""
    import atheris

    with atheris.instrument_imports(include=["mdingest.providers", "mdingest.pipeline.history"]):
        from tests.support import hostile
    target = hostile.targets()[sys.argv[1]]
    for number, seed in enumerate(target.seeds):
        Path(sys.argv[2], f"seed-{number}").write_bytes(seed)
    random = hostile.Random(1)

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        """Half by libFuzzer, half as JSON is spoilt."""
        random.seed(seed)
        if seed % 2:
            return bytes(atheris.Mutate(data, longest))
        return hostile.spoil(data, random)[:longest]

    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.check, custom_mutator=mutate)
    atheris.Fuzz()
