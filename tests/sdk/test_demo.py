"""`geodynamo demo`, as a person runs it: its story to the end, then regions that stay up until they are told to stop."""

import os
import pathlib
import signal
import subprocess

import airportsdata
from conftest import BINARY

STOPPED_WITHIN_S = 60


def test_the_story_is_told_and_the_demo_stops_when_told_to(tmp_path):
    airports = pathlib.Path(airportsdata.__file__).with_name("airports.csv")
    told = tmp_path / "told"
    with told.open("w") as output:
        demo = subprocess.Popen(
            [BINARY, "demo", "--data", tmp_path / "data"],
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={**os.environ, "AIRPORTS_CSV": str(airports)},
        )
        try:
            lines = []
            for line in demo.stdout:
                lines.append(line)
                if "aws dynamodb get-item" in line:
                    break
            story = "".join(lines)
            assert "The regions stay up" in story, story + told.read_text()
            assert demo.poll() is None
            demo.send_signal(signal.SIGINT)
            assert demo.wait(timeout=STOPPED_WITHIN_S) == 0
        finally:
            if demo.poll() is None:
                demo.kill()
                demo.wait()
