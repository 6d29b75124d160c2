"""See the package."""

import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

from conftest import serve

from former import fill

SETTINGS = """
[storage]
reserve_mb = 0
"""

name = Path(sys.argv[1])
folder = Path(tempfile.mkdtemp())
with serve(folder, SETTINGS) as region:
    fill(region)
with tarfile.open(f"{name}.tar.gz", "w:gz") as archive:
    # Without the engine's own diary.
    for path in [folder / "data.key", *sorted((folder / "data").rglob("*"))]:
        if not path.name.startswith("LOG"):
            archive.add(path, arcname=str(path.relative_to(folder)), recursive=False)
shutil.rmtree(folder)
