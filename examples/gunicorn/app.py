"""A WSGI application that takes its time. It knows nothing of libgrace."""
import time


def app(environ, start_response):
    time.sleep(0.2)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done\n"]
