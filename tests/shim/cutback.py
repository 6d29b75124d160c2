"""Takes a directory back to what its process had synced: a power cut, after a kill -9.

    python3 cutback.py ROOT JOURNAL

Reads the journal that synctrack.c wrote (its head lists the records). Then, under ROOT:
- a rename whose directory was not synced afterwards is undone;
- a file that was never synced, or whose directory was not synced after its creation, is removed;
- overwritten bytes that were not synced get their synced contents back; bytes past the synced length are cut.
An unlink stands at once (a power cut may keep or lose it; keeping it is the harder case for a process that deletes too
early). The journal is removed, so the next process starts a new one. Prints one JSON object that says what was done, and
how many overwrites of synced bytes there were in all.
Ends with 2 if the journal has something it cannot judge (a shared writable mapping, an overwrite over the limit).
"""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Journal:
    """What one life of the process did, by inode (`dev:ino`) or absolute path."""

    synced: dict = field(default_factory=dict)  # inode → length
    entered: dict = field(default_factory=dict)  # path → sequence of its directory entry
    folders: dict = field(default_factory=dict)  # folder → sequence of its latest sync
    renames: list = field(default_factory=list)  # (sequence, old, new, saved)
    replaced: dict = field(default_factory=dict)  # inode → [(sequence, offset, bytes)]
    overwrites: int = 0
    unknown: list = field(default_factory=list)


def main(root, journal_path):
    root = os.path.realpath(root)
    journal = read(Path(journal_path))
    if journal.unknown:
        print(json.dumps({"unknown": journal.unknown}))
        return 2
    done = {"renames_undone": 0, "files_removed": 0, "files_cut": 0, "bytes_cut": 0, "overwrites_undone": 0}
    done["overwrites"] = journal.overwrites
    undo_renames(journal, done)
    for folder, _, names in os.walk(root):
        for name in names:
            take_back(os.path.join(folder, name), journal, done)
    for saved in {saved for _, _, _, saved in journal.renames if saved != "-"}:
        Path(saved).unlink(missing_ok=True)
    Path(journal_path).unlink()
    print(json.dumps(done))
    return 0


def read(path):
    journal = Journal()
    data = path.read_bytes()
    at = 0
    while at < len(data):
        end = data.find(b"\n", at)
        if end < 0:  # killed within a record: that call had not returned
            break
        kind, *fields = data[at:end].decode().split("\t")
        at = end + 1
        if kind == "E":
            journal.synced[fields[0]] = int(fields[1])
        elif kind == "C":
            # An inode may be a removed file's, used again.
            journal.synced.pop(fields[1], None)
            journal.replaced.pop(fields[1], None)
            journal.entered[fields[2]] = int(fields[0])
        elif kind == "T":
            inode, length = fields[1], int(fields[2])
            if inode in journal.synced:
                journal.synced[inode] = min(journal.synced[inode], length)
        elif kind == "S":
            sequence, inode, length = int(fields[0]), fields[1], int(fields[2])
            journal.synced[inode] = max(journal.synced.get(inode, 0), length)
            journal.replaced[inode] = [r for r in journal.replaced.get(inode, []) if r[0] > sequence]
        elif kind == "D":
            journal.folders[fields[1]] = max(journal.folders.get(fields[1], 0), int(fields[0]))
        elif kind == "R":
            sequence, old, new, saved = int(fields[0]), *fields[1:]
            journal.renames.append((sequence, old, new, saved))
        elif kind == "L":
            journal.entered[fields[2]] = int(fields[0])
        elif kind == "U":
            journal.entered.pop(fields[1], None)
        elif kind == "W":
            sequence, inode, offset, length = int(fields[0]), fields[1], int(fields[2]), int(fields[3])
            if at + length > len(data):
                break
            journal.overwrites += 1
            journal.replaced.setdefault(inode, []).append((sequence, offset, data[at : at + length]))
            at += length + 1
        elif kind == "X":
            journal.unknown.append(fields)
        else:
            raise ValueError(f"{path}: a record of an unknown kind: {kind!r}")
    return journal


def undo_renames(journal, done):
    for sequence, old, new, saved in reversed(journal.renames):
        synced = journal.folders.get(os.path.dirname(new), 0)
        if synced > sequence:
            continue
        if os.path.exists(new):
            os.rename(new, old)
            done["renames_undone"] += 1
        if saved != "-" and os.path.exists(saved):
            os.rename(saved, new)


def take_back(path, journal, done):
    about = os.lstat(path)
    inode = f"{about.st_dev}:{about.st_ino}"
    entered = journal.entered.get(path)
    entry_lost = entered is not None and journal.folders.get(os.path.dirname(path), 0) < entered
    if inode not in journal.synced or entry_lost:
        os.unlink(path)
        done["files_removed"] += 1
        return
    with open(path, "r+b") as file:
        for _, offset, old in reversed(journal.replaced.get(inode, [])):
            file.seek(offset)
            file.write(old)
            done["overwrites_undone"] += 1
        length = journal.synced[inode]
        if about.st_size > length:
            file.truncate(length)
            done["files_cut"] += 1
            done["bytes_cut"] += about.st_size - length


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
