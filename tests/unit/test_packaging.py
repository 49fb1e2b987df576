"""What is shipped: locks, wheel, container files, and what they promise to each other."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mdingest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
BIN = Path(sys.executable).parent
_REFERENCE = re.compile(r"\$\{(\w+)(:[-+])([^}]*)\}")


def pins(lock: Path) -> list[Requirement]:
    """The requirements of a lock file without their hashes."""
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    return [Requirement(line.split(" --hash")[0]) for line in entries if line and line[0] != "#"]


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Output of a command that must succeed, both streams."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
    (file,) = folder.glob("mdingest-*.whl")
    return zipfile.ZipFile(file)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_file_says_what_but_never_from_where(lock: Path) -> None:
    text = lock.read_text()

    assert "://" not in text
    assert not re.search(r"^(-i\b|--(extra-)?index|--find-links|--trusted)| @ ", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_is_exact_and_hashed(lock: Path) -> None:
    entries = [line for line in lock.read_text().replace("\\\n", " ").splitlines() if line and line[0] != "#"]

    assert entries
    assert [line for line in entries if "==" not in line or "--hash=sha256:" not in line] == []


def test_development_uses_the_very_versions_that_run() -> None:
    shipped = {str(pin) for pin in pins(ROOT / "requirements/run.txt")}
    developed = {str(pin) for pin in pins(ROOT / "requirements/dev.txt")}

    assert shipped - developed == set()


def test_the_lock_covers_the_declared_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {canonicalize_name(pin.name): pin for pin in pins(ROOT / "requirements/run.txt")}

    for declared in map(Requirement, project["dependencies"]):
        (exact,) = locked[canonicalize_name(declared.name)].specifier
        assert exact.version in declared.specifier, declared


def test_this_environment_is_the_locked_one() -> None:
    wanted = {
        pin.name: next(iter(pin.specifier)).version
        for pin in pins(ROOT / "requirements/dev.txt")
        if pin.marker is None or pin.marker.evaluate()
    }

    assert {name: importlib.metadata.version(name) for name in wanted} == wanted


def test_the_changelog_is_about_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [mdingest.__version__])
    assert importlib.metadata.version("mdingest") == mdingest.__version__


def test_the_wheel_holds_all_that_is_read_at_run_time(wheel: zipfile.ZipFile) -> None:
    data = {str(file.relative_to(ROOT)) for file in (ROOT / "mdingest/calendars/data").iterdir()}
    migrations = {
        "mdingest/_migrations/" + str(file.relative_to(ROOT / "migrations"))
        for file in (ROOT / "migrations").rglob("*.sql")
    }
    wanted = data | migrations | {"mdingest/py.typed", "mdingest/_config/demo.yaml"}

    assert migrations
    assert wanted - set(wheel.namelist()) == set()


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}

    assert tops == {"mdingest", f"mdingest-{mdingest.__version__}.dist-info"}


def test_the_daemon_carries_no_heavy_library() -> None:
    found = run(
        sys.executable,
        "-c",
        "import sys, mdingest.app, mdingest.cli; print(*{'pandas', 'yfinance', 'rich'} & set(sys.modules))",
    )

    assert found.split() == []


def test_nothing_in_the_daemon_makes_numpy_import_its_masked_arrays() -> None:
    """1.3 MiB for good; `core.rows.distinct` does the same without. Simulators run elsewhere."""
    masked = re.compile(r"np\.(?:ma\b|union1d|setxor1d|unique\((?![^\n]*return_))")
    package = Path(mdingest.__file__).parent
    found = {
        f"{file.relative_to(package)}: {line.strip()}"
        for file in package.rglob("*.py")
        if "simulators" not in file.parts
        for line in file.read_text(encoding="utf-8").splitlines()
        if masked.search(line)
    }

    assert found == set()


def test_module_and_script_are_the_same_command() -> None:
    assert run(BIN / "mdingest", "--help") == run(sys.executable, "-m", "mdingest", "--help")


def test_the_dockerfile_lints() -> None:
    run(BIN / "hadolint", "Dockerfile")


def test_the_compose_file_follows_its_specification() -> None:
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


def test_the_container_has_no_more_rights_than_it_needs() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    for service in services.values():
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")] == []
    for service in (one for one in services.values() if one["image"] == "mdingest"):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["user"] == "10001:10001"
    assert "\nUSER 10001:10001\n" in (ROOT / "Dockerfile").read_text()


def compose(**variables: str) -> dict[str, Any]:
    """The services of the compose file, as they are with these in ``.env``."""
    text = (ROOT / "docker-compose.yml").read_text()

    def value(found: re.Match[str]) -> str:
        name, operator, word = found.groups()
        given = variables.get(name, "")
        return given or word if operator == ":-" else given and word

    services: dict[str, Any] = yaml.safe_load(text)["services"]
    for service in services.values():  # after YAML, as compose does: an empty value stays a text
        for name, text in service.get("environment", {}).items():
            service["environment"][name] = _REFERENCE.sub(value, text)
    return services


PASSWORDS = {f"POSTGRES_{role}_PASSWORD": f"{role.lower()}-pw" for role in ("OWNER", "WRITER", "READER")}


@pytest.mark.parametrize(
    ("name", "role"), [("mdingest", "writer"), ("migrate", "owner"), ("serve", "reader")]
)
def test_each_part_knows_only_its_own_password_of_the_database(name: str, role: str) -> None:
    service = compose(**PASSWORDS)[name]
    given = service["environment"]
    if "env_file" in service:  # which brings all of .env
        given = PASSWORDS | given

    assert given["MDINGEST_DATABASE"] == f"postgresql://mdingest_{role}@postgres/mdingest"
    assert {value for value in given.values() if value.endswith("-pw")} == {f"{role}-pw"}
    assert given["PGPASSWORD"] == f"{role}-pw"


def test_the_profile_adds_to_one_daemon_and_replaces_nothing() -> None:
    """``docker compose --profile postgres up`` starts what has no profile, too.

    And podman-compose knows no dependency that may be absent.
    """
    plain, filled = compose(), compose(**PASSWORDS)
    always = {name for name, one in plain.items() if "profiles" not in one}

    assert always == {"mdingest", "migrate"}
    assert {tuple(one["profiles"]) for one in plain.values() if "profiles" in one} == {("postgres",)}
    for name in always:
        assert plain[name]["environment"]["MDINGEST_DATABASE"] == ""
        assert filled[name]["environment"]["MDINGEST_DATABASE"].startswith("postgresql://")
        assert plain[name].get("depends_on", {}).keys() <= always
    ports = [port for one in plain.values() for port in one.get("ports", [])]
    assert len({port.rpartition(":")[0] for port in ports}) == len(ports)
    assert plain["mdingest"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert plain["serve"]["depends_on"]["postgres"] == {"condition": "service_healthy"}
    assert "healthcheck" in plain["postgres"]


def test_every_part_can_read_a_config_with_secrets_in_it(tmp_path: Path) -> None:
    """Only the daemon is given those of brokers; what the others have no use for need not be set."""
    settings = yaml.safe_load((ROOT / "config/docker.yaml").read_text())
    settings["api"] = {"tokens": ["${API_TOKEN}"]}
    settings["alerts"] = {"webhook": "${ALERT_URL}"}
    settings["providers"] = {
        "kite_ws": {name: f"${{KITE_{name.upper()}}}" for name in ("api_key", "api_secret", "access_token")}
    }
    settings["database"] = {"url": f"sqlite:///{tmp_path}/candles.db"}
    config = tmp_path / "docker.yaml"
    config.write_text(yaml.safe_dump(settings))

    for name in ("migrate", "serve"):
        service = compose(API_TOKEN="some-token", **PASSWORDS)[name]
        given = service["environment"]
        if name == "serve":
            given["MDINGEST_DATABASE"] = f"sqlite:///{tmp_path}/none.db"
        else:
            del given["MDINGEST_DATABASE"]
        command = [BIN / "mdingest", name, "--config", config]
        done = subprocess.run(command, env=given, cwd=tmp_path, capture_output=True, text=True, check=False)
        # Without a database `serve` ends, but only after it has read its configuration.
        assert (name, done.returncode) == (name, 0 if name == "migrate" else 2), done.stderr
        assert name == "migrate" or "there is no database" in done.stderr


def test_the_container_starts_with_a_config_that_exists() -> None:
    service = compose()["mdingest"]
    *_, config = service["command"]

    assert service["command"] == ["run", "--config", config]
    assert "./config:/config:ro" in service["volumes"]
    assert f"MDINGEST_CONFIG={config}\n" in (ROOT / "Dockerfile").read_text()
    run(BIN / "mdingest", "check-config", "--config", ROOT / config.lstrip("/"))


def test_no_secret_and_no_data_enter_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    entries = [line for line in ignored if line and line[0] != "#"]

    assert entries[0] == "*"
    assert {line for line in entries if line.startswith("!")} == {
        "!LICENSE",
        "!README.md",
        "!config",
        "!mdingest",
        "!migrations",
        "!pyproject.toml",
        "!requirements/build.txt",
        "!requirements/node.txt",
        "!requirements/run.txt",
        "!tools/fetch_chart.py",
    }
    assert {"**/.env", "config/config.yaml"} <= set(entries[entries.index("!config") :])
