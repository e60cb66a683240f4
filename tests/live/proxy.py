"""TLS in front of each server: what goes by can be delayed, held, lost or changed; and the stub, a server without a
homeserver, that answers what a scenario has put there."""

import http.client
import http.server
import json
import re
import socket
import socketserver
import ssl
import threading
import time
import urllib.parse


class Lost(Exception):
    """The connection is cut without an answer."""


def lose(_path):
    """For `before` and `after`."""
    raise Lost


class Fault:
    """What happens to the requests to `server` whose path (decoded) or body has `part` in it.

    `before` and `after` are called with the request; they may wait, or raise `Lost`. `change` is called with status and
    body of the answer, and returns what is sent instead.
    """

    def __init__(self, server, part, before=None, after=None, change=None):
        self.server, self.part = server, part
        self.before, self.after, self.change = before, after, change

    def matches(self, server, path, body):
        return server == self.server and (self.part in path or self.part.encode() in body)


class Hold:
    """A point at which a request waits until the scenario goes on."""

    def __init__(self, timeout=60):
        self.reached, self.released, self.timeout, self.lost = (
            threading.Event(),
            threading.Event(),
            timeout,
            False,
        )

    def __call__(self, _path):
        self.reached.set()
        self.released.wait(self.timeout)
        if self.lost:
            raise Lost

    def release(self, lost=False):
        self.lost = lost
        self.released.set()


class Network:
    """The faults that are in force, and which events were sent to whom with `send_knock`, `send_leave`, `invite`."""

    def __init__(self):
        self.lock = threading.Lock()
        self.faults = []
        # (server, path) of the requests that change something, and their bodies by event ID.
        self.seen, self.bodies = [], {}

    def add(self, fault):
        with self.lock:
            self.faults.append(fault)
        return fault

    def remove(self, fault):
        with self.lock:
            self.faults.remove(fault)

    def faults_of(self, server, path, body):
        with self.lock:
            return [fault for fault in self.faults if fault.matches(server, path, body)]

    def note(self, server, path, body):
        if re.search(r"/(send_knock|send_leave|invite)/", path):
            with self.lock:
                self.seen.append((server, path))
                self.bodies[path.rsplit("/", 1)[1]] = body

    def events_sent(self, endpoint, room, user_id, servers):
        """The IDs of the events with this user in them that these servers were sent for a room, each once, in order."""
        paths = [path for server in servers for path in self.sent(server, f"/{endpoint}/{room}/")]
        ids = dict.fromkeys(path.rsplit("/", 1)[1] for path in paths)
        return [event_id for event_id in ids if user_id.encode() in self.bodies.get(event_id, b"")]

    def sent(self, server, part):
        """The paths of the requests that change something, to this server, with this part in the path, in order."""
        with self.lock:
            return [path for to, path in self.seen if to == server and part in path]


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port, handler, context):
        self.context = context
        super().__init__(("127.0.0.1", port), handler)

    def finish_request(self, request, client_address):
        # The handshake is made in the connection's own thread.
        try:
            request.settimeout(90)
            tls = self.context.wrap_socket(request, server_side=True)
        except OSError:
            return
        try:
            self.RequestHandlerClass(tls, client_address, self)
        finally:
            try:
                tls.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            tls.close()

    def handle_error(self, request, client_address):
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    network = server_name = upstream = None
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def ask(self, raw):
        """The answer of the server behind: status, body, content type."""
        if callable(self.upstream):
            return self.upstream(self.command, self.path, raw, self.headers)
        skipped = ("connection", "transfer-encoding", "accept-encoding")
        headers = {name: value for name, value in self.headers.items() if name.lower() not in skipped}
        onward = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=90)
        try:
            onward.request(self.command, self.path, raw or None, headers)
            response = onward.getresponse()
            return response.status, response.read(), response.getheader("Content-Type")
        except (OSError, http.client.HTTPException):
            # The server behind does not listen, or has gone: so it is for who asks.
            raise Lost from None
        finally:
            onward.close()

    def _serve(self):
        size = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(size) if size else b""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.network.note(self.server_name, path, raw)
        faults = self.network.faults_of(self.server_name, path, raw)
        try:
            for fault in faults:
                if fault.before:
                    fault.before(path)
            status, body, content_type = self.ask(raw)
            for fault in faults:
                if fault.change:
                    status, body = fault.change(status, body)
                if fault.after:
                    fault.after(path)
            self.send_response(status)
            self.send_header("Content-Type", content_type or "application/json")
            if isinstance(body, bytes):
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            # A body in parts, perhaps without an end.
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in body:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
        except (Lost, OSError):
            self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = _serve


def serve(network, server_name, upstream, certificate):
    """Listens at the port in the name. `upstream` is a port on 127.0.0.1, or a function that answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    upstream = staticmethod(upstream) if callable(upstream) else upstream
    handler = type(
        "Handler", (_Handler,), {"network": network, "server_name": server_name, "upstream": upstream}
    )
    port = int(server_name.rsplit(":", 1)[1])
    try:
        server = _Server(port, handler, context)
    except OSError as error:
        raise OSError(f"cannot listen on 127.0.0.1:{port}: {error}") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Stub:
    """A server that has keys and answers by script: `script[endpoint, room ID]` is (status, body), or a function of
    path and body that returns one. `got` has what was sent. Its policy server signs what `policy[room ID]` lets it."""

    def __init__(self, name, key, policy_key):
        self.name, self.key, self.policy_key = name, key, policy_key
        self.script, self.got, self.policy, self.key_document = {}, {}, {}, self.honest_keys

    def honest_keys(self):
        from signedjson.key import encode_verify_key_base64, get_verify_key

        public = encode_verify_key_base64(get_verify_key(self.key))
        return self.sign(
            {
                "server_name": self.name,
                "valid_until_ts": int(time.time() * 1000) + 86_400_000,
                "old_verify_keys": {},
                "verify_keys": {f"{self.key.alg}:{self.key.version}": {"key": public}},
            }
        )

    def sign(self, value):
        from signedjson.sign import sign_json

        return sign_json(value, self.name, self.key)

    def __call__(self, method, uri, raw, headers):
        path = urllib.parse.unquote(urllib.parse.urlsplit(uri).path)
        status, body = self.answer(path, raw)
        if isinstance(body, (dict, list)):
            body = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return status, body, "application/json"

    def answer(self, path, raw):
        if path.startswith("/_matrix/key/v2/server"):
            return 200, self.key_document()
        if path == "/_matrix/policy/v1/sign":
            event = json.loads(raw)
            room = event.get("room_id", "")
            self.got.setdefault(("policy", room), []).append(raw)
            return self.policy[room](event)
        endpoint, _, rest = path.removeprefix("/_matrix/federation/").partition("/")[2].partition("/")
        room = rest.split("/")[0]
        self.got.setdefault((endpoint, room), []).append(raw)
        if endpoint == "send":
            return 200, {"pdus": {}}
        answer = self.script.get((endpoint, room), (404, {"errcode": "M_NOT_FOUND", "error": "Not here"}))
        return answer(path, raw) if callable(answer) else answer
