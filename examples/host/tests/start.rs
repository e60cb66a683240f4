//! Bad input to a real process: command lines, databases, ports and disks with which it cannot
//! start or go on, and requests of other servers whose `Authorization` header is malformed. What it
//! says, how it exits, and that nothing is lost.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test that cannot be set up fails; it waits by the clock"
)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use matrix_knock::event::{Ed25519Key, KeyDocument, ServerKeys, Sign as _, sign_event};
use matrix_knock::id::ServerName;
use matrix_knock::x_matrix::SignedRequest;
use matrix_knock::{Ed25519, RoomVersion};
use rusqlite::Connection;
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_knock-host");
const NAME: &str = "localhost:18409";
/// A server whose keys the host has already. Nothing listens there.
const PEER: &str = "127.0.0.1:1";

/// A directory for one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("start-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A database of this server, all of it in one file.
    fn database(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        drop(Server::start(Command::new(BINARY), &path, &[]));
        // The last connection that is closed in order moves the log into the file.
        Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "DELETE").unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The host, ended if it starts all the same.
fn host() -> Command {
    let mut command = Command::new("timeout");
    command.args(["20", BINARY]);
    command
}

/// Runs the host to its end: exit status, and all that it says.
fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Where no file may get longer than this, in KiB: to SQLite that is a disk that is full.
fn limited(kibibytes: u64) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!(r#"trap "" XFSZ; ulimit -f {kibibytes}; exec "$0" "$@""#), BINARY]);
    command
}

fn with_database(mut command: Command, path: &Path) -> (Command, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command.args(["--server-name", NAME, "--listen", &address.to_string(), "--database"]).arg(path);
    (command, address)
}

/// The host does not start with this database, and says why.
#[track_caller]
fn assert_refused(path: &Path, why: &str) {
    let expected = format!("knock-host: the database `{}`: {why}\n", path.display());
    assert_eq!(run(&mut with_database(host(), path).0), (Some(1), String::new(), expected));
}

/// A host that listens. It is killed when it is dropped: it has to bear an end without warning.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill().and_then(|()| self.process.wait()));
    }
}

impl Server {
    fn start(command: Command, database: &Path, options: &[&str]) -> Self {
        let (mut command, address) = with_database(command, database);
        let command = command.args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut server = Self { process: command.spawn().unwrap(), address };
        let mut line = String::new();
        BufReader::new(server.process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, format!("knock-host: {NAME} listens on {address}\n"));
        server
    }

    /// Sends a request; the answer's status and body.
    fn send(&self, method: &str, uri: &str, headers: &[Vec<u8>], body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        let mut request =
            format!("{method} {uri} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: {length}\r\n")
                .into_bytes();
        for value in headers {
            request.extend([b"Authorization: ", value.as_slice(), b"\r\n"].concat());
        }
        request.extend([b"\r\n", body.as_bytes()].concat());
        stream.write_all(&request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    fn client(&self, user: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, &format!("/_matrix/client/v3/{path}"), &[format!("Bearer {user}").into_bytes()], &body)
    }

    /// Makes a room. Its ID as a segment of a path.
    fn create(&self, wish: &Value) -> String {
        let (status, answer) = self.client("alice", "POST", "createRoom", wish);
        assert_eq!(status, 200, "{answer}");
        answer["room_id"].as_str().unwrap().replace('!', "%21").replace(':', "%3A")
    }

    /// Makes a room on which people can knock.
    fn room(&self) -> String {
        let knock = json!([{ "type": "m.room.join_rules", "content": { "join_rule": "knock" } }]);
        self.create(&json!({ "room_version": "11", "initial_state": knock }))
    }

    fn keys(&self) -> Value {
        self.send("GET", "/_matrix/key/v2/server", &[], "").1["verify_keys"].clone()
    }
}

struct Peer {
    name: ServerName<'static>,
    key: Ed25519Key,
}

impl Peer {
    fn known_to(database: &Path) -> Self {
        let name = ServerName::parse(PEER).unwrap();
        let key = Ed25519Key::from_seed("ed25519:1", &[7; 32]).unwrap();
        let document = KeyDocument::new(name, 4_000_000_000_000).with_key(key.key_id(), key.public_key());
        let keys = ServerKeys::parse(name, &document.sign(&[&key]).unwrap(), &Ed25519).unwrap();
        let values = (name.as_str(), serde_json::to_string(&keys).unwrap());
        Connection::open(database).unwrap().execute("INSERT INTO server_keys VALUES (?, ?)", values).unwrap();
        Self { name, key }
    }

