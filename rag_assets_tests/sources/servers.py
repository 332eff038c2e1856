"""Real servers on loopback: S3 (moto), and a proxy that lets requests through, or does to them what a test asks for."""

import hashlib
import threading
from contextlib import contextmanager, nullcontext
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(handler):
    """Serve with this request handler on a free port; yield the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def moto_server():
    """Run moto's S3 server; yield its (host, port)."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()
    finally:
        server.stop()


LOST = "lost"


class FaultyProxy:
    """Passes requests on and notes them. `faults` are asked first, each a function of (method, path) that returns None
    to pass, (status, headers, body) to answer itself, a number of body bytes after which to break off, or LOST: the
    request is done and nothing is answered.
    """

    def __init__(self, upstream):
        self.upstream, self.requests, self.faults = upstream, [], []
        self.conditional = threading.Lock()

    def __enter__(self):
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm, wbufsize = True, -1

            def log_message(self, *_):
                pass

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                proxy.requests.append((self.command, self.path))
                fault = next((found for one in proxy.faults if (found := one(self.command, self.path))), None)
                if isinstance(fault, tuple):
                    self.answer(*fault)
                    return
                # S3 decides a conditional write at once; moto looks and writes in two steps.
                with (
                    proxy.conditional
                    if self.headers.get("If-Match") or self.headers.get("If-None-Match")
                    else nullcontext()
                ):
                    connection = HTTPConnection(*proxy.upstream)
                    connection.request(self.command, self.path, body, dict(self.headers))
                    response = connection.getresponse()
                    content, length = response.read(), response.length
                    connection.close()
                if fault == LOST:
                    self.close_connection = True
                    return
                self.answer(response.status, dict(response.getheaders()), content, fault, length)

            def answer(self, status, headers, body, cut=None, length=None):
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                size = headers.get("Content-Length", headers.get("content-length")) or len(body)
                self.send_header("Content-Length", str(size if self.command == "HEAD" else len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body if cut is None else body[:cut])
                if cut is not None:
                    self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

        self._serving = serving(Handler)
        server = self._serving.__enter__()
        self.address = f"http://127.0.0.1:{server.server_address[1]}"
        return self

    def __exit__(self, *_):
        self._serving.__exit__(None, None, None)

    def fail(self, times, answer, method="GET", matching=""):
        """Answer the next `times` requests of this method whose path has `matching` in it with a fault."""
        left = iter(range(times))
        lock = threading.Lock()

        def fault(asked, path):
            if asked != method or matching not in path:
                return None
            with lock:
                return answer if next(left, None) is not None else None

        self.faults.append(fault)

    def count(self, method, matching=""):
        """Return how many requests of this method were made."""
        return sum(asked == method and matching in path for asked, path in self.requests)


class Bucket:
    """A bucket of its own on a real S3 server, written to directly and read through a proxy."""

    def __init__(self, server, proxy, name):
        import boto3

        self.proxy, self.name = proxy, f"b-{hashlib.md5(name.encode()).hexdigest()}"
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url="http://{}:{}".format(*server), **keys)
        self.client.create_bucket(Bucket=self.name)

    def put(self, **objects):
        for key, data in objects.items():
            self.put_as(key, data)

    def put_as(self, key, data):
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def put_many(self, objects):
        """Write past the protocol, for the server is slow."""
        from moto.core import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        for key, data in objects.items():
            s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(self.name, key, data)

    def delete(self, key):
        self.client.delete_object(Bucket=self.name, Key=key)

    @property
    def options(self):
        """The options of a source that reads this bucket through the proxy."""
        keys = {"key": "key", "secret": "secret", "region": "us-east-1"}
        return {"url": f"s3://{self.name}/", "endpoint_url": self.proxy.address, **keys}
