-- The tables of the host's database. `SCHEMA_VERSION` in store.rs changes with them.

CREATE TABLE own (server_name TEXT NOT NULL, key_id TEXT NOT NULL, seed BLOB NOT NULL, public_key BLOB NOT NULL);
CREATE TABLE profiles (user_id TEXT PRIMARY KEY, displayname TEXT);
CREATE TABLE server_keys (server TEXT PRIMARY KEY, keys TEXT NOT NULL);

CREATE TABLE rooms (room_id TEXT PRIMARY KEY, version TEXT NOT NULL, partial INTEGER NOT NULL DEFAULT 0);
-- `status`: Accepted; SoftFailed; Rejected; Outlier (known, but not its place in the room).
CREATE TABLE events (position INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE, room_id TEXT NOT NULL,
    status TEXT NOT NULL, depth INTEGER NOT NULL, origin_server_ts INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX events_of_room ON events (room_id, status, position);
CREATE TABLE extremities (room_id TEXT NOT NULL, event_id TEXT NOT NULL, depth INTEGER NOT NULL,
    PRIMARY KEY (room_id, event_id)) WITHOUT ROWID;
CREATE INDEX extremities_by_depth ON extremities (room_id, depth);
-- What the entry is from this position on; no event ID: absent.
CREATE TABLE state (room_id TEXT NOT NULL, type TEXT NOT NULL, state_key TEXT NOT NULL, position INTEGER NOT NULL,
    event_id TEXT, PRIMARY KEY (room_id, type, state_key, position)) WITHOUT ROWID;
-- The member events of the current state once more, and how many users of each server are joined.
CREATE TABLE members (room_id TEXT NOT NULL, user_id TEXT NOT NULL, membership TEXT NOT NULL, server TEXT NOT NULL,
    position INTEGER NOT NULL, event_id TEXT NOT NULL, PRIMARY KEY (room_id, user_id)) WITHOUT ROWID;
CREATE INDEX members_by_membership ON members (room_id, membership, position);
CREATE INDEX members_by_user ON members (user_id);
CREATE TABLE residents (room_id TEXT NOT NULL, server TEXT NOT NULL, joined INTEGER NOT NULL,
    PRIMARY KEY (room_id, server)) WITHOUT ROWID;

CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX outbox_of_destination ON outbox (destination, seq);
-- Machines of the library that have not ended. `before`: the event that was the membership when it began.
CREATE TABLE tasks (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, user_id TEXT NOT NULL,
    room_id TEXT NOT NULL, before TEXT, machine TEXT NOT NULL);
-- Memberships in rooms that this server is not in.
CREATE TABLE outside (user_id TEXT NOT NULL, room_id TEXT NOT NULL, event_id TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (user_id, room_id)) WITHOUT ROWID;
