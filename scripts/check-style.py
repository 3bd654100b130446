#!/usr/bin/env python3
"""Holds the tree to what a reader relies on (CONTRIBUTING.md, "Style").

In Markdown: prose of at most 100 columns, whole tables, links that lead somewhere. In C++:
functions of at most 70 lines, files of at most 400, comments that begin with the beginning
of a sentence. The files of scripts/long-files.txt may be longer, each as long as it says there
and no longer: that list only gets shorter. Exits 1 and names every place that breaks a rule.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
LONG_FILES = ROOT / "scripts" / "long-files.txt"


def tracked(*patterns: str) -> list[pathlib.Path]:
    """Files that git knows, or would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in sorted(set(names.splitlines())) if (ROOT / name).is_file()]


# ---- Markdown


def cells(row: str) -> int:
    """How many cells a row of a table has; a pipe in code or behind a backslash is none."""
    text = re.sub(r"`[^`]*`", "", row).replace("\\|", "")
    return text.strip().strip("|").count("|") + 1


def anchor(heading: str) -> str:
    """The name under which a heading can be linked to."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def prose_lines(text: str):
    """Numbers and lines outside of code blocks."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors_of(path: pathlib.Path) -> set[str]:
    headings = (line for _, line in prose_lines(path.read_text()) if line.startswith("#"))
    return {anchor(line.lstrip("#")) for line in headings}


def check_links(path: pathlib.Path, number: int, line: str) -> list[str]:
    failures = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists():
            failures.append(f"{number}: the link to {target} leads nowhere")
        elif fragment and file.suffix == ".md" and fragment not in anchors_of(file):
            failures.append(f"{number}: {name or 'this page'} has no heading #{fragment}")
    # Files of this tree that are named, not linked to.
    for name in re.findall(r"`((?:src|tests|docs|scripts|bench|restore|basebackup|maintenance"
                           r"|archive_command)/[\w./-]+)`", line):
        if not (ROOT / name).exists():
            failures.append(f"{number}: there is no {name}")
    return failures


def check_markdown(path: pathlib.Path) -> list[str]:
    failures = []
    table = 0  # cells of the table that the line before belongs to
    for number, line in prose_lines(path.read_text()):
        is_code = line.startswith("    ") and not line.lstrip().startswith(("-", "*", "1"))
        if line.startswith("|"):
            if table and cells(line) != table:
                failures.append(f"{number}: the row has {cells(line)} cells, the table {table}")
            if not table and re.match(r"\|[\s:|-]+\|?$", line):
                failures.append(f"{number}: a table without a first row")
            table = table or cells(line)
        else:
            table = 0
            if len(line) > COLUMNS_MAX and not is_code and " " in line.strip()[:COLUMNS_MAX]:
                failures.append(f"{number}: {len(line)} columns")
        failures += check_links(path, number, line)
    return failures + check_tables(path)


def check_tables(path: pathlib.Path) -> list[str]:
    """A table is a first row, a line of dashes, and rows without a gap."""
    failures = []
    lines = [""] + [line for _, line in prose_lines(path.read_text())] + [""]
    for before, line, after in zip(lines, lines[1:], lines[2:]):
        if line.startswith("|") and not before.startswith("|"):
            if not re.match(r"\|[\s:|-]+\|?$", after):
                failures.append(f"a table is torn, or has no line of dashes: {line[:60]}")
    return failures


# ---- C++

# What may stand before a brace at the level of a class or a namespace and is no function.
NO_FUNCTION = re.compile(
    r"\s*(namespace|class|struct|enum|union|extern|typedef|using|public|private|protected"
    r"|constexpr std::array|const std::map)\b")


def functions(lines: list[str]):
    """First line and length of what looks like a function. The layout is clang-format's."""
    for indent in ("", "  "):
        start = None
        for number, line in enumerate(lines):
            inner = line[len(indent):]
            is_level = line.startswith(indent) and inner[:1] not in ("", " ", "#", "/")
            if not is_level:
                continue
            if inner.startswith("}"):
                if start is not None and not inner.startswith("};"):
                    if inner == "}" or inner.startswith("} catch"):
                        yield start, number - start + 1
                if not inner.endswith("{"):
                    start = None
            elif not inner.startswith(("{", ")", ":")):
                start = None if NO_FUNCTION.match(inner) else number


def check_cpp(path: pathlib.Path) -> list[str]:
    failures = []
    lines = path.read_text().splitlines()
    for start, length in functions(lines):
        if length > FUNCTION_LINES_MAX:
            failures.append(f"{start + 1}: a function of {length} lines: {lines[start].strip()}")
    in_comment = False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        is_comment = text.startswith("// ")
        if is_comment and not in_comment and re.match(r"// (and|or|but|of|to|for|with|in|that|which"
                                                      r"|where|because|so|then|behind|from|by|as)\b",
                                                      text):
            failures.append(f"{number}: a comment begins in the middle of a sentence: {text}")
        in_comment = text.startswith("//")
    return failures


def check_lengths(paths: list[pathlib.Path]) -> list[str]:
    allowed = {}
    for line in LONG_FILES.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            lines, name = line.split()
            allowed[name] = int(lines)
    failures = []
    for path in paths:
        name = str(path.relative_to(ROOT))
        lines = len(path.read_text().splitlines())
        most = allowed.pop(name, FILE_LINES_MAX)
        if lines > most:
            failures.append(f"{name}: {lines} lines, {most} are allowed")
        elif most > FILE_LINES_MAX and lines <= FILE_LINES_MAX:
            failures.append(f"{name}: {lines} lines: take it off {LONG_FILES.name}")
    return failures + [f"{name}: is listed in {LONG_FILES.name} and does not exist"
                       for name in allowed]


def main() -> int:
    failures = []
    for path in tracked("*.md"):
        failures += [f"{path.relative_to(ROOT)}:{each}" for each in check_markdown(path)]
    sources = tracked("*.h", "*.cpp")
    for path in sources:
        failures += [f"{path.relative_to(ROOT)}:{each}" for each in check_cpp(path)]
    failures += check_lengths([*sources, *tracked("*.py", "*.sh")])
    for failure in failures:
        print(failure)
    print(f"{len(failures)} places break the style")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