    fn header(&self, method: &str, uri: &str, content: Option<&str>, destination: &str) -> String {
        let destination = ServerName::parse(destination).unwrap();
        SignedRequest { method, uri, origin: self.name, destination, content }.sign(&self.key).unwrap().to_string()
    }

    /// The event by which a user of this server knocks or joins, and the URI to which it is sent.
    fn event(&self, host: &Server, room: &str, membership: &str) -> (String, Value) {
        let uri = format!("/_matrix/federation/v1/make_{membership}/{room}/%40kay%3A127.0.0.1%3A1?ver=11");
        let (status, mut made) = self.send(host, "GET", &uri, "");
        assert_eq!(status, 200, "{made}");
        made["event"]["origin_server_ts"] = json!(now());
        let signed = sign_event(RoomVersion::V11, &made["event"].to_string(), self.name, &self.key).unwrap();
        let (version, event_id) = (if membership == "join" { 2 } else { 1 }, signed.event_id().replace('$', "%24"));
        let uri = format!("/_matrix/federation/v{version}/send_{membership}/{room}/{event_id}");
        (uri, serde_json::from_str(signed.text()).unwrap())
    }

    fn send(&self, to: &Server, method: &str, uri: &str, body: &str) -> (u16, Value) {
        let content = Some(body).filter(|body| !body.is_empty());
        to.send(method, uri, &[self.header(method, uri, content, NAME).into_bytes()], body)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

#[test]
fn a_command_line_that_is_wrong() {
    let (status, help, error) = run(host().arg("--help"));
    assert_eq!((status, error), (Some(0), String::new()));
    let usage = "Usage: knock-host --server-name <NAME> --listen <ADDRESS:PORT> [OPTIONS]";
    assert!(help.contains(usage), "{help}");
    let end = "\nFor more information, try '--help'.\n";
    let message = |error: &str| (Some(2), String::new(), format!("error: {error}\n{end}"));
    let refused = |arguments: &[&str], error: &str| {
        assert_eq!(run(host().args(arguments)), message(error), "{arguments:?}");
    };
    let (name, listen) = (["--server-name", NAME], ["--listen", "127.0.0.1:0"]);
    let missing = "the following required arguments were not provided:\n";
    refused(&[], &format!("{missing}  --server-name <NAME>\n  --listen <ADDRESS:PORT>\n\n{usage}"));
    refused(&name, &format!("{missing}  --listen <ADDRESS:PORT>\n\n{usage}"));
    refused(&listen, &format!("{missing}  --server-name <NAME>\n\n{usage}"));
    let value = |value: &str, option: &str, why: &str| format!("invalid value '{value}' for '{option}': {why}");
    let no_name = value("no name", "--server-name <NAME>", "has a malformed server name");
    refused(&["--server-name", "no name", listen[0], listen[1]], &no_name);
    for address in ["localhost:1", "127.0.0.1", "127.0.0.1:65536"] {
        let error = value(address, "--listen <ADDRESS:PORT>", "invalid socket address syntax");
        refused(&[name[0], name[1], "--listen", address], &error);
    }
    let complete = |more: &[&'static str]| [&name, &listen, more].concat();
    for (versions, unknown) in [("2", "2"), ("13", "13"), ("10,x", "x"), ("10, 11", " 11")] {
        let error = value(unknown, "--versions <7,8,…>", "this server has no such room version");
        refused(&complete(&["--versions", versions]), &error);
    }
    for (option, shown) in [
        ("--versions", "--versions <7,8,…>"),
        ("--database", "--database <FILE>"),
        ("--server-name", "--server-name <NAME>"),
    ] {
        refused(&[option], &format!("a value is required for '{shown}' but none was supplied"));
    }
    for unknown in ["--verbose", "host.db", "-x"] {
        refused(&complete(&[unknown]), &format!("unexpected argument '{unknown}' found\n\n{usage}"));
    }
    let twice = "the argument '--server-name <NAME>' cannot be used multiple times";
    refused(&complete(&name), &format!("{twice}\n\n{usage}"));
    let not_unicode = OsStr::from_bytes(b"--\xFF");
    let error = format!("unexpected argument '--\u{FFFD}' found\n\n{usage}");
    assert_eq!(run(host().args(complete(&[])).arg(not_unicode)), message(&error));
}

#[test]
fn a_database_that_cannot_be_read() {
    let scratch = Scratch::new("unreadable");
    let (text, truncated) = (scratch.0.join("text"), scratch.0.join("truncated"));
    std::fs::write(&text, "This is a text, and no database. ".repeat(100)).unwrap();
    assert_refused(&text, "file is not a database");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("This is a text"));
    for path in [scratch.0.clone(), scratch.0.join("none/host.db")] {
        assert_refused(&path, &format!("unable to open database file: {}", path.display()));
    }

    let whole = std::fs::read(scratch.database("whole")).unwrap();
    for length in [100, 4095, 4096, whole.len() / 2, whole.len() - 4096] {
        std::fs::write(&truncated, &whole[..length]).unwrap();
        assert_refused(&truncated, "database disk image is malformed");
        assert_eq!(std::fs::read(&truncated).unwrap(), &whole[..length], "it was not written to");
    }
    // One page in the midst of it is lost.
    let damaged = [&whole[..8 * 4096], &[0; 4096], &whole[9 * 4096..]].concat();
    std::fs::write(&truncated, damaged).unwrap();
    assert_refused(&truncated, "it is damaged: Tree 9 page 9: btreeInitPage() returns error code 11");
}

#[test]
fn a_database_of_something_else() {
    let scratch = Scratch::new("else");
    let changed = |name: &str, sql: &str| {
        let path = scratch.database(name);
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        path
    };
    let other_server = changed("server", "UPDATE own SET server_name = 'other.example'");
    assert_refused(&other_server, "it is that of the server `other.example`, not of this one");
    let other_version = "it is of another program, or of another version of this one";
    for (name, sql) in [("later", "PRAGMA user_version = 99"), ("earlier", "PRAGMA user_version = 0")] {
        assert_refused(&changed(name, sql), other_version);
    }
    let other_program = scratch.0.join("program");
    Connection::open(&other_program).unwrap().execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    assert_refused(&other_program, other_version);
    for (name, sql) in [
        ("seed", "UPDATE own SET seed = randomblob(32)"),
        ("short", "UPDATE own SET seed = substr(seed, 2)"),
        ("text", "UPDATE own SET seed = 'seed'"),
        ("null", "UPDATE own SET public_key = x''"),
        ("name", "UPDATE own SET key_id = 'rsa:1'"),
        ("none", "DELETE FROM own"),
    ] {
        assert_refused(&changed(name, sql), "the signing key in it is damaged");
    }
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let expected = format!("knock-host: cannot listen on {address}: Address already in use (os error 98)\n");
    assert_eq!(run(host().args(["--server-name", NAME, "--listen", &address])), (Some(1), String::new(), expected));
}

#[test]
fn a_room_version_that_is_not_there() {
    let scratch = Scratch::new("versions");
    let path = scratch.0.join("host.db");
    let unsupported = (400, json!({ "errcode": "M_UNSUPPORTED_ROOM_VERSION", "error": "No such room version here" }));
    let server = Server::start(Command::new(BINARY), &path, &["--versions", "10,11"]);
    let create = |version: Value| server.client("alice", "POST", "createRoom", &json!({ "room_version": version }));
    for version in ["", "2", "9", "12", "13", "11 ", "org.example"] {
        assert_eq!(create(json!(version)), unsupported, "{version}");
    }
    // Without a wish it is the newest of them.
    assert_eq!(create(Value::Null).0, 200);
    assert_eq!(create(json!(11)).0, 400);
    let room = server.room();
    drop(server);
    // A room of a version that it does not have any more is still there; nobody is let in.
    let server = Server::start(Command::new(BINARY), &path, &["--versions", "12"]);
    assert_eq!(server.client("alice", "GET", &format!("rooms/{room}/members"), &Value::Null).0, 200);
    let (status, answer) = server.client("kay", "POST", &format!("knock/{room}"), &json!({}));
    assert_eq!((status, &answer["errcode"]), (400, &json!("M_INCOMPATIBLE_ROOM_VERSION")));
}

#[test]
fn a_disk_that_is_full() {
    let scratch = Scratch::new("full");
    let new = scratch.0.join("new.db");
    let expected = format!("knock-host: the database `{}`: disk I/O error\n", new.display());
    assert_eq!(run(&mut with_database(limited(8), &new).0), (Some(1), String::new(), expected));

    let path = scratch.0.join("host.db");
    let server = Server::start(Command::new(BINARY), &path, &[]);
    let room = server.room();
    let keys = server.keys();
    let peer = Peer::known_to(&path);
    // A knock and a join of another server, made while there was space.
    let public = server.create(&json!({ "room_version": "11", "preset": "public_chat" }));
    let (knock, join) = (peer.event(&server, &room, "knock"), peer.event(&server, &public, "join"));
    let transaction = json!({ "origin": peer.name.as_str(), "origin_server_ts": now(), "pdus": [join.1] });
    let submit = |server: &Server| {
        [
            peer.send(server, "PUT", "/_matrix/federation/v1/send/1", &transaction.to_string()),
            peer.send(server, "PUT", &knock.0, &knock.1.to_string()),
            peer.send(server, "PUT", &join.0, &join.1.to_string()),
        ]
    };
    drop(server);

    let sizes = [path.clone(), scratch.0.join("host.db-wal")].map(|path| path.metadata().map_or(0, |data| data.len()));
    let server = Server::start(limited(sizes[0].max(sizes[1]) / 1024 + 200), &path, &[]);
    let failed = (500, json!({ "errcode": "M_UNKNOWN", "error": "The database does not answer" }));
    let mut stored = BTreeMap::new();
    for number in 0..30 {
        let path = format!("rooms/{room}/state/test/{number}");
        let content = json!({ "text": "x".repeat(if number < 15 { 20_000 } else { 10 }) });
        match server.client("alice", "PUT", &path, &content) {
            (200, _) => drop(stored.insert(path, content)),
            answer => assert_eq!(answer, failed),
        }
    }
    assert!((3..20).contains(&stored.len()), "{stored:?}");
    let assert_kept = |server: &Server| {
        for (path, content) in &stored {
            assert_eq!(server.client("alice", "GET", path, &Value::Null), (200, content.clone()));
        }
    };
    // It is not the room that refuses.
    assert_eq!(server.client("bob", "POST", &format!("knock/{room}"), &json!({})), failed);
    // A room is there with all that was asked for, or not at all.
    let rooms = |server: &Server| {
        let sync = server.client("alice", "GET", "sync", &Value::Null).1;
        let rooms = sync["rooms"]["join"].as_object().unwrap();
        rooms.keys().cloned().collect::<Vec<_>>()
    };
    let before = rooms(&server);
    let large = "x".repeat(30_000);
    let entry = |number: u32| json!({ "type": "test", "state_key": number.to_string(), "content": { "text": large } });
    let wish = json!({ "initial_state": (0..10).map(entry).collect::<Vec<_>>() });
    assert_eq!(server.client("alice", "POST", "createRoom", &wish), failed);
    assert_eq!(server.client("alice", "POST", "createRoom", &json!({})), failed);
    assert_eq!((before.len(), rooms(&server)), (2, before.clone()));
    for change in ["invite", "ban", "leave"] {
        let bob = json!({ "user_id": "@bob:localhost:18409" });
        assert_eq!(server.client("alice", "POST", &format!("rooms/{room}/{change}"), &bob), failed);
    }
    assert_eq!(submit(&server), [&failed; 3].map(Clone::clone));
    // What is only read is there.
    assert_kept(&server);
    drop(server);

    let server = Server::start(Command::new(BINARY), &path, &[]);
    assert_eq!((server.keys(), rooms(&server)), (keys, before));
    assert_kept(&server);
    assert_eq!(server.client("bob", "POST", &format!("knock/{room}"), &json!({})).0, 200);
    assert_eq!(submit(&server).map(|(status, _)| status), [200; 3]);
}

#[test]
fn malformed_x_matrix_headers() {
    let scratch = Scratch::new("headers");
    let path = scratch.0.join("host.db");
    let server = Server::start(Command::new(BINARY), &path, &[]);
    let peer = Peer::known_to(&path);
    let uri = format!("/_matrix/federation/v1/make_knock/{}/%40kay%3A127.0.0.1%3A1?ver=11", server.room());
    let good = peer.header("GET", &uri, None, NAME);
    let signature = good.split_once("sig=\"").unwrap().1.trim_end_matches('"');
    let without = |parameter: &str| {
        let (scheme, parameters) = good.split_once(' ').unwrap();
        let kept: Vec<&str> = parameters.split(',').filter(|part| !part.starts_with(parameter)).collect();
        format!("{scheme} {}", kept.join(","))
    };
    let other_signature = format!("{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    let malformed = "Malformed `Authorization` header";
    let (destination, not_verified) =
        ("The request is for another server", "The signature of the request does not verify");
    let cases = [
        ("empty", String::new(), malformed),
        ("other scheme", good.replace("X-Matrix", "Bearer"), malformed),
        ("no scheme", good.replace("X-Matrix ", ""), malformed),
        ("no parameters", "X-Matrix".to_owned(), malformed),
        ("no origin", without("origin"), malformed),
        ("no key", without("key"), malformed),
        ("no signature", without("sig"), malformed),
        ("origin twice", format!("{good},origin=\"{PEER}\""), malformed),
        ("signature twice", format!("{good},SIG=\"{signature}\""), malformed),
        ("open quotes", good.trim_end_matches('"').to_owned(), malformed),
        ("quotes in between", good.replace(PEER, "peer\"example"), malformed),
        ("no comma", good.replace(',', " "), malformed),
        ("no value", format!("{good},other"), malformed),
        ("origin without a name", good.replace(PEER, ""), malformed),
        ("origin no name", good.replace(PEER, "peer example"), malformed),
        ("destination no name", good.replace(NAME, "@"), malformed),
        ("other destination", peer.header("GET", &uri, None, "other.example"), destination),
        ("key without a version", good.replace("ed25519:1", "ed25519:"), malformed),
        ("key without an algorithm", good.replace("ed25519:1", "1"), malformed),
        ("other algorithm", good.replace("ed25519:1", "rsa:1"), malformed),
        ("unknown key", good.replace("ed25519:1", "ed25519:2"), not_verified),
        ("unknown server", good.replace(PEER, "127.0.0.1:2"), not_verified),
        ("no base64", good.replace(signature, "????"), malformed),
        ("short signature", good.replace(signature, &signature[..80]), malformed),
        ("long signature", good.replace(signature, &signature.repeat(2)), malformed),
        ("other signature", good.replace(signature, &other_signature), not_verified),
        ("other method", peer.header("PUT", &uri, None, NAME), not_verified),
        ("other URI", peer.header("GET", &uri[1..], None, NAME), not_verified),
        ("other content", peer.header("GET", &uri, Some("{}"), NAME), not_verified),
        ("60 KB", format!("{good},other=\"{}\"", "x".repeat(60_000)), malformed),
        ("not ASCII", good.replace(PEER, "pëer.example"), malformed),
    ];
    let one = |(name, header, error): (&'static str, String, &'static str)| (name, vec![header.into_bytes()], error);
    let good = good.as_bytes().to_vec();
    let not_unicode = [good.as_slice(), b",other=\"\xFF\""].concat();
    let more = [
        ("missing", vec![], malformed),
        ("not UTF-8", vec![not_unicode], malformed),
        ("two, the first malformed", vec![b"X-Matrix".to_vec(), good.clone()], malformed),
        ("two, the second malformed", vec![good.clone(), b"X-Matrix".to_vec()], malformed),
        ("two", vec![good.clone(), good.clone()], malformed),
    ];
    for (name, headers, error) in cases.into_iter().map(one).chain(more) {
        let expected = (401, json!({ "errcode": "M_UNAUTHORIZED", "error": error }));
        assert_eq!(server.send("GET", &uri, &headers, ""), expected, "{name}");
        assert_eq!(server.send("GET", &uri, std::slice::from_ref(&good), "").0, 200, "after: {name}");
    }
    // Parameters that nobody knows do not count.
    let unknown = [good.as_slice(), b",other=\"x\""].concat();
    assert_eq!(server.send("GET", &uri, &[unknown], "").0, 200);
}
