"""compose.yaml and the Dockerfile: against Compose's published schema, and against the topology that the regions read.

Nothing here needs a Docker engine; `make docker-test` shows the real thing where one answers.
"""

import importlib
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
# The package of PyPI that ships the Compose specification's JSON schema.
SCHEMA_PACKAGE = "docker-compose==1.29.2"
SCHEMA_FILE = "compose/config/compose_spec.json"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def topology():
    return tomllib.loads((ROOT / "docker" / "topology.toml").read_text())


def test_it_holds_against_the_schema(compose, tmp_path):
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", tmp_path, SCHEMA_PACKAGE]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        schema = json.loads(wheel.read(SCHEMA_FILE))
    # The schema is older than the top-level name.
    jsonschema.validate({key: value for key, value in compose.items() if key != "name"}, schema)


def test_each_region_has_a_network_of_its_own_and_the_topologys_address(compose, topology):
    for region in topology["region"]:
        (node,) = region["node"]
        service = compose["services"][region["name"]]
        assert list(service["networks"]) == [region["name"]]
        address = service["networks"][region["name"]]["ipv4_address"]
        assert {node[port].rsplit(":", 1)[0] for port in ("replication", "data", "admin")} == {address}


def test_every_link_goes_through_the_emulator(compose, topology):
    networks = compose["services"]["wan"]["networks"]
    pairs = {(a["name"], b["name"]) for a in topology["region"] for b in topology["region"] if a is not b}
    assert {(link["from"], link["to"]) for link in topology["link"]} == pairs
    for link in topology["link"]:
        assert link["via"].split(":")[0] == networks[link["from"]]["ipv4_address"]


def test_what_services_name_is_there(compose):
    for name, service in compose["services"].items():
        assert set(service.get("networks", ())) <= set(compose["networks"]), name
        assert set(service.get("depends_on", ())) <= set(compose["services"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (ROOT / source).exists(), volume
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} listens to everybody"


def test_no_secret_is_in_the_image():
    assert "USER geodynamo" in DOCKERFILE
    instructions = re.sub(r"^#.*$", "", DOCKERFILE, flags=re.MULTILINE).replace(AUTHORITIES, "")
    for word in ("credentials", "certs", ".key", "SECRET"):
        assert word not in instructions, word


def test_nothing_comes_from_a_registry_that_nobody_named():
    """Only BASE and BUILDER do; a `syntax` line would fetch BuildKit's frontend from Docker Hub."""
    assert not names_a_frontend(DOCKERFILE)
    assert names_a_frontend("# syntax=docker/dockerfile:1\n" + DOCKERFILE)
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) - stages == {"${BUILDER}", "${BASE}"}
    assert set(re.findall(r"--from=(\S+)", DOCKERFILE)) <= stages


def names_a_frontend(text):
    return bool(re.search(r"^#\s*syntax\s*=", text, re.MULTILINE | re.IGNORECASE))


def test_the_image_has_the_authorities_that_the_load_generator_reads():
    default = re.findall(r'"(/[\w/.-]+\.crt)"', (ROOT / "loadgen" / "src" / "tls.rs").read_text())
    assert default == [AUTHORITIES]
    _, _, runtime = DOCKERFILE.partition("AS runtime\n")
    runtime, _, _ = runtime.partition("\nFROM ")
    assert AUTHORITIES in runtime and "ca-certificates" in runtime.replace(AUTHORITIES, "")
    assert runtime.index("ca-certificates") < runtime.index("USER"), "packages are installed by root"


def test_images_are_told_what_they_are_made_of(compose):
    """Each argument comes from the environment, and is one that the Dockerfile takes, with its default."""
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    built = {name: service["build"]["args"] for name, service in compose["services"].items() if "build" in service}
    assert {"init", "wan", "us-east-1", "eu-west-1", "ap-northeast-1"} == set(built)
    for name, arguments in built.items():
        assert set(arguments) == set(defaults), name
        for argument, value in arguments.items():
            variable, default = re.fullmatch(r"\$\{(\w+):-(\S+)\}", value).groups()
            assert default == defaults[argument], f"{name}: {argument}"
            assert variable in (argument, f"{argument}_IMAGE"), f"{name}: {argument}"
    # Before the compiler runs, for it reads them.
    assert DOCKERFILE.index("ARG GEODYNAMO_COMMIT") < DOCKERFILE.index("cargo build")


def test_what_make_docker_test_asks_is_published(compose, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    docker_test = importlib.import_module("docker_test")
    for region in docker_test.regions.NAMES:
        published = compose["services"][region]["ports"]
        assert published == [f"{docker_test.DATA[region]}:8000", f"{docker_test.ADMIN[region]}:8001"]
    assert compose["services"]["wan"]["ports"] == [f"{docker_test.CONTROL}:9090"]
    load = compose["services"]["load"]
    assert load["profiles"] == ["load"] and set(load["environment"]) == set(docker_test.OPTIONS)
    (script,) = load["command"]
    for name, words in docker_test.OPTIONS.items():
        assert f" $${name}" in script
        # A shell takes what a variable has apart at spaces; quotes are nothing to it there, and patterns would be names of files.
        assert not re.search(r"[\s*?\[\]\\'\"$]", "".join(words.split())), words
