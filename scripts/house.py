# SPDX-License-Identifier: Apache-2.0
"""What the check-* scripts share: which files are ours, C without comments."""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def files(*suffixes):
    """Paths of the tree (tracked, or new and not ignored) from its root."""
    os.chdir(ROOT)
    git = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=False)
    if git.returncode == 0:
        paths = git.stdout.split("\0")
    else:  # an unpacked archive
        paths = [os.path.relpath(os.path.join(d, f))
                 for d, _, names in os.walk(".") for f in names
                 if not d.startswith(("./build", "./.git"))]
    return sorted(p for p in set(paths)
                  if p.endswith(suffixes or ("",)) and os.path.isfile(p))


def read(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


_C_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def c_code(text, keep_strings=False):
    """C without comments (and strings), with every line where it was."""
    def blank(match):
        token = match.group()
        if token[0] in "\"'":
            return token if keep_strings else token[0] * 2
        return " " + "\n" * token.count("\n")
    return _C_TOKEN.sub(blank, text)


def includes(path):
    """[(line number, 'lib/base/slice.h', is_system)]"""
    out = []
    code = c_code(read(path), keep_strings=True)
    for n, line in enumerate(code.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if m:
            out.append((n, m.group(2), m.group(1) == "<"))
    return out


class Finder:
    """Problems, without those that a marker allows (see CONTRIBUTING.md)."""

    def __init__(self):
        self.problems = []

    def at(self, path, lines, n, rule, sentence):
        """`n` counts from 1; `lines` are the file's own, with comments."""
        marker = re.compile(r"allow " + re.escape(rule) + r": \w+")
        if not any(marker.search(line) for line in lines[max(n - 2, 0):n]):
            self.problems.append(f"{path}:{n}: {sentence} [{rule}]")


def clang_tool(name):
    """(program, what it says of its version) of the one that judges here."""
    for program in (name + "-14", name):
        if shutil.which(program):
            version = subprocess.run([program, "--version"], check=True,
                                     text=True, capture_output=True).stdout
            if re.search(r"version 14\.", version):
                return program, version
    return skip(f"no {name} 14 here (Debian 12: apt install {name})")


def finish(what, problems, count):
    if not count:
        problems = [f"{what}: no files found: that cannot be right"]
    for p in problems:
        print(p)
    print(f"{what}: {count} files, "
          + (f"{len(problems)} problems" if problems else "clean"))
    sys.exit(1 if problems else 0)


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(77)
