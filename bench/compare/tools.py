"""The programs that are compared: how each is set up, archives, backs up and restores.

The same compression (zstd, level 1) and two processes for all that have the choice.
"""
import json

import object_store
from laboratory import PORT, SERVER, forget, stored_bytes


class Tool:
    """`repository`: where a program keeps all; in it `wal`, the archived WAL, and `backups`."""
    has_delta = True  # restores onto what is left of a directory

    def stored_bytes(self):
        """Of the backups."""
        return sum(stored_bytes(path) for path in self.backups)

    def wal_bytes(self):
        return stored_bytes(self.wal)

    def settle(self):
        """What has to be done later for what was pushed: for most, nothing."""


class Walvault(Tool):
    def __init__(self, lab, name="walvault", *how):
        self.lab, self.name, self.how = lab, name, how
        self.repository = lab.work / name.replace(" ", "-")
        self.wal = self.repository / "wal"
        self.backups = [self.repository / name for name in ("packs", "backups", "pins")]
        self.options = ["--repo", str(self.repository), "--cluster", "main"]

    def version(self):
        return self.lab.run("walvault", "--version").output.strip()

    def set_up(self):
        forget(self.repository)
        self.lab.run("walvault", "init", *self.options)
        self.lab.run("walvault", "cluster", "add", "main", "--pg", self.lab.conninfo,
                     *self.options)

    def push_command(self, path):
        return " ".join(["walvault-archive", *self.options, path])

    def forget_wal(self):
        # Only the objects: the directories are there on every call but the first.
        for stored in (self.repository / "wal" / "main").rglob("*"):
            if stored.is_file():
                stored.unlink()

    def backup(self, full=False):
        return self.lab.run("walvault", "backup", "--pg", self.lab.conninfo, *self.how,
                            *self.options)

    def backup_of_clone(self):
        # The same server under another name: nobody archives for that.
        options = [*self.options[:-1], "clone"]
        self.lab.run("walvault", "cluster", "add", "clone", "--pg", self.lab.conninfo, *options)
        return self.lab.run("walvault", "backup", "--pg", self.lab.conninfo, "--wal", "stream",
                            *self.how, *options)

    def restore_first(self, directory):
        info = json.loads(self.lab.run("walvault", "info", "--json", *self.options).output)
        first = info["clusters"][0]["backups"][0]["id"]
        return self.lab.run("walvault", "restore", "--pgdata", directory, "--backup", first,
                            "--to-immediate", *self.options)

    def restore(self, directory, delta=False):
        how = ["--delta", "--discard-wal"] if delta else []
        return self.lab.run("walvault", "restore", "--pgdata", directory, *how, *self.options)


class PgBackRest(Tool):
    name = "pgbackrest"

    def __init__(self, lab, name="pgbackrest"):
        self.lab, self.name = lab, name
        self.is_asynchronous = name != PgBackRest.name
        self.repository = lab.work / name
        self.wal = self.repository / "archive"
        self.backups = [self.repository / "backup"]
        self.config = lab.work / f"{name}.conf"
        self.command = ["pgbackrest", f"--config={self.config}", "--stanza=main"]

    def version(self):
        return self.lab.run("pgbackrest", "version").output.strip()

    def bundles(self):
        """How its users run it today: small files together, and blocks of large ones."""
        numbers = [int(part) for part in self.version().split()[-1].split(".")[:2]]
        return "repo1-bundle=y\nrepo1-block=y\n" if numbers >= [2, 46] else ""

    def set_up(self):
        forget(self.repository)
        self.config.write_text(f"""[global]
{self.place()}
{self.bundles()}log-path={self.lab.work}
lock-path={self.lab.work}/lock
spool-path={self.lab.work}/spool
archive-async={"y" if self.is_asynchronous else "n"}
compress-type=zst
compress-level=1
process-max=2
start-fast=y
log-level-console=off
log-level-file=off
[main]
pg1-path={self.lab.data}
pg1-port={PORT}
pg1-socket-path={self.lab.work}
pg1-user=postgres
""")
        self.lab.run(*self.command, "stanza-create")

    def place(self):
        return f"repo1-path={self.repository}"

    def push_command(self, path):
        return " ".join([*self.command, "archive-push", path])

    def forget_wal(self):
        for stored in (self.repository / "archive" / "main").glob("*/*/*"):
            stored.unlink()

    def backup(self, full=False):
        return self.lab.run(*self.command, f"--type={'full' if full else 'incr'}", "backup")

    def restore(self, directory, delta=False):
        directory.mkdir(mode=0o700, exist_ok=True)
        how = ["--delta"] if delta else []
        return self.lab.run(*self.command, f"--pg1-path={directory}", *how, "restore")


