#!/usr/bin/env python3
"""The figures of the main job, measured side by side in one run.

    bench/compare/main_job.py [--scale 135] [--runs 5] [--bin build/release/bin]

Starts a throw-away PostgreSQL 15, fills it with pgbench (scale 135 is about
2 GB), and prints a table and a JSON document:

  start-up         walvault-archive --version
  one segment      walvault-archive against pgbackrest archive-push, zstd 1, in turn
  first backup     walvault backup against pg_basebackup -Ft -D - >/dev/null, in turn
  unchanged        a second backup: bytes stored against the first
  restore          walvault restore
  peak memory      of each

Times are whole processes, medians of the runs; memory is the largest peak.
Needs: scripts/install-deps.sh --bench. Runs the server as postgres when root.
"""
import argparse
import json
import os
import pathlib
import pwd
import resource  # os.wait4 imports it late, when the new user may not be able to
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVER = "/usr/lib/postgresql/15/bin"
PORT = "54331"


def become_server_user():
    """A server refuses to run as root: then all of this runs as postgres."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


class Run:
    """One finished process: wall and CPU seconds, peak memory in bytes."""

    def __init__(self, command, env, cwd, ok=True):
        began = time.perf_counter()
        process = subprocess.Popen(command, env=env, cwd=cwd,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        errors = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.perf_counter() - began
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.memory_bytes = usage.ru_maxrss * 1024
        if ok and process.returncode != 0:
            sys.exit(f"{' '.join(command)} exited {process.returncode}:\n{errors}")


def median(runs):
    return statistics.median(run.seconds for run in runs)


def peak(runs):
    return max(run.memory_bytes for run in runs)


class Laboratory:
    def __init__(self, work, binaries, scale):
        self.work = work
        self.data = work / "pg"
        self.env = dict(os.environ, LC_ALL="C", PATH=f"{work}/bin:{SERVER}:{os.environ['PATH']}",
                        PGHOST=str(work), PGPORT=PORT, PGUSER="postgres", PGDATABASE="postgres",
                        WALVAULT_REPO=str(work / "repo"), WALVAULT_CLUSTER="main")
        self.conninfo = f"host={work} port={PORT} user=postgres"
        shutil.copytree(binaries, work / "bin")
        self.scale = scale

    def run(self, *command, ok=True):
        return Run([str(word) for word in command], self.env, self.work, ok)

    def start(self):
        self.run("initdb", "--no-sync", "-A", "trust", "--no-locale", "-k", "-U", "postgres",
                 "-D", self.data)
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.work}'\n"
                       f"port = {PORT}\nfsync = off\nautovacuum = off\nmax_wal_size = 4GB\n"
                       f"archive_mode = on\narchive_command = '{self.work}/bin/walvault-archive "
                       f"--repo {self.work}/repo --cluster main %p'\n")
        self.run("pg_ctl", "-D", self.data, "-l", self.work / "log", "-w", "start")
        self.run("walvault", "init")
        self.run("walvault", "cluster", "add", "main", "--pg", self.conninfo)
        self.run("pgbench", "-i", "-q", "-s", self.scale)
        self.run("psql", "-Xqc", "VACUUM FREEZE", "-c", "CHECKPOINT")

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop", ok=False)

    def segments(self):
        names = sorted(p for p in (self.data / "pg_wal").iterdir() if len(p.name) == 24)
        # Full ones of the load, not the one being written.
        return names[:3]

    def forget(self, *paths):
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)

    def has(self, program):
        return shutil.which(program, path=self.env["PATH"]) is not None


def bench_startup(lab, runs):
    return [lab.run("walvault-archive", "--version") for _ in range(runs * 20)]


def bench_segment(lab, runs):
    """In turn, so that a drift of the machine meets both alike."""
    ours, theirs = [], []
    lab.run("psql", "-Xqc", "ALTER SYSTEM SET archive_command = ''", "-c",
            "SELECT pg_reload_conf()")
    lab.run("pgbench", "-T", "8", "-c", "4", "-n")
    with_peer = lab.has("pgbackrest")
    if with_peer:
        config = lab.work / "pgbackrest.conf"
        config.write_text(f"""[global]
