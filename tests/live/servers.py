"""The processes: Synapses, hosts with the crate inside, and what they share (names, ports, a certificate)."""

import http.client
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request

# Two Synapses, two hosts with the crate, a server that answers what a scenario has put there, and a name on whose
# port nothing listens.
HS1, HS2 = "hs1.test:19448", "hs2.test:29448"
HS3, HS5 = "hs3.test:13448", "hs5.test:15448"
STUB = "stub.test:14448"
HS4 = "hs4.test:14449"
NAMES = ["hs1.test", "hs2.test", "hs3.test", "hs4.test", "hs5.test", "stub.test"]
# Where the processes themselves listen; the ports in the names are those of the TLS proxies. All are below those that a
# system gives to connections by itself.
PLAIN_PORT = {HS1: 19008, HS2: 29008, HS3: 13008, HS5: 15008}

UNLIMITED = {"per_second": 100000, "burst_count": 1000000}


def synapse_config(name, folder):
    """A Synapse that gives up soon, has no rate limits, and can talk to the servers of the test alone."""
    return {
        "server_name": name,
        "pid_file": f"{folder}/homeserver.pid",
        "public_baseurl": f"http://127.0.0.1:{PLAIN_PORT[name]}/",
        "listeners": [
            {
                "bind_addresses": ["127.0.0.1"],
                "port": PLAIN_PORT[name],
                "tls": False,
                "type": "http",
                "x_forwarded": False,
                "resources": [{"names": ["client", "federation"], "compress": False}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": f"{folder}/homeserver.db"}},
        "log_config": f"{folder}/log.yaml",
        "media_store_path": f"{folder}/media",
        "signing_key_path": f"{folder}/signing.key",
        "registration_shared_secret": secrets.token_hex(16),
        "macaroon_secret_key": secrets.token_hex(16),
        "form_secret": secrets.token_hex(16),
        "report_stats": False,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "bcrypt_rounds": 4,
        "presence": {"enabled": False},
        "url_preview_enabled": False,
        "federation_verify_certificates": False,
        "ip_range_blacklist": [],
        "federation_ip_range_blacklist": [],
        "federation_domain_whitelist": [HS1, HS2, HS3, HS4, HS5, STUB],
        "federation": {
            "client_timeout": "20s",
            "max_short_retries": 1,
            "max_short_retry_delay": "1s",
            "max_long_retries": 2,
            "max_long_retry_delay": "1s",
            "destination_min_retry_interval": 1,
            "destination_retry_multiplier": 1,
            "destination_max_retry_interval": 1,
        },
        "rc_message": UNLIMITED,
        "rc_registration": UNLIMITED,
        "rc_login": {"address": UNLIMITED, "account": UNLIMITED, "failed_attempts": UNLIMITED},
        "rc_joins": {"local": UNLIMITED, "remote": UNLIMITED},
        "rc_joins_per_room": UNLIMITED,
        "rc_invites": {"per_room": UNLIMITED, "per_user": UNLIMITED, "per_issuer": UNLIMITED},
        "rc_third_party_invite": UNLIMITED,
        "rc_room_creation": UNLIMITED,
        "rc_presence": {"per_user": UNLIMITED},
        "rc_key_requests": UNLIMITED,
        "rc_federation": {
            "window_size": 1000,
            "sleep_limit": 100000,
            "sleep_delay": 1,
            "reject_limit": 100000,
            "concurrent": 100,
        },
        "federation_rr_transactions_per_room_per_second": 100000,
    }


SYNAPSE_LOG = """version: 1
formatters:
  precise:
    format: '%(asctime)s - %(name)s - %(lineno)d - %(levelname)s - %(request)s - %(message)s'
handlers:
  file:
    class: logging.FileHandler
    formatter: precise
    filename: {folder}/homeserver.log
root:
  level: WARNING
  handlers: [file]
disable_existing_loggers: false
"""


class Process:
    """A server: its process, its log, and requests to it past its proxy."""

    def __init__(self, name, folder):
        self.name, self.folder, self.port = name, folder, PLAIN_PORT[name]
        self.process = None
        os.makedirs(folder, exist_ok=True)

    def command(self):
        raise NotImplementedError

    def is_up(self):
        raise NotImplementedError

    def start(self):
        log = open(f"{self.folder}/stdout.txt", "ab")
        with log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, timeout=120):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} has ended; see {self.folder}/stdout.txt")
            try:
                if self.is_up():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not start")

    def stop(self, timeout=30):
        """Ends it by SIGTERM. True if it ended in time and with status 0."""
        if self.process is None or self.process.poll() is not None:
            return True
        self.process.terminate()
        try:
            return self.process.wait(timeout) == 0
        except subprocess.TimeoutExpired:
            self.kill()
            return False

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def raw(self, method, uri, body=None, token=None, headers=None, timeout=90):
        """A request. `body` is bytes, or a value that goes as JSON. Returns the status and the JSON, or the text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        sent = {"Content-Type": "application/json", **(headers or {})}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        try:
            connection.request(method, uri, body, sent)
        except (BrokenPipeError, ConnectionResetError):
            # It may answer before it has read all of a large body.
            pass
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        try:
            return response.status, json.loads(answer)
        except (ValueError, RecursionError):
            return response.status, answer.decode("utf-8", "replace")


class Synapse(Process):
    def __init__(self, name, folder):
        import yaml

        super().__init__(name, folder)
        with open(f"{folder}/homeserver.yaml", "w") as file:
            yaml.safe_dump(synapse_config(name, folder), file)
        with open(f"{folder}/log.yaml", "w") as file:
            file.write(SYNAPSE_LOG.format(folder=folder))
        subprocess.run(self.command() + ["--generate-keys"], check=True, cwd=folder)

    def command(self):
        return [sys.executable, "-m", "synapse.app.homeserver", "-c", f"{self.folder}/homeserver.yaml"]

    def is_up(self):
        urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_matrix/client/versions", timeout=2).read()
        return True

    def signing_key(self):
        from signedjson.key import read_signing_keys

        with open(f"{self.folder}/signing.key") as file:
            return read_signing_keys(file)[0]


class Host(Process):
    """A host with the crate inside. A user's access token is the local part."""

    def __init__(self, binary, name, folder, stored=False):
        super().__init__(name, folder)
        self.binary, self.stored = os.path.abspath(binary), stored

    def command(self):
        database = ["--database", f"{self.folder}/host.db"] if self.stored else []
        listen = f"127.0.0.1:{self.port}"
        return [
            self.binary,
            "--server-name",
            self.name,
            "--listen",
            listen,
            "--insecure-peers",
            "--test-hooks",
            *database,
        ]

    def is_up(self):
        return self.raw("GET", "/_matrix/key/v2/server", timeout=2)[0] == 200

    def key_document(self):
        """The keys that it says it has."""
        return self.raw("GET", "/_matrix/key/v2/server")[1]["verify_keys"]


def make_certificate(folder):
    """A self-signed certificate for all the names. Returns the files of the certificate and the key."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hs.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = (
        built.serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + 30 * day)
    )
    built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in NAMES]), False)
    certificate = built.sign(key, hashes.SHA256())
    files = f"{folder}/certificate.pem", f"{folder}/key.pem"
    with open(files[0], "wb") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
    with open(files[1], "wb") as file:
        no_password = serialization.NoEncryption()
        pkcs8 = serialization.PrivateFormat.PKCS8
        file.write(key.private_bytes(serialization.Encoding.PEM, pkcs8, no_password))
    return files


HOSTS_FILE = "/etc/hosts"
HOSTS_MARK = "# matrix-knock tests/live"


def add_names():
    """Makes the names mean 127.0.0.1. True if a line was added, which `drop_names` removes."""
    with open(HOSTS_FILE) as file:
        lines = [line.split("#")[0].split() for line in file]
    known = {name for line in lines if line[:1] == ["127.0.0.1"] for name in line[1:]}
    if known.issuperset(NAMES):
        return False
    line = f"127.0.0.1 {' '.join(NAMES)}"
    try:
        with open(HOSTS_FILE, "a") as file:
            file.write(f"{line} {HOSTS_MARK}\n")
    except PermissionError:
        sys.exit(f"{HOSTS_FILE} cannot be written: add the line `{line}` to it, or run this as root")
    return True


def drop_names():
    with open(HOSTS_FILE) as file:
        lines = file.readlines()
    with open(HOSTS_FILE, "w") as file:
        file.writelines(line for line in lines if HOSTS_MARK not in line)
