"""What README says of the console, done as it stands: from `geodynamo demo` to a conflict that is taken back."""

import queue
import re
import signal
import subprocess
import threading
import time

from conftest import BINARY, ROOT, START_S, sign_in
from playwright.sync_api import expect


def test_from_the_demo_to_a_conflict(browse, tmp_path):
    text = (ROOT / "README.md").read_text()
    for name in ("*Streams*", "`Airports`", "*Conflicts*", "*Restore the loser …*", "*Restore*"):
        assert name in text, name
    began = time.monotonic()
    with (tmp_path / "stderr.log").open("wb") as log:
        process = subprocess.Popen([BINARY, "demo"], cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
    lines = queue.Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in process.stdout], daemon=True).start()
    try:
        first = lines.get(timeout=START_S)
        address, key, secret = re.match(r"Console: (\S+) +\(access key (\w+), secret ([\w-]+)\)", first).groups()
        while "The regions stay up" not in lines.get(timeout=START_S):
            pass
        told = time.monotonic()
        page = browse(address=address, signs_in=False)
        sign_in(page, key, secret)
        page.get_by_role("link", name="Streams").click()
        page.get_by_role("region", name="Streams").get_by_role("row").filter(has_text="Airports").get_by_role("link", name="Conflicts").click()
        lost = page.get_by_role("log").locator("details").first
        lost.locator("summary").click()
        expect(lost).to_contain_text("Lost: ")
        expect(lost).to_contain_text("Won: ")
        lost.get_by_role("button", name="Restore the loser …").click()
        page.get_by_role("dialog").get_by_role("button", name="Restore", exact=True).click()
        expect(page.get_by_text("The version that lost is written anew")).to_be_visible()
        print(f"the demo's story: {told - began:.1f} s; the clicks: {time.monotonic() - told:.1f} s")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
