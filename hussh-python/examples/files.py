"""Reads, writes and transfers files."""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

from hussh import ConnectionPool

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("--port", type=int, default=22)
parser.add_argument("--username", default="root")
parser.add_argument("--private-key")
arguments = parser.parse_args()

with ConnectionPool(**vars(arguments)) as pool, tempfile.TemporaryDirectory() as here:
    sftp = pool.sftp()
    there = f"hussh-example-{Path(here).name}"
    for number in range(100):
        Path(here, f"{number}.txt").write_text(f"{number}\n")
    print(sftp.put(here, there))
    with sftp.open(f"{there}/sizes.csv", "w", newline="") as table:
        rows = csv.writer(table)
        rows.writerows((entry.name, entry.stat().st_size) for entry in sftp.scandir(there))
    with sftp.open(f"{there}/sizes.csv", newline="") as table:
        print(len(list(csv.reader(table))), "files")
    print(sftp.get(there, Path(here, "back")))
    sftp.rmtree(there)
