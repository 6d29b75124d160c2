"""compose.yaml's world without Docker: each region in a network namespace of its own, and the WAN emulator between them.

    netns.py demo    starts it, says how to use it, and stays up until Ctrl-C
    netns.py test    starts it, and puts it through what regions.py says: writes, load, a cut, digests

Needs root (or CAP_SYS_ADMIN) and iproute2. The namespaces are made and taken away here; nothing outside them is touched, and no
packet leaves them. The addresses are those of docker/topology.toml; configurations are made by docker/init.sh, as in compose.yaml.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REGIONS = {"us-east-1": "10.77.1", "eu-west-1": "10.77.2", "ap-northeast-1": "10.77.3"}
CONTROL = "10.77.1.2:9090"
ENDPOINTS = [word for region, network in REGIONS.items() for word in ("--endpoint", f"{region}={network}.10:8000")]
START_MAX_S = 60


def main():
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "client":
        return client(json.loads(sys.argv[2]), sys.argv[3])
    if command not in ("demo", "test"):
        sys.exit(__doc__)
    if os.geteuid() != 0:
        sys.exit("netns.py: network namespaces need root")
    binaries = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / os.environ.get("PROFILE", "debug")
    with tempfile.TemporaryDirectory(prefix="geodynamo-netns-") as folder, World(binaries, Path(folder)) as world:
        if command == "demo":
            return world.demo()
        inside = world.command(world.wan, sys.executable, __file__, "client", json.dumps(world.credentials()), str(binaries))
        return subprocess.call(inside)


class World:
    """The namespaces and the processes in them."""

    def __init__(self, binaries, folder):
        self.binaries, self.folder = binaries, folder
        self.prefix = f"gd{os.getpid()}"
        self.wan = f"{self.prefix}-wan"
        self.undo = contextlib.ExitStack()

    def __enter__(self):
        # A failure on the way takes back what is there.
        with self.undo:
            self.lay_out()
            self.start()
            self.undo = self.undo.pop_all()
        return self

    def __exit__(self, *_):
        self.undo.close()

    def lay_out(self):
        self.namespace(self.wan)
        for place, (region, network) in enumerate(REGIONS.items()):
            namespace = self.name(region)
            self.namespace(namespace)
            ours, theirs = f"{self.prefix}w{place}", f"{self.prefix}r{place}"
            ip("link", "add", ours, "netns", self.wan, "type", "veth", "peer", "name", theirs, "netns", namespace)
            for where, device, address in ((self.wan, ours, f"{network}.2"), (namespace, theirs, f"{network}.10")):
                ip("-n", where, "addr", "add", f"{address}/24", "dev", device)
                ip("-n", where, "link", "set", device, "up")

    def namespace(self, name):
        ip("netns", "add", name)
        self.undo.callback(ip, "netns", "delete", name)
        ip("-n", name, "link", "set", "lo", "up")

    def start(self):
        environment = {**os.environ, "DATA_DIR": str(self.folder / "data")}
        init = ["docker/init.sh", "docker/topology.toml", str(self.folder), str(self.binaries / "geodynamo")]
        subprocess.run(init, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        topology = str(self.folder / "topology.toml")
        self.process(self.wan, "wan", "geodynamo-wan", "--topology", topology, "--control", "0.0.0.0:9090")
        for region in REGIONS:
            config = str(self.folder / f"{region}.toml")
            self.process(self.name(region), region, "geodynamo", "serve", "--config", config)
        for region in REGIONS:
            self.wait_ready(region)

    def process(self, namespace, name, program, *arguments):
        log = open(self.folder / f"{name}.log", "w")
        command = self.command(namespace, str(self.binaries / program), *arguments)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.undo.callback(end, process)

    def wait_ready(self, region):
        health = [str(self.binaries / "geodynamo"), "health", "--admin", "127.0.0.1:8001"]
        deadline = time.monotonic() + START_MAX_S
        while subprocess.call(self.command(self.name(region), *health), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            if time.monotonic() > deadline:
                sys.exit(f"{region} is not ready:\n{(self.folder / f'{region}.log').read_text()}")
            time.sleep(0.1)

    def name(self, region):
        return f"{self.prefix}-{region}"

    def command(self, namespace, *command):
        return ["ip", "netns", "exec", namespace, *command]

    def credentials(self):
        lines = (self.folder / "credentials.env").read_text().split()
        return dict(line.split("=", 1) for line in lines)

    def demo(self):
        print(f"Three regions run, each in a network namespace of its own. Access key: {self.folder}/credentials.env\n")
        for region, network in REGIONS.items():
            print(f"  {region:<15} http://{network}.10:8000   ip netns exec {self.name(region)} …")
        inside = f"ip netns exec {self.wan}"
        loadgen = f"{inside} {self.binaries / 'geodynamo-loadgen'}"
        print(f"\nAll of them can be reached from where the WAN emulator is:\n  {inside} curl http://{CONTROL}/links")
        print("\nLoad on all three, and how far they lag behind each other:")
        print(f"  export $(cat {self.folder}/credentials.env)")
        print(f"  {loadgen} load {' '.join(ENDPOINTS)}")
        print(f"  {loadgen} run --arrivals poisson:200 --probe {' '.join(ENDPOINTS)}")
        print("Ctrl-C ends it.", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
        return 0


def client(credentials, binaries):
    """Runs in the emulator's namespace, which reaches all regions."""
    # Not at the top: the demo needs no boto3.
    import regions

    data, admin = ({region: f"{network}.10:{port}" for region, network in REGIONS.items()} for port in (8000, 8001))
    loadgen = str(Path(binaries) / "geodynamo-loadgen")
    environment = {**os.environ, **credentials}

    def load():
        subprocess.run([loadgen, "load", *ENDPOINTS, *regions.LOAD], env=environment, check=True, stderr=subprocess.DEVNULL)
        run = [loadgen, "run", *ENDPOINTS, *regions.RUN, *regions.JUDGED]
        return json.loads(subprocess.run(run, env=environment, check=True, stdout=subprocess.PIPE).stdout)

    regions.Regions(data, admin, CONTROL, credentials).story(load)
    return 0


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def end(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
