"""Holds the documents against the programs: check.py FOLDER_OF_PROGRAMS [PAGE...]

Links and fences first, then the commands of every page, each page in a fresh folder with a shell of its own.
"""

import pathlib
import sys

import demo
import links
from page import Page

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*/README.md"))]


def main(programs, *only):
    pages = [path for path in PAGES if not only or path.name in only or str(path.relative_to(ROOT)) in only]
    failures = links.broken(ROOT, pages)
    with demo.serving(pathlib.Path(programs).resolve()) as served:
        for path in pages:
            page = Page(path.relative_to(ROOT), path.read_text())
            failures += page.unmarked()
            if page.steps:
                failures += page.run(served)
                print(f"ran   {page.name}: {len(page.steps)} commands", flush=True)
    for failure in failures:
        print(f"FAIL  {failure}", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