repo1-path={lab.work}/pgbackrest
log-path={lab.work}
lock-path={lab.work}/lock
spool-path={lab.work}/spool
compress-type=zst
compress-level=1
process-max=2
log-level-console=off
log-level-file=off
[main]
pg1-path={lab.data}
pg1-port={PORT}
pg1-socket-path={lab.work}
pg1-user=postgres
""")
        lab.run("pgbackrest", f"--config={config}", "--stanza=main", "stanza-create")
    for number in range(runs * 3):
        segment = lab.segments()[number % 3]
        # Only the objects: the directories are there on every call but the first.
        for stored in (lab.work / "repo" / "wal" / "main").rglob("*"):
            if stored.is_file():
                stored.unlink()
        ours.append(lab.run("walvault-archive", segment))
        if with_peer:
            for stored in (lab.work / "pgbackrest" / "archive" / "main").glob("*/*/*"):
                stored.unlink()
            theirs.append(lab.run("pgbackrest", f"--config={config}", "--stanza=main",
                                  "archive-push", segment))
    lab.run("psql", "-Xqc", "ALTER SYSTEM RESET archive_command", "-c", "SELECT pg_reload_conf()")
    return ours, theirs


def stored_bytes(path):
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def bench_backup(lab, runs):
    first, unchanged, peer, restore = [], [], [], []
    sizes = {}
    for number in range(runs):
        lab.forget(lab.work / "repo" / "packs", lab.work / "repo" / "backups", lab.work / "repo" / "pins",
                   lab.work / "restored")
        peer.append(lab.run("sh", "-c", "exec pg_basebackup -Ft -X none -c fast -D - >/dev/null"))
        first.append(lab.run("walvault", "backup", "--pg", lab.conninfo))
        sizes["first_stored"] = stored_bytes(lab.work / "repo" / "packs")
        unchanged.append(lab.run("walvault", "backup", "--pg", lab.conninfo))
        sizes["second_stored"] = stored_bytes(lab.work / "repo" / "packs") - sizes["first_stored"]
        restore.append(lab.run("walvault", "restore", "--pgdata", lab.work / "restored"))
    sizes["data"] = stored_bytes(lab.data / "base")
    return first, unchanged, peer, restore, sizes


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=int, default=135)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin")
    options = parser.parse_args()

    become_server_user()
    work = pathlib.Path(tempfile.mkdtemp(prefix="walvault-bench-", dir="/tmp"))
    lab = Laboratory(work, options.bin, options.scale)
    try:
        lab.start()
        startup = bench_startup(lab, options.runs)
        first, unchanged, peer, restore, sizes = bench_backup(lab, options.runs)
        ours, theirs = bench_segment(lab, options.runs)
    finally:
        lab.stop()
        shutil.rmtree(work, ignore_errors=True)

    rows = [
        ("start-up of walvault-archive", median(startup) * 1000, "ms", peak(startup)),
        ("one segment, walvault", median(ours) * 1000, "ms", peak(ours)),
    ]
    if theirs:
        rows.append(("one segment, pgbackrest", median(theirs) * 1000, "ms", peak(theirs)))
        rows.append(("  ratio", median(ours) / median(theirs), "x", None))
    else:
        print("pgbackrest is not installed: its row is left out", file=sys.stderr)
    rows += [
        ("first backup, walvault", median(first), "s", peak(first)),
        ("pg_basebackup to /dev/null", median(peer), "s", peak(peer)),
        ("  ratio", median(first) / median(peer), "x", None),
        ("second backup, nothing changed", median(unchanged), "s", peak(unchanged)),
        ("restore", median(restore), "s", peak(restore)),
    ]
    print(f"data {sizes['data'] / 1e9:.2f} GB, {options.runs} runs, {os.cpu_count()} processors")
    for name, value, unit, memory in rows:
        print(f"{name:32} {value:9.2f} {unit:3}"
              + (f"{memory / 2**20:8.0f} MiB" if memory else ""))
    share = sizes["second_stored"] / sizes["first_stored"]
    print(f"{'second stored of first':32} {share * 100:9.3f} %   "
          f"({sizes['second_stored']} of {sizes['first_stored']} bytes)")
    print(json.dumps({"data_bytes": sizes["data"], "runs": options.runs, "sizes": sizes,
                      "rows": [{"name": n, "value": v, "unit": u, "peak_bytes": m}
                               for n, v, u, m in rows]}))


if __name__ == "__main__":
    main()
