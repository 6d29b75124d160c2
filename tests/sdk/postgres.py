"""A PostgreSQL server for tests, by Debian's binaries: on loopback, in a folder of its own, with TLS and a password."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from conftest import free_port, wait_until

PASSWORD = "hush's password"


def programs():
    """Where the newest version's programs are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    assert found, "PostgreSQL is not here; `scripts/setup test` installs it"
    return found[-1].parent


class Postgres:
    def __init__(self):
        self.bin = programs()
        # Not below pytest's folder: PostgreSQL does not run as root, and others cannot get in there.
        self.folder = Path(tempfile.mkdtemp(prefix="geodynamo-postgres-"))
        self.port = free_port()
        self.process = None
        self.as_user = []
        if os.getuid() == 0:
            names = {user.pw_name for user in pwd.getpwall()}
            user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
            self.as_user = ["setpriv", *ids]
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        (self.folder / "password").write_text(PASSWORD)
        os.chmod(self.folder / "password", 0o644)
        self.run("initdb", "-D", self.folder / "data", "-U", "owner", "--auth=scram-sha-256", "-E", "UTF8", "--no-sync",
                 "--pwfile", self.folder / "password")
        self.make_certificate()

    def make_certificate(self):
        key, self.ca = self.folder / "data/server.key", self.folder / "server.crt"
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]
        subprocess.run(
            [*self.as_user, "openssl", "req", "-new", "-x509", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-keyout", key, "-out", self.ca, *names],
            check=True, capture_output=True, cwd=self.folder,
        )
        os.chmod(key, 0o600)

    def run(self, program, *arguments):
        command = [*self.as_user, self.bin / program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self):
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off", "ssl": "on",
            "ssl_cert_file": self.ca, "ssl_key_file": "server.key", "shared_buffers": "16MB",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

        def answers():
            # What a killed server leaves behind may take a moment to go.
            if self.process is None or self.process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self.process = subprocess.Popen(
                        [*self.as_user, self.bin / "postgres", "-D", self.folder / "data", *arguments],
                        cwd=self.folder, stdout=log, stderr=subprocess.STDOUT,
                    )
            return self.psql("SELECT 1", check=False)

        wait_until(answers, "PostgreSQL answers", 60)

    def stop(self, how=signal.SIGINT):
        if self.process:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None

    def kill(self):
        self.stop(signal.SIGKILL)

    def psql(self, *statements, check=True):
        """What statements answer, as text; each is a transaction of its own."""
        command = [self.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.address("localhost")]
        for statement in statements:
            command += ["-c", statement]
        environment = {**os.environ, "PGPASSWORD": PASSWORD, "PGSSLMODE": "disable"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if check:
            assert done.returncode == 0, done.stderr
        return done.stdout if done.returncode == 0 else None

    def rows(self, query):
        """A query's rows, as JSON has them."""
        return json.loads(self.psql(f"SELECT coalesce(json_agg(q), '[]') FROM ({query}) AS q"))

    def address(self, host="localhost", more=""):
        return f"postgres://owner@{host}:{self.port}/postgres{more}"


@contextmanager
def postgres():
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)
