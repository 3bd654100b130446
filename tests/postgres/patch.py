#!/usr/bin/env python3
"""Has PostgreSQL's Cluster.pm archive, fetch and back up with the scripts beside this one."""

import sys


def main() -> None:
    path = sys.argv[1]
    with open(path, encoding="utf-8") as file:
        text = file.read()
    replacements = [
        ('qq{cp "$path/%f" "%p"}', 'qq{$ENV{WALVAULT_TOOLS}/fetch "$path" "%f" "%p"}'),
        ('qq{cp "%p" "$path/%f"}', 'qq{$ENV{WALVAULT_TOOLS}/archive "$path" "%p"}'),
    ]
    for old, new in replacements:
        if old not in text:
            sys.exit(f"{path} has no {old}")
        text = text.replace(old, new)
    begin = text.index("sub backup\n")
    end = text.index("\n}\n", begin)
    backup = text[begin:end]
    if "'pg_basebackup'" not in backup:
        sys.exit(f"{path} has no pg_basebackup")
    backup = backup.replace("'pg_basebackup'", '"$ENV{WALVAULT_TOOLS}/basebackup"', 1)
    backup = backup.replace(
        "local %ENV = $self->_get_env();",
        "local %ENV = $self->_get_env(WALVAULT_ARCHIVE => $self->archive_dir);",
        1,
    )
    with open(path, "w", encoding="utf-8") as file:
        file.write(text[:begin] + backup + text[end:])


main()
