#!/usr/bin/python3
"""The literal blocks of a manual page, as a reader sees them: literal_blocks.py PAGE.

What stands in .Bd -literal and .Dl, rendered by mandoc. Written one after the other, each ended by a zero byte.
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


blocks = Blocks()
blocks.feed(subprocess.run(["mandoc", "-T", "html", sys.argv[1]], check=True, stdout=subprocess.PIPE, text=True).stdout)
for block in blocks.found:
    sys.stdout.write(block + "\n\0")
