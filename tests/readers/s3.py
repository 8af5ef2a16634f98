"""An S3 server on a free port of this machine, in memory. Prints the port, then serves until its input ends.

One request at a time, so that a condition (`If-None-Match`) and the put that depends on it are one step. With the
argument `careless` conditions are ignored, as some servers do.
"""

import os
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

inner = DomainDispatcherApplication(create_backend_app)


def application(environ, start_response):
    if "careless" in sys.argv:
        environ.pop("HTTP_IF_NONE_MATCH", None)
    return inner(environ, start_response)


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


server = make_server("127.0.0.1", 0, application, threaded=False, request_handler=Quiet)
print(server.port, flush=True)


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
server.serve_forever()
