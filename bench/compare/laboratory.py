"""A throw-away PostgreSQL 15 with pgbench's tables, and processes run and measured."""
import os
import pathlib
import pwd
import resource  # noqa: F401 - os.wait4 imports it late, when the new user may not be able to
import shutil
import signal
import struct
import subprocess
import sys
import time

SERVER = "/usr/lib/postgresql/15/bin"
PORT = "54331"


def become_server_user(work):
    """A server refuses to run as root: then all of this runs as postgres, whose is `work`."""
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for path in (work, *work.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


class Run:
    """One finished process and its children: seconds, CPU seconds, peak bytes of the largest."""

    def __init__(self, command, env, cwd, ok=True):
        began = time.perf_counter()
        process = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = process.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        self.exit_code = process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds = time.perf_counter() - began
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.memory_bytes = usage.ru_maxrss * 1024
        if ok and self.exit_code != 0:
            sys.exit(f"{' '.join(command)} exited {self.exit_code}:\n{self.output}")


class Laboratory:
    """`work` has the programs to be measured in `bin`; `peers`, if given, others in its `bin`,
    which go before those of the system."""

    def __init__(self, work, scale, peers=None):
        self.work = work
        self.data = work / "pg"
        first = f"{work}/bin:{peers}/bin:" if peers else f"{work}/bin:"
        self.env = dict(os.environ, LC_ALL="C", PATH=f"{first}{SERVER}:{os.environ['PATH']}",
                        PGHOST=str(work), PGPORT=PORT, PGUSER="postgres", PGDATABASE="postgres",
                        HOME=str(work))
        self.conninfo = f"host={work} port={PORT} user=postgres"
        self.scale = scale
        self.archiver = work / "archive.sh"

    def has(self, program):
        return shutil.which(program, path=self.env["PATH"]) is not None

    def run(self, *command, ok=True):
        return Run([str(word) for word in command], self.env, self.work, ok)

    def shell(self, command, ok=True):
        return self.run("sh", "-c", command, ok=ok)

    def sql(self, *queries):
        words = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"]
        for query in queries:
            words += ["-c", query]
        return self.run(*words).output.strip()

    def start(self):
        self.archive_with(None)
        self.run("initdb", "--no-sync", "-A", "trust", "--no-locale", "-k", "-U", "postgres",
                 "-D", self.data)
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.work}'\n"
                       f"port = {PORT}\nfsync = off\nautovacuum = off\nmax_wal_size = 4GB\n"
                       f"shared_buffers = 256MB\ncheckpoint_timeout = 1h\n"
                       # pgBackRest wants to see its name in it.
                       f"archive_mode = on\narchive_command = 'sh {self.archiver} %p # pgbackrest'\n")
        self.run("pg_ctl", "-D", self.data, "-l", self.work / "log", "-w", "start")
        self.run("pgbench", "-i", "-q", "-s", self.scale)
        self.sql("VACUUM FREEZE", "CHECKPOINT")

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop", ok=False)

    def archive_with(self, command):
        """What the server's archiver runs from now on; None: nothing, its WAL piles up."""
        staged = self.archiver.with_suffix(".new")
        staged.write_text((command if command else "false") + "\n")
        staged.rename(self.archiver)

    def checksum(self, port=PORT):
        return self.run("psql", "-XAtq", "-p", port, "-c",
                        "SELECT count(*), sum(abalance), sum(hashtext(a::text)) "
                        "FROM pgbench_accounts a").output.strip()

    def share_of_pages_since(self, lsn):
        """Of the pages of all databases, how many were changed behind this position."""
        high, low = (int(part, 16) for part in lsn.split("/"))
        since = high << 32 | low
        pages = changed = 0
        for path in (self.data / "base").rglob("*"):
            # Relations' files are named by numbers.
            if not path.is_file() or not path.name.split(".")[0].split("_")[0].isdigit():
                continue
            with open(path, "rb") as file:
                # A piece at a time: what is measured later begins as a copy of this process.
                while piece := file.read(1 << 20):
                    for high, low in struct.iter_unpack("=II8184x", piece[:len(piece) // 8192 * 8192]):
                        pages += 1
                        changed += (high << 32 | low) > since
        return changed / pages

    def start_restored(self, directory):
        """Starts a restored server and waits until it has recovered: the seconds it took, and
        its checksum."""
        port = str(int(PORT) + 1)
        log_path = self.work / "restored.log"
        began = time.perf_counter()
        with open(log_path, "wb") as log:
            process = subprocess.Popen(
                [f"{SERVER}/postgres", "-D", str(directory), "-p", port, "-c", "archive_mode=off",
                 "-c", f"unix_socket_directories={self.work}", "-c", "listen_addresses="],
                env=self.env, cwd=self.work, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)
        while True:
            time.sleep(0.1)  # rarely: asking takes the processor from the replay
            if process.poll() is not None:
                sys.exit("the restored server ended:\n" + log_path.read_text()[-3000:])
            asked = self.run("psql", "-XAtq", "-p", port, "-c", "SELECT pg_is_in_recovery()",
                             ok=False)
            if asked.exit_code == 0 and asked.output.strip() == "f":
                break
        seconds = time.perf_counter() - began
        checksum = self.checksum(port)
        process.send_signal(signal.SIGQUIT)
        process.wait()
        return seconds, checksum


def stored_bytes(path):
    return sum(p.stat().st_size for p in pathlib.Path(path).rglob("*") if p.is_file())


def forget(path):
    shutil.rmtree(path, ignore_errors=True)
