"""The rows of a comparison, and how they are printed."""
import statistics

import plot

# By the replication protocol, and with --via files.
OURS = ("walvault", "walvault files")


class Table:
    """Rows of figures: what was done, by whom, and what it took."""

    def __init__(self):
        self.rows = []

    def add(self, row, tool, runs=(), seconds=None):
        entry = {"row": row, "tool": tool, "seconds": seconds, "cpu_seconds": None,
                 "peak_bytes": None, "stored_bytes": None, "runs": len(runs) or 1}
        if runs:
            entry.update(seconds=statistics.median(run.seconds for run in runs),
                         cpu_seconds=statistics.median(run.cpu_seconds for run in runs),
                         peak_bytes=max(run.memory_bytes for run in runs))
        self.rows.append(entry)
        return entry

    def text(self):
        lines = [f"{'':32}{'':16}{'time':>10}{'CPU':>10}{'peak':>10}{'stored':>12}{'ratio':>8}"
                 f"{'files':>8}"]
        ours = {(r["row"], r["tool"]): r["seconds"] for r in self.rows if r["tool"] in OURS}
        last = None
        for entry in self.rows:
            name, theirs = entry["row"], entry["seconds"]
            ratios = ["" if entry["tool"] in OURS or (name, tool) not in ours
                      else f"{ours[name, tool] / theirs:.2f}" for tool in OURS]
            lines.append(f"{'' if name == last else name:32}{entry['tool']:16}"
                         f"{cell(theirs, plot.time_text):>10}"
                         f"{cell(entry['cpu_seconds'], plot.time_text):>10}"
                         f"{cell(entry['peak_bytes'], mebibytes):>10}"
                         f"{cell(entry['stored_bytes'], mebibytes):>12}{ratios[0]:>8}"
                         f"{ratios[1]:>8}".rstrip())
            last = name
        return "\n".join(lines)


def cell(value, text):
    return "" if value is None else text(value)


def mebibytes(size):
    return f"{size / 2**20:.1f} MiB" if size < 10 * 2**20 else f"{size / 2**20:.0f} MiB"
