#!/usr/bin/python3
"""A small web application, as many are: what it must do at its end it registers with atexit.

It knows nothing of libgrace. Its three functions run when Python ends in its own way; a kill -TERM,
or os._exit in some corner of the code, ends the process without them.
"""
import atexit
import os
import time

from flask import Flask

app = Flask(__name__)


def remember(name):
    """Stand for real work: tell the load balancer, flush the queue, remove the pid file."""
    with open(os.environ.get("CLEANUP_LOG", "cleanup.log"), "a", encoding="utf-8") as log:
        log.write(name + "\n")


@atexit.register
def A():
    remember("A")


@atexit.register
def B():
    remember("B")


@atexit.register
def C():
    remember("C")


@app.route("/")
def hello():
    return "hello\n"


@app.route("/report")
def report():
    """A request that takes its time: a stop may come in the middle of it."""
    with open(os.environ.get("REPORTS_LOG", os.devnull), "a", encoding="utf-8") as log:
        log.write("begun\n")
    time.sleep(float(os.environ.get("REPORT_SECONDS", "0.5")))
    return "report\n"


@app.route("/crash")
def crash():
    os._exit(1)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
