"""The table as a picture: for each row, a bar for each program, as long as its time."""
from html import escape

COLOURS = {"walvault": "#2266bb", "walvault-again": "#88aadd", "walvault files": "#88aadd",
           "pgbackrest": "#cc7722", "pgbackrest-queue": "#e6b37a", "barman": "#559944"}
WIDTH, LEFT, RIGHT, BAR, GAP, HEAD = 860, 200, 190, 14, 12, 54


def time_text(seconds):
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def bars(head, rows):
    groups = {}
    for row in rows:
        groups.setdefault(row["row"], []).append(row)
    parts, y = [], HEAD
    for name, entries in groups.items():
        longest = max(entry["seconds"] for entry in entries)
        parts.append(f'<text x="{LEFT - 10}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
        for entry in entries:
            length = max(1, (WIDTH - LEFT - RIGHT) * entry["seconds"] / longest)
            text = escape(f"{entry['tool']} {time_text(entry['seconds'])}")
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" '
                         f'fill="{COLOURS.get(entry["tool"], "#888888")}"/>'
                         f'<text x="{LEFT + length + 6:.1f}" y="{y + 11}">{text}</text>')
            y += BAR
        y += GAP
    for line, text in enumerate(head.split("\n")):
        parts.append(f'<text x="10" y="{20 + 16 * line}">{escape(text)}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            'font-family="sans-serif" font-size="12">\n'
            f'<rect width="{WIDTH}" height="{y}" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")
