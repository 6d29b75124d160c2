"""The book: links lead somewhere, commands exist and take the flags that are shown, and the blocks marked `sh` run as they stand."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from conftest import BINARY

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^    (.*)$", re.MULTILINE)
# How long a page's commands may take, in seconds.
PAGE_S = 120


def blocks(page, language):
    return [text for marked, text in BLOCK.findall(page.read_text()) if marked == language]


def test_links_lead_somewhere():
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert missing == []


def test_the_book_has_every_page():
    listed = set(re.findall(r"\]\(([^)]+)\)", (ROOT / "docs/SUMMARY.md").read_text()))
    there = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")} - {"SUMMARY.md"}
    assert listed == there


def commands():
    """Every line of a block, joined where a backslash goes on, that calls one of the programs."""
    for page in PAGES:
        text = page.read_text()
        shown = [text for language, text in BLOCK.findall(text) if language in ("sh", "console")]
        shown.append("\n".join(INDENTED.findall(text)))
        for line in "\n".join(shown).replace("\\\n", " ").splitlines():
            for command in line.split("#")[0].split(";"):
                words = command.split()
                if words and words[0] in ("geodynamo", "geodynamo-loadgen"):
                    yield page.relative_to(ROOT), words


def test_commands_exist_and_take_what_is_shown():
    help_of, wrong, seen = {}, [], 0
    for page, words in commands():
        program = BINARY if words[0] == "geodynamo" else Path(BINARY).with_name(words[0])
        names = [word for word in words[1:4] if re.fullmatch(r"[a-z][a-z-]*", word)]
        # The longest run of words that is a command: what follows are its values. `a|b` shows several.
        choices = re.fullmatch(r"[a-z|-]+", words[2]) if len(words) > 2 and "|" in words[2] else None
        for path in [[words[1], choice] for choice in words[2].split("|")] if choices else [names]:
            while path and (text := helped(program, path, help_of)) is None:
                path = path[:-1]
            if not path:
                wrong.append(f"{page}: {' '.join(words)}: no such command")
                continue
            seen += 1
            for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", " ".join(words)):
                if flag not in text:
                    wrong.append(f"{page}: {' '.join(words)}: {flag}")
    assert wrong == []
    assert seen > 20


def helped(program, path, known):
    key = (str(program), *path)
    if key not in known:
        done = subprocess.run([program, *path, "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
        known[key] = done.stdout if done.returncode == 0 else None
    return known[key]


@pytest.mark.parametrize("name", ["production.md"])
def test_configurations_are_taken(name, tmp_path):
    topology, region = (text for text in blocks(ROOT / "docs" / name, "toml"))
    tomllib.loads(topology)
    (tmp_path / "topology.toml").write_text(topology)
    (tmp_path / "region.toml").write_text(region)
    certs = [BINARY, "certs", "--topology", "topology.toml", "--out", "certs"]
    subprocess.run(certs, cwd=tmp_path, check=True, timeout=60)
    for line in ("cert = ", "key = ", "ca = ", "cluster_key_file = "):
        for file in re.findall(rf'^{line}"(certs/[^"]+)"', region, re.MULTILINE):
            assert (tmp_path / file).exists(), file
    # It fails for want of a data directory, and for nothing that is wrong with the file.
    status = subprocess.run([BINARY, "keys", "status", "--config", "region.toml"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "region.toml" not in status.stderr, status.stderr


def test_the_first_ten_minutes(regions, tmp_path):
    us, eu, ap = regions
    script = "set -eu\n" + "".join(text for name in ("start.md", "conflicts.md") for text in blocks(ROOT / "docs" / name, "sh"))
    path = f"{Path(BINARY).parent}:{Path(os.sys.executable).parent}:{os.environ['PATH']}"
    variables = {
        "PATH": path,
        "US": us.endpoint,
        "EU": eu.endpoint,
        "AP": ap.endpoint,
        "US_ADMIN": us.admin.removeprefix("http://"),
        "WAN": us.wan,
        "AWS_ACCESS_KEY_ID": us.access_key_id,
        "AWS_SECRET_ACCESS_KEY": us.secret_access_key,
        "AWS_PAGER": "",
    }
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, timeout=PAGE_S)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert '"lamps"' in done.stdout, done.stdout[-2000:]
    us.client().delete_table(TableName="carts")