class InObjectStore:
    """What differs where the repository is a bucket rather than a directory."""

    def use(self, store, bucket):
        self.store, self.bucket = store, bucket
        store.make_bucket(bucket)

    def stored_bytes(self):
        return sum(self.store.bytes(self.bucket, prefix) for prefix in self.backups)

    def wal_bytes(self):
        return self.store.bytes(self.bucket, self.wal)

    def forget_wal(self):
        self.store.remove(self.bucket, self.wal, but=("archive.info",))


class WalvaultInObjectStore(InObjectStore, Walvault):
    def __init__(self, lab, store, name="walvault", *how):
        super().__init__(lab, name, *how)
        self.use(store, name.replace(" ", "-"))
        self.wal, self.backups = "wal/", ["packs/", "backups/", "pins/"]
        self.config = lab.work / f"{self.bucket}.toml"
        self.config.write_text(f"""[repository]
endpoint = "https://localhost:{store.tls_port}"
ca_file = "{store.ca_file}"
access_key_id = "{object_store.ACCESS_KEY}"
secret_access_key = "{object_store.SECRET_KEY}"
""")
        self.config.chmod(0o600)
        self.options = ["--config", str(self.config), "--repo", f"s3://{self.bucket}",
                        "--cluster", "main"]

    def set_up(self):
        self.store.remove(self.bucket)
        super().set_up()


class PgBackRestInObjectStore(InObjectStore, PgBackRest):
    def __init__(self, lab, store, name="pgbackrest"):
        super().__init__(lab, name)
        self.use(store, name)
        self.wal, self.backups = "archive/", ["backup/"]

    def set_up(self):
        self.store.remove(self.bucket)
        super().set_up()

    def place(self):
        return f"""repo1-type=s3
repo1-path=/
repo1-s3-bucket={self.bucket}
repo1-s3-endpoint=localhost
repo1-s3-region={object_store.REGION}
repo1-s3-uri-style=path
repo1-s3-key={object_store.ACCESS_KEY}
repo1-s3-key-secret={object_store.SECRET_KEY}
repo1-storage-port={self.store.tls_port}
repo1-storage-ca-file={self.store.ca_file}"""


class Barman(Tool):
    """With pg_basebackup below it, as it is set up where nothing runs on the server."""
    name = "barman"
    has_delta = False

    def __init__(self, lab):
        self.lab = lab
        self.repository = lab.work / "barman"
        self.wal = self.repository / "main" / "wals"
        self.backups = [self.repository / "main" / "base"]
        self.config = lab.work / "barman.conf"
        self.command = ["barman", "-c", str(self.config)]

    def version(self):
        return "Barman " + self.lab.run("barman", "--version").output.split()[0]

    def set_up(self):
        forget(self.repository)
        self.repository.mkdir()
        self.config.write_text(f"""[barman]
barman_user = postgres
barman_home = {self.repository}
barman_lock_directory = {self.lab.work}
log_file = {self.lab.work}/barman.log
[main]
description = main
conninfo = {self.lab.conninfo} dbname=postgres
streaming_conninfo = {self.lab.conninfo}
backup_method = postgres
backup_compression = zstd
backup_compression_level = 1
backup_compression_workers = 2
backup_compression_location = server
archiver = on
compression = custom
custom_compression_filter = zstd -1 -q -c
custom_decompression_filter = zstd -d -q -c
immediate_checkpoint = true
path_prefix = {SERVER}
recovery_staging_path = {self.lab.work}
""")
        self.lab.run(*self.command, "check", "main", ok=False)  # makes its directories
        # It refuses a backup until it has seen WAL.
        self.lab.archive_with(self.push_command("$1"))
        self.lab.sql("SELECT pg_create_restore_point('x')", "SELECT pg_switch_wal()")
        self.lab.run(*self.command, "switch-wal", "--archive", "--archive-timeout", "60", "main")

    def push_command(self, path):
        # What its barman-wal-archive does, without ssh and a second interpreter.
        return (f"D=$(dirname {path}) N=$(basename {path}) T=$(mktemp -d); "
                "(cd $D && md5sum -b $N) > $T/MD5SUMS; "
                "tar -C $D -c $N -C $T MD5SUMS | "
                + " ".join([*self.command, "put-wal", "main"]) + "; R=$?; rm -r $T; exit $R")

    def forget_wal(self):
        for stored in (self.repository / "main" / "incoming").glob("*"):
            stored.unlink()

    def backup(self, full=False):
        return self.lab.run(*self.command, "backup", "--wait", "--wait-timeout", "120", "main")

    def settle(self):
        # What cron does for it: compresses the incoming WAL into its archive.
        self.lab.run(*self.command, "archive-wal", "main")

    def restore(self, directory):
        run = self.lab.run(*self.command, "recover", "--get-wal", "main", "latest", directory)
        # What it writes goes by way of sudo.
        with open(directory / "postgresql.auto.conf", "a") as conf:
            conf.write(f"restore_command = '{' '.join(self.command)} get-wal main %f > %p'\n")
        return run
