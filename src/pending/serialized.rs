//! The index as serde stores it: the pending knocks in order, each with its position, and the last position that was given.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize, Serializer};

use super::{Knocker, PendingKnocks, Position, Slot};

/// The highest position that is read: as many knocks no room has. Beyond it positions could run out.
const MAX_POSITION: u64 = (1 << 53) - 1;

#[derive(Serialize, Deserialize)]
pub(super) struct Stored<'k> {
    /// The position that was given last, to a knock that may be gone.
    last: u64,
    knocks: Vec<StoredKnock<'k>>,
}

#[derive(Serialize, Deserialize)]
struct StoredKnock<'k> {
    position: u64,
    user: Cow<'k, str>,
    event_id: Cow<'k, str>,
    origin_server_ts: i64,
    reason: Option<Cow<'k, str>>,
    displayname: Option<Cow<'k, str>>,
    avatar_url: Option<Cow<'k, str>>,
}

/// Why what was stored is not an index.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoredError {
    #[error("the positions of the knocks are not in order")]
    Order,
    #[error("the last position is not behind all knocks, or is out of range")]
    Last,
    #[error("two knocks of `{0}`")]
    Duplicate(Box<str>),
}

/// Without the gaps: what is behind a position does not depend on them.
impl Serialize for PendingKnocks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let knocks = self.after(Position::START).map(|(position, knocker)| StoredKnock::of(position, knocker));
        Stored { last: self.last, knocks: knocks.collect() }.serialize(serializer)
    }
}

impl<'k> StoredKnock<'k> {
    fn of(position: Position, knocker: &'k Knocker) -> Self {
        Self {
            position: position.to_token(),
            user: knocker.user().into(),
            event_id: knocker.event_id().into(),
            origin_server_ts: knocker.origin_server_ts(),
            reason: knocker.reason().map(Into::into),
            displayname: knocker.displayname().map(Into::into),
            avatar_url: knocker.avatar_url().map(Into::into),
        }
    }

    fn into_knocker(self) -> Knocker {
        Knocker {
            user: self.user.into(),
            event_id: self.event_id.into(),
            origin_server_ts: self.origin_server_ts,
            reason: self.reason.map(Into::into),
            displayname: self.displayname.map(Into::into),
            avatar_url: self.avatar_url.map(Into::into),
        }
    }
}

