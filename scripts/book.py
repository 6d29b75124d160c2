#!/usr/bin/env python3
"""Makes the book of `docs/` with mdBook: `scripts/book.py TARGET`.

The pages link to some that stand outside of `docs/`, too. So the book is made of a copy in which every page stands where it
stands in the repository, and those outside are chapters at its end.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Pages outside of docs/ that the book links to.
OUTSIDE = [
    ("Architecture", "ARCHITECTURE.md"),
    ("Contributing", "CONTRIBUTING.md"),
    ("Security", "SECURITY.md"),
    ("Changes", "CHANGELOG.md"),
    ("Dashboards and alerts", "grafana/README.md"),
]
FILES = ("*.md", "*.png", "*.svg", "LICENSE")


def mdbook():
    command = [ROOT / "scripts/python-env", "--path", "tests/sdk/requirements-book.txt"]
    return Path(subprocess.check_output(command, cwd=ROOT, text=True).strip(), "bin/mdbook")


def build(root, target):
    """Builds the book of a repository's pages. Gives whether that went without a warning, and what mdBook said."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "src")
        for place in ["docs", "grafana", "."]:
            for pattern in FILES:
                files = Path(root, place).glob(pattern) if place == "." else Path(root, place).rglob(pattern)
                for file in files:
                    copy = source / file.relative_to(root)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, copy)
        summary = re.sub(r"\]\(", "](docs/", Path(root, "docs/SUMMARY.md").read_text())
        (source / "docs/SUMMARY.md").unlink()
        chapters = "".join(f"- [{name}]({page})\n" for name, page in OUTSIDE)
        (source / "SUMMARY.md").write_text(f"{summary}\n# The project\n\n{chapters}")
        shutil.copy(Path(root, "docs/book.toml"), folder)
        command = [mdbook(), "build", folder, "--dest-dir", Path(target).resolve()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    return done.returncode == 0 and not re.search(r"\b(WARN|ERROR)\b", said), said


if __name__ == "__main__":
    good, said = build(ROOT, sys.argv[1])
    print(said, end="", file=sys.stderr)
    sys.exit(0 if good else 1)
