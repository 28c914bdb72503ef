"""Every relative link of the documents leads to a file, and its anchor to a heading. Every page of docs/ is in the book."""

import re

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def broken(root, pages):
    failures = []
    for page in pages:
        text = without_fences(page.read_text())
        for target in LINK.findall(text):
            if not re.match(r"\w+:", target):
                failures += _check(root, page, target)
    summary = (root / "docs/SUMMARY.md").read_text()
    failures += [f"docs/SUMMARY.md does not list {page.name}" for page in sorted((root / "docs").glob("*.md"))
                 if page.name != "SUMMARY.md" and f"({page.name})" not in summary]
    return failures


def without_fences(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _check(root, page, target):
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    where = page.relative_to(root)
    if not file.exists():
        return [f"{where}: {target} leads nowhere"]
    if anchor and anchor not in {_anchor(heading) for heading in HEADING.findall(without_fences(file.read_text()))}:
        return [f"{where}: {target} is no heading"]
    return []


def _anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
