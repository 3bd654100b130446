#!/usr/bin/env python3
"""Holds the includes to the layers of docs/architecture.md.

One table says which folder may include which, and which external headers have
their home where. Exits 1 and names every include that breaks it, and every one
that leads to no file.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# What stands below the catalog, and its rooms, each after those it may use.
BELOW_CATALOG = ["base", "codec", "postgres", "repository", "storage"]
CATALOG = ["catalog/records", "catalog/wal", "catalog/recovery", "catalog/find",
           "catalog/retention", "catalog/verification", "catalog/copy", "catalog/repair"]
STORAGE = ["storage", "storage/decorators", "storage/http", "storage/object", "storage/s3"]
SRC = ["base", "codec", *STORAGE, "postgres", "postgres/client", "datadir", "repository", *CATALOG,
       "server", "app", "app/results", "archiving"]
# PostgreSQL starts it once a segment: without libpq.
BELOW_FETCH = [name for name in SRC
               if name not in ("archiving", "server", "postgres/client", "app/results")]
# Folder -> the folders whose headers it may include, besides its own.
MAY_INCLUDE = {
    "base": [],
    "codec": ["base"],
    "storage": ["base", "codec"],
    "storage/decorators": ["base", "codec", "storage"],
    "storage/http": ["base", "codec", "storage"],
    "storage/object": ["base", "codec", "storage", "storage/http"],
    "storage/s3": ["base", "codec", "storage", "storage/http", "storage/object"],
    "postgres": ["base", "codec"],
    "postgres/client": ["base", "codec", "postgres"],
    "datadir": ["base", "codec", "postgres"],
    "repository": ["base", "codec", "storage"],
    "catalog/records": BELOW_CATALOG,
    "catalog/wal": BELOW_CATALOG + ["catalog/records"],
    "catalog/recovery": BELOW_CATALOG + ["catalog/records", "catalog/wal"],
    "catalog/find": BELOW_CATALOG + ["catalog/records", "catalog/wal"],
    "catalog/retention": BELOW_CATALOG + ["catalog/records", "catalog/wal", "catalog/recovery"],
    "catalog/verification": BELOW_CATALOG + ["catalog/records", "catalog/wal", "catalog/recovery"],
    "catalog/copy": BELOW_CATALOG + ["catalog/records", "catalog/wal"],
    "catalog/repair": BELOW_CATALOG + ["catalog/records", "catalog/wal", "catalog/recovery",
                                       "catalog/verification", "catalog/copy"],
    "server": BELOW_CATALOG + ["catalog/records", "postgres/client"],
    "app": [*STORAGE, "base", "codec", "postgres", "datadir", "repository", "catalog/records",
            "catalog/retention"],
    # The JSON of results, and where it needs the same care, their text.
    "app/results": BELOW_CATALOG + CATALOG,
    "archiving": [name for name in SRC if name not in ("archiving", "app/results")],
    "archive_command": SRC,
    "basebackup": SRC,
    "restore": SRC + ["restore/fetch"],
    "restore/fetch": BELOW_FETCH,
    "maintenance": SRC,
    "cli": SRC + ["archive_command", "basebackup", "restore", "maintenance"],
}

COMMANDS = ["archive_command", "basebackup", "restore", "restore/fetch", "maintenance"]

# External header prefix -> the folders that may include it.
HOMES = {
    "openssl/": ["codec"],
    "zstd.h": ["codec"],
    "lz4": ["codec"],
    "libpq-fe.h": ["postgres/client"],
    "curl/": ["storage/http"],
    "pugixml": ["storage/s3"],
    "CLI/": ["app"],
    "toml++/": ["app"],
    "spdlog/": ["app"],
    # Results everywhere they are made; the manifest is JSON that PostgreSQL wrote.
    "nlohmann/": ["app", "app/results", "postgres"] + COMMANDS,
    "boost/filesystem": ["storage", "datadir"],
}

INCLUDE = re.compile(r'^\s*#include\s+(["<])([^">]+)[">]')


def folder_of(path: pathlib.PurePath) -> str | None:
    """The layer that a file or an included path lies in."""
    parts = path.parts[:-1]
    if parts and parts[0] == "src":
        parts = parts[1:]
    return "/".join(parts) if parts else None


def main() -> int:
    failures = []
    for top in ["src", "archive_command", "basebackup", "restore", "maintenance"]:
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix not in (".h", ".cpp"):
                continue
            relative = path.relative_to(ROOT)
            folder = folder_of(relative)
            if folder not in MAY_INCLUDE:
                failures.append(f"{relative}: the folder {folder} is in no layer")
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                quote, included = match.groups()
                where = f"{relative}:{number}: {folder} may not include {included}"
                if quote == '"':
                    if not any((base / included).exists() for base in (ROOT, ROOT / "src")):
                        failures.append(f"{relative}:{number}: there is no {included}")
                    target = folder_of(pathlib.PurePosixPath(included))
                    if target != folder and target not in MAY_INCLUDE[folder]:
                        failures.append(where)
                else:
                    for prefix, homes in HOMES.items():
                        if included.startswith(prefix) and folder not in homes:
                            failures.append(where)
    for failure in failures:
        print(failure)
    print(f"{len(failures)} includes break the layers")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
