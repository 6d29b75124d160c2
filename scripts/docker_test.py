"""compose.yaml from an image to volumes that survive, where a Docker engine answers; where none does, it says SKIPPED, and holds
compose.yaml against Compose's schema and the topology.

Builds, starts the three regions, puts them through what regions.py says (writes in each, the profile `load`, a link that is cut while both
sides write, equal digests), takes everything down, starts it again and finds what was written. Uses the ports that compose.yaml
publishes on loopback.

It was written on machines without an engine. What it does to regions is what netns.py does to them in every `make test`; what is its own
(building, starting, the profile, volumes) has been held against the files only, by tests/sdk/test_compose.py.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import regions

ROOT = Path(__file__).resolve().parent.parent
# What compose.yaml publishes of each region on loopback, and of the emulator.
DATA = {"us-east-1": "127.0.0.1:8001", "eu-west-1": "127.0.0.1:8002", "ap-northeast-1": "127.0.0.1:8003"}
ADMIN = {"us-east-1": "127.0.0.1:8081", "eu-west-1": "127.0.0.1:8082", "ap-northeast-1": "127.0.0.1:8083"}
CONTROL = "127.0.0.1:9091"
# The profile's options, which are long and endless otherwise.
OPTIONS = {"LOAD_OPTIONS": " ".join(regions.LOAD), "RUN_OPTIONS": " ".join([*regions.RUN, *regions.JUDGED])}


def main():
    if subprocess.call(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) != 0:
        print("=" * 72)
        print("SKIPPED: no Docker engine answers (docker info fails). Nothing was built or started.")
        print("What can be said without one: compose.yaml against Compose's schema and the topology.")
        print("=" * 72, flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/sdk/test_compose.py"]
        sys.exit(subprocess.call(command, cwd=ROOT))
    try:
        compose("up", "--build", "--detach", "--wait", *regions.NAMES)
        version = compose("run", "--rm", "--no-deps", "--entrypoint", "geodynamo", "keys", "--version")
        assert BUILD["GEODYNAMO_COMMIT"] in version and BUILD["GEODYNAMO_BUILD_DATE"] in version, version
        regions.said("the image's --version tells commit and build date")
        connect().story(load)
        compose("down")
        compose("up", "--detach", "--wait", *regions.NAMES)
        again = connect()
        again.see_what_each_wrote()
        again.see_equal_digests()
        regions.said("volumes survive")
    finally:
        compose("down", "--volumes")


def build():
    """What the image is told of itself."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"GEODYNAMO_COMMIT": commit.strip(), "GEODYNAMO_BUILD_DATE": datetime.now(UTC).strftime("%Y-%m-%d")}


BUILD = build()


def connect():
    credentials = regions.credentials_of(compose("run", "--rm", "-T", "keys"))
    return regions.Regions(DATA, ADMIN, CONTROL, credentials)


def load():
    return json.loads(compose("--profile", "load", "run", "--rm", "-T", "load"))


def compose(*arguments):
    environment = os.environ | BUILD | OPTIONS
    return subprocess.run(
        ["docker", "compose", *arguments], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    main()
