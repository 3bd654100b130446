#!/usr/bin/env python3
"""walvault beside the programs that people use today, on one cluster in one run.

    bench/compare/compare.py [--scale 135] [--runs 3] [--rows NAME,NAME] [--self]
                             [--bin build/release/bin] [--json FILE] [--svg FILE]
                             [--object-store [--request-delay MILLISECONDS]]

Starts a throw-away PostgreSQL 15, fills it with pgbench (scale 135 is about 2 GB), and lets
walvault, pgBackRest and Barman do the same things in turn, so that a drift of the machine
meets all alike. A program that is not installed is left out with a word. Every restore is
started and compared with the original. Prints medians; --self adds walvault a second time,
which has to come out at a ratio of about 1. Needs scripts/install-deps.sh --bench.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import sys
import tempfile
import time

import plot
from laboratory import Laboratory, become_server_user, forget, stored_bytes
from object_store import ObjectStore
from table import OURS, Table
from tools import (Barman, PgBackRest, PgBackRestInObjectStore, Walvault,
                   WalvaultInObjectStore)

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Comparison:
    def __init__(self, lab, tools, options, table, queued):
        self.lab, self.tools, self.runs, self.table = lab, tools, options.runs, table
        self.queued = queued
        self.segments = options.segments

    def discard_pending_wal(self):
        """So that the first one's backup does not wait for what was written before."""
        self.lab.archive_with("true")
        self.lab.sql("SELECT pg_create_restore_point('x')", "SELECT pg_switch_wal()")
        self.wait_until_archived()

    def backup(self, tool, full=False):
        self.discard_pending_wal()
        self.lab.archive_with(tool.push_command("$1"))
        return tool.backup(full)

    def back_up_all(self):
        for tool in self.tools:
            tool.set_up()
            self.backup(tool, full=True)

    def interleaved(self, row, action, rounds=None, prepare=lambda: None):
        """Each program in turn, round by round: a row for each. Another begins each round, since
        what one leaves behind (files to write out, a directory to delete) costs the next."""
        runs = {tool.name: [] for tool in self.tools}
        for number in range(rounds or self.runs):
            prepare()
            first = number % len(self.tools)
            for tool in self.tools[first:] + self.tools[:first]:
                runs[tool.name].append(action(tool))
        return {name: self.table.add(row, name, taken) for name, taken in runs.items()}

    def pending_segments(self):
        """Complete segments that wait for the archiver, oldest first."""
        status = self.lab.data / "pg_wal" / "archive_status"
        names = sorted(p.name[:-6] for p in status.glob("*.ready") if len(p.name) == 30)
        return [self.lab.data / "pg_wal" / name for name in names]

    # ---- the rows

    def start_up(self):
        self.table.add("start-up of the archiver", "walvault",
                       [self.lab.run("walvault-archive", "--version")
                        for _ in range(self.runs * 20)])

    def first_backup(self):
        def first(tool):
            tool.set_up()
            return self.backup(tool, full=True)
        entries = self.interleaved("first backup", first)
        for tool in self.tools:
            entries[tool.name]["stored_bytes"] = tool.stored_bytes()
        self.table.add("first backup", "pg_basebackup", [
            self.lab.shell("exec pg_basebackup -Ft -X none -c fast -D - >/dev/null")
            for _ in range(self.runs)])

    def next_backups(self):
        """After 40,000 transactions, and after none."""
        def transactions():
            self.lab.run("pgbench", "-n", "-c", "4", "-t", "10000")
        for row, prepare in (("next, 40,000 transactions", transactions),
                             ("next, nothing changed", lambda: None)):
            grown = {tool.name: [] for tool in self.tools}

            def measured(tool, grown=grown):
                before = tool.stored_bytes()
                run = self.backup(tool)
                grown[tool.name].append(tool.stored_bytes() - before)
                return run
            for name, entry in self.interleaved(row, measured, prepare=prepare).items():
                entry["stored_bytes"] = statistics.median(grown[name])

    def restore(self):
        self.lab.sql("CHECKPOINT")
        for tool in self.tools:
            self.backup(tool)
            # So that each has the WAL that makes its backup whole.
            self.lab.sql("SELECT pg_create_restore_point('x')", "SELECT pg_switch_wal()")
            self.wait_until_archived()
            tool.settle()
        expected = self.lab.checksum()
        directory = self.lab.work / "restored"

        def restored(tool):
            forget(directory)
            return tool.restore(directory)
        self.interleaved("restore of the newest", restored)
        for tool in self.tools:
            restored(tool)
            self.recover_and_compare(tool, directory, expected)

    def wait_until_archived(self):
        while self.pending_segments():
            time.sleep(0.05)

    def recover_and_compare(self, tool, directory, expected):
        seconds, checksum = self.lab.start_restored(directory)
        if checksum != expected:
            sys.exit(f"{tool.name} restored something else: {checksum}, not {expected}")
        forget(directory)
        return seconds

    def delta_restore(self):
        """Onto the newest backup's directory, in which a fiftieth of the chunks differs."""
        directory = self.lab.work / "restored"

        def restored(tool):
            forget(directory)
            tool.restore(directory)
            for path in sorted((directory / "base").rglob("*")):
                if not path.is_file():
                    continue
                with open(path, "r+b") as file:
                    for offset in range(0, path.stat().st_size, 50 * 256 * 1024):
                        file.seek(offset)
                        file.write(b"spoilt")
            self.lab.shell("sync")
            return tool.restore(directory, delta=True)
        runs = {tool.name: [] for tool in self.tools if tool.has_delta}
        for _ in range(self.runs):
            for tool in self.tools:
                if tool.has_delta:
                    runs[tool.name].append(restored(tool))
        for name, taken in runs.items():
            self.table.add("the same onto 98 % of it", name, taken)

    def one_segment(self):
        """Segments of a load, as they are; each pushed into an archive without it."""
        self.lab.archive_with(None)
        self.lab.run("pgbench", "-T", "8", "-c", "4", "-n")
        segments = self.pending_segments()[:3]
        number = 0

        def push(tool):
            nonlocal number
            tool.forget_wal()
            segment = segments[number // len(self.tools) % len(segments)]
            number += 1
            return self.lab.shell(tool.push_command(str(segment)))
        self.interleaved("one segment", push, rounds=self.runs * 5)

    def many_segments(self):
        """What the archiver does for many segments, and their replay after a restore."""
        for tool in self.tools:
            tool.set_up()
        self.discard_pending_wal()
        # All WAL from here on is for all: each has to follow from its backup.
        self.lab.archive_with(" && ".join(f"({tool.push_command('$1')})" for tool in self.tools))
        for tool in self.tools:
            tool.backup(full=True)
        self.wait_until_archived()
        self.lab.archive_with(None)
        step = 0
        while len(self.pending_segments()) < self.segments:
            self.lab.sql("UPDATE pgbench_accounts SET abalance = abalance + 1 "
                         f"WHERE aid / 1000 % 50 = {step % 50}")
            step += 1
        expected = self.lab.checksum()
        self.lab.sql("SELECT pg_create_restore_point('x')", "SELECT pg_switch_wal()")
        segments = self.pending_segments()
        for tool in self.archivers():
            before = tool.wal_bytes()
            seconds = self.drain(tool, segments)
            entry = self.table.add(f"archiving {len(segments)} segments", tool.name,
                                   seconds=seconds)
            tool.settle()
            entry["stored_bytes"] = tool.wal_bytes() - before
        directory = self.lab.work / "restored"
        for tool in self.tools:
            forget(directory)
            tool.restore(directory)
            self.table.add(f"replay of {len(segments)} segments", tool.name,
                           seconds=self.recover_and_compare(tool, directory, expected))

    def archivers(self):
        """With pgBackRest's asynchronous mode, for which it has a queue of its own."""
        for tool in self.tools:
            yield tool
            if tool.name == PgBackRest.name:
                queued = self.queued()
                queued.set_up()
                yield queued

    def drain(self, tool, segments):
        """Seconds that the server's archiver takes for segments that wait."""
        status = self.lab.data / "pg_wal" / "archive_status"
        # Those that were made since as well: each program has all from the first on.
        for done in status.glob("*.done"):
            if len(done.name) == 29 and done.stem >= segments[0].name:
                done.rename(done.with_suffix(".ready"))
        self.lab.archive_with(tool.push_command("$1"))
        # It may be asleep: a new segment wakes it.
        self.lab.sql("SELECT pg_create_restore_point('x')", "SELECT pg_switch_wal()")
        began = time.perf_counter()
        self.wait_until_archived()
        seconds = time.perf_counter() - began
        self.lab.archive_with(None)
        return seconds

    def ten_days(self):
        """Ten backups, with TPC-B transactions before each that change a fifth of the pages."""
        def transactions(_):
            # So many for each 16 MB: how many pages that changes is measured.
            self.lab.run("pgbench", "-n", "-c", "4", "-t", max(1, self.lab.scale * 250 // 4))
        self.ten_backups("ten days, {:.0%} of the pages", transactions)
        first = [tool for tool in self.tools if tool.name in OURS]
        directory = self.lab.work / "restored"
        for row, tools, which in (("the tenth of them, restored", self.tools, "newest"),
                                  ("the first of them, restored", first, "first")):
            runs = {tool.name: [] for tool in tools}
            for _ in range(self.runs):
                for tool in tools:
                    forget(directory)
                    runs[tool.name].append(tool.restore(directory) if which == "newest"
                                           else tool.restore_first(directory))
            for name, taken in runs.items():
                self.table.add(row, name, taken)
        forget(directory)

    def ten_rewrites(self):
        """The same, with a fifth of the rows updated before each, to places elsewhere."""
        self.ten_backups("ten days, {:.0%}, rows moved", lambda day: self.lab.sql(
            f"UPDATE pgbench_accounts SET abalance = {day} WHERE aid / 1000 % 5 = {day % 5}"))

    def ten_backups(self, row, change):
        for tool in self.tools:
            tool.set_up()
        self.back_up_all()
        before = {tool.name: tool.stored_bytes() for tool in self.tools}
        runs = {tool.name: [] for tool in self.tools}
        shares = []
        for day in range(10):
            # Up to here hint bits are set, as they are in a database that is used.
            self.lab.sql("VACUUM pgbench_accounts", "CHECKPOINT")
            since = self.lab.sql("SELECT pg_current_wal_insert_lsn()")
            change(day)
            self.lab.sql("VACUUM pgbench_accounts", "CHECKPOINT")
            shares.append(self.lab.share_of_pages_since(since))
            for tool in self.tools:
                runs[tool.name].append(self.backup(tool))
        for tool in self.tools:
            taken = runs[tool.name]
            entry = self.table.add(row.format(statistics.median(shares)), tool.name, taken)
            entry.update(seconds=sum(run.seconds for run in taken),
                         cpu_seconds=sum(run.cpu_seconds for run in taken),
                         stored_bytes=tool.stored_bytes() - before[tool.name])

    def clone(self):
        """The first backup of a cluster that is in the repository under another name."""
        for tool in self.tools:
            if tool.name not in OURS:
                continue
            self.backup(tool)
            before = tool.stored_bytes()
            run = tool.backup_of_clone()
            self.table.add("first of a clone", tool.name, [run])["stored_bytes"] = (
                tool.stored_bytes() - before)


def write(file, text):
    if file is None:
        return
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()


ROWS = ["start_up", "first_backup", "next_backups", "clone", "restore", "delta_restore",
        "one_segment", "many_segments", "ten_days", "ten_rewrites"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scale", type=int, default=135)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--segments", type=int, default=200)
    parser.add_argument("--rows", default=",".join(ROWS), help="of: " + ", ".join(ROWS))
    parser.add_argument("--object-store", action="store_true",
                        help="with all repositories in one, Ceph's on this machine")
    parser.add_argument("--request-delay", type=int, metavar="MILLISECONDS",
                        help="until each answer of the object store comes")
    parser.add_argument("--peers", type=pathlib.Path, metavar="DIRECTORY",
                        help="what scripts/install-peers.sh has put there, instead of the system's")
    parser.add_argument("--self", action="store_true", dest="twice")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--svg", type=pathlib.Path)
    options = parser.parse_args()
    rows = options.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(unknown)}")
    if options.request_delay and not options.object_store:
        parser.error("--request-delay wants --object-store")
    outputs = {path: open(path, "w") for path in (options.json, options.svg) if path}

    work = pathlib.Path(tempfile.mkdtemp(prefix="walvault-bench-", dir="/tmp"))
    shutil.copytree(options.bin, work / "bin")
    become_server_user(work)
    lab = Laboratory(work, options.scale, options.peers)
    slow_network = None
    if options.request_delay:
        slow_network = [work / "bin" / "slow_network", str(options.request_delay)]
    store = (ObjectStore(work / "store", slow_network=slow_network) if options.object_store
             else None)
    if store:
        def ours(*how):
            return WalvaultInObjectStore(lab, store, *how)

        def pgbackrest(name=PgBackRest.name):
            return PgBackRestInObjectStore(lab, store, name)
    else:
        def ours(*how):
            return Walvault(lab, *how)

        def pgbackrest(name=PgBackRest.name):
            return PgBackRest(lab, name)
    tools = [ours(OURS[0]), ours(OURS[1], "--via", "files")]
    if options.twice:
        tools.append(ours("walvault-again"))
    for tool in [pgbackrest()] if store else [pgbackrest(), Barman(lab)]:
        if lab.has(tool.name):
            tools.append(tool)
        else:
            print(f"{tool.name} is not installed and left out", file=sys.stderr)
    table = Table()
    try:
        lab.start()
        data_bytes = stored_bytes(lab.data / "base")
        comparison = Comparison(lab, tools, options, table,
                                lambda: pgbackrest("pgbackrest-queue"))
        if "first_backup" not in rows:
            comparison.back_up_all()
        for row in ROWS:
            if row in rows:
                began = time.monotonic()
                getattr(comparison, row)()
                print(f"{row}: {time.monotonic() - began:.0f} s", file=sys.stderr)
                # What is known so far: the whole takes a while.
                write(outputs.get(options.json), json.dumps({"rows": table.rows}, indent=1))
        versions = [tool.version() for tool in tools]
    finally:
        lab.stop()
        if store:
            store.stop()
        shutil.rmtree(work, ignore_errors=True)

    head = (f"{datetime.date.today()}, {os.cpu_count()} processors, Linux {platform.release()}, "
            f"{data_bytes / 1e9:.2f} GB of pgbench data, PostgreSQL 15, medians of "
            f"{options.runs} runs" +
            (f", answers of the object store {options.request_delay} ms later"
             if options.request_delay else "") + "\n" + ", ".join(versions))
    print(head + "\nratio, files: the time of walvault and of walvault with --via files to that "
          "program's\n\n" + table.text())
    document = {"head": head, "data_bytes": data_bytes, "rows": table.rows}
    write(outputs.get(options.json), json.dumps(document, indent=1))
    write(outputs.get(options.svg), plot.bars(head, table.rows))


if __name__ == "__main__":
    main()
