"""Check that every link of the built site that stays inside the site leads somewhere.

Usage: python tools/links.py FOLDER
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse


class Page(HTMLParser):
    """Collects the targets and the anchors of one page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        """Note what a tag points to and what it is called.

        Parameters
        ----------
        tag : str
            Such as "a".
        attrs : list of (str, str)
            Its attributes.
        """
        attrs = dict(attrs)
        self.anchors |= {attrs[key] for key in ("id", "name") if attrs.get(key)}
        for key in ("href", "src"):
            if attrs.get(key) and tag != "link":
                self.links.append(attrs[key])


def broken(folder):
    """Find dead links.

    Parameters
    ----------
    folder : Path
        The built site.

    Returns
    -------
    list of str
        One line each.
    """
    paths = (path for path in folder.rglob("*.html") if "_static" not in path.parts)
    pages = {path: Page(path) for path in paths}
    found = []
    for path, page in pages.items():
        for link in page.links:
            if urlparse(link).scheme or link.startswith("//"):
                continue
            target, anchor = urldefrag(link)
            file = (path.parent / unquote(target).split("?")[0]).resolve() if target else path
            if not file.exists():
                found.append(f"{path.relative_to(folder)}: no {link}")
            elif anchor and file in pages and unquote(anchor) not in pages[file].anchors:
                found.append(f"{path.relative_to(folder)}: no anchor {link}")
    return sorted(set(found))


if __name__ == "__main__":
    lines = broken(Path(sys.argv[1]).resolve())
    print("\n".join([*lines, f"dead links: {len(lines)}"]))
    sys.exit(1 if lines else 0)
