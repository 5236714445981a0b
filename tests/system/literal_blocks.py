#!/usr/bin/python3
"""The literal blocks of a manual page or a README, as a reader sees them: literal_blocks.py PAGE.

Of a page: what stands in .Bd -literal and .Dl, rendered by mandoc. Of a .md: what is indented by four
columns. Written one after the other, each ended by a zero byte.
"""
import html.parser
import subprocess
import sys


class Blocks(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.display, self.tag = [], False, None

    def handle_starttag(self, tag, attributes):
        kind = dict(attributes).get("class", "").split()
        if tag == "div":
            self.display = "Bd" in kind
        elif self.tag is None and self.display and (tag == "pre" or (tag == "code" and "Li" in kind)):
            self.tag = tag
            self.found.append("")

    def handle_endtag(self, tag):
        if tag == "div":
            self.display = False
        elif tag == self.tag:
            if tag == "code":  # a line, wherever the output wrapped it
                self.found[-1] = " ".join(self.found[-1].split())
            self.tag = None

    def handle_data(self, data):
        if self.tag is not None:
            self.found[-1] += data


def of_page(path):
    blocks = Blocks()
    blocks.feed(subprocess.run(["mandoc", "-T", "html", path], check=True, stdout=subprocess.PIPE, text=True).stdout)
    return blocks.found


def of_markdown(path):
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file]
    blocks, gap = [], True
    for line in lines:
        if line.startswith("    "):
            if gap:
                blocks.append([])
            blocks[-1].append(line[4:])
            gap = False
        elif line:
            gap = True
        elif not gap:
            blocks[-1].append("")
    return ["\n".join(block).rstrip("\n") for block in blocks]


for block in (of_markdown if sys.argv[1].endswith(".md") else of_page)(sys.argv[1]):
    sys.stdout.write(block + "\n\0")