impl TryFrom<Stored<'static>> for PendingKnocks {
    type Error = StoredError;

    fn try_from(stored: Stored<'static>) -> Result<Self, StoredError> {
        let mut index =
            Self { slots: Vec::with_capacity(stored.knocks.len()), places: HashMap::new(), last: stored.last };
        let mut before = Position::START;
        for knock in stored.knocks {
            let position = Position::from_token(knock.position);
            if position <= before {
                return Err(StoredError::Order);
            }
            before = position;
            let knocker = knock.into_knocker();
            let user = knocker.user.clone();
            if index.places.insert(user, index.slots.len()).is_some() {
                return Err(StoredError::Duplicate(knocker.user.as_ref().into()));
            }
            index.slots.push(Slot { position, knocker: Some(knocker) });
        }
        if before.to_token() > index.last || index.last > MAX_POSITION {
            return Err(StoredError::Last);
        }
        Ok(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Pdu;
    use crate::pending::Update;
    use crate::room_version::RoomVersion;

    fn knock(user: &str) -> String {
        format!(
            r#"{{"type":"m.room.member","state_key":"{user}","sender":"{user}","event_id":"${user}",
            "origin_server_ts":-5,"content":{{"membership":"knock","reason":"\u0000 \"é\" {user}"}}}}"#
        )
    }

    fn index(users: &[&str]) -> PendingKnocks {
        PendingKnocks::from_state(RoomVersion::V10, users.iter().map(|user| knock(user)))
    }

    fn tokens(index: &PendingKnocks) -> Vec<(u64, String)> {
        let found = index.after(Position::START);
        found.map(|(position, knocker)| (position.to_token(), knocker.user().to_owned())).collect()
    }

    fn read(text: &str) -> Result<PendingKnocks, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn order_and_positions_stay() {
        let mut knocks = index(&["@a:x", "@b:x", "@c:x", "@d:x"]);
        // Who knocks again goes to the end, and the last place was given to somebody who is gone.
        knocks.apply(&Pdu::parse(&knock("@a:x")).unwrap().with_event_id("$again"), 9).unwrap();
        knocks.remove("@b:x");
        knocks.apply(&Pdu::parse(&knock("@e:x")).unwrap(), 9).unwrap();
        knocks.remove("@e:x");
        let stored = serde_json::to_string(&knocks).unwrap();
        let mut again = read(&stored).unwrap();
        assert_eq!((&again, tokens(&again)), (&knocks, tokens(&knocks)));
        assert_eq!(tokens(&again), [(3, "@c:x"), (4, "@d:x"), (5, "@a:x")].map(|(at, user)| (at, user.to_owned())));
        assert_eq!(serde_json::to_string(&again).unwrap(), stored);

        // From here on both go on alike.
        for index in [&mut knocks, &mut again] {
            assert_eq!(index.apply(&Pdu::parse(&knock("@f:x")).unwrap(), 1), Ok(Update::Knocked));
            assert_eq!(index.apply(&Pdu::parse(&knock("@d:x")).unwrap(), 1), Ok(Update::Nothing));
            assert_eq!(index.knocker("@d:x").map(Knocker::event_id), Some("$@d:x"));
            assert!(index.remove("@c:x").is_some());
        }
        assert_eq!(tokens(&again), tokens(&knocks));
        assert_eq!(tokens(&again).last(), Some(&(7, "@f:x".to_owned())));
    }

    #[test]
    fn as_it_is_written() {
        let stored = serde_json::to_string(&index(&["@a:x"])).unwrap();
        let expected = concat!(
            r#"{"last":1,"knocks":[{"position":1,"user":"@a:x","event_id":"$@a:x","origin_server_ts":-5,"#,
            r#""reason":"\u0000 \"é\" @a:x","displayname":null,"avatar_url":null}]}"#
        );
        assert_eq!(stored, expected);
        assert_eq!(read(r#"{"last":0,"knocks":[]}"#), Ok(PendingKnocks::new()));
    }

    #[test]
    fn changed_by_hand() {
        let knocks = |last: u64, knocks: &[(u64, &str)]| {
            let knock = |(position, user): &(u64, &str)| {
                format!(r#"{{"position":{position},"user":"{user}","event_id":"$","origin_server_ts":0}}"#)
            };
            format!(r#"{{"last":{last},"knocks":[{}]}}"#, knocks.iter().map(knock).collect::<Vec<_>>().join(","))
        };
        let order = "the positions of the knocks are not in order";
        let last = "the last position is not behind all knocks, or is out of range";
        for (text, error) in [
            (knocks(9, &[(0, "a")]), order),
            (knocks(9, &[(2, "a"), (2, "b")]), order),
            (knocks(9, &[(3, "a"), (2, "b")]), order),
            (knocks(9, &[(2, "a"), (3, "a")]), "two knocks of `a`"),
            (knocks(2, &[(2, "a"), (3, "b")]), last),
            (knocks(1 << 53, &[(2, "a")]), last),
            (knocks(u64::MAX, &[(u64::MAX, "a")]), last),
        ] {
            assert_eq!(read(&text), Err(error.to_owned()), "{text}");
        }
        assert_eq!(read(&knocks((1 << 53) - 1, &[(2, "a"), (7, "b")])).map(|read| read.len()), Ok(2));
        for malformed in ["", "[]", "{}", r#"{"last":-1,"knocks":[]}"#, r#"{"last":1,"knocks":[{"position":1}]}"#] {
            assert!(read(malformed).is_err(), "{malformed}");
        }
    }
}
