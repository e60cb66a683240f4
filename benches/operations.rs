//! The operations that are measured beside the peer's: what goes in is made once, what comes out is checked to be the same, and the
//! clock, criterion and the counters all run these same closures.

pub(crate) mod decision;
pub(crate) mod exchange;
pub(crate) mod id;
pub(crate) mod invite;
pub(crate) mod room;
pub(crate) mod stripped;

use std::fmt::Debug;
use std::hint::black_box;

use stripped::Form;

/// One way to do the work.
pub(crate) struct Side(Box<dyn Fn(u64)>);

impl Side {
    pub(crate) fn new<T>(work: impl Fn() -> T + 'static) -> Self {
        Self(Box::new(move |repetitions| {
            for _ in 0..repetitions {
                black_box(work());
            }
        }))
    }

    /// Does the work so many times. The counters collect within this function only.
    #[inline(never)]
    pub(crate) fn run(&self, repetitions: u64) {
        (self.0)(black_box(repetitions));
    }
}

/// The same work: ours, the peer's, and the part of it that the machine cannot do faster.
pub(crate) struct Operation {
    pub(crate) ours: Side,
    pub(crate) peer: Side,
    pub(crate) limit: Option<Side>,
}

impl Operation {
    /// # Panics
    ///
    /// If the two sides do not come to the same result.
    pub(crate) fn new<T: Debug, U: Debug>(
        ours: impl Fn() -> T + 'static,
        peer: impl Fn() -> U + 'static,
        is_same: impl FnOnce(&T, &U) -> bool,
    ) -> Self {
        let (one, other) = (ours(), peer());
        assert!(is_same(&one, &other), "{one:?} is not {other:?}");
        Self { ours: Side::new(ours), peer: Side::new(peer), limit: None }
    }

    pub(crate) fn with_limit<T>(self, limit: impl Fn() -> T + 'static) -> Self {
        Self { limit: Some(Side::new(limit)), ..self }
    }
}

/// How large the inputs are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// In the room that decisions are made on.
    pub(crate) members: usize,
    /// In the pile that stripped state is taken from.
    pub(crate) texts: usize,
}

/// An operation by its name.
pub(crate) struct NamedOperation {
    pub(crate) name: &'static str,
    pub(crate) make: fn(Size) -> Operation,
}

/// All that has a peer. Where a name says 500, so many users stand in the power levels of the room.
pub(crate) const ALL: [NamedOperation; 12] = [
    NamedOperation { name: "auth/knock/plain", make: |size| decision::plain("knock", size.members, 5) },
    NamedOperation { name: "auth/knock/compiled", make: |size| decision::compiled("knock", size.members, 5) },
    NamedOperation { name: "auth/accept/plain_500", make: |size| decision::plain("accept", size.members, 500) },
    NamedOperation { name: "auth/accept/compiled_500", make: |size| decision::compiled("accept", size.members, 500) },
    NamedOperation { name: "auth/decline/plain_500", make: |size| decision::plain("decline", size.members, 500) },
    NamedOperation { name: "auth/decline/compiled_500", make: |size| decision::compiled("decline", size.members, 500) },
    NamedOperation { name: "event/id", make: |_| id::operation() },
    NamedOperation { name: "handshake/send_knock", make: |_| exchange::operation() },
    NamedOperation { name: "handshake/receive", make: |_| exchange::receipt() },
    NamedOperation { name: "handshake/invite", make: |_| invite::operation() },
    NamedOperation { name: "stripped/lookup", make: |_| stripped::lookup() },
    NamedOperation { name: "stripped/raw_texts", make: |size| stripped::raw_texts(size.texts, Form::Federation) },
];

/// The same with other inputs, where the choice of them matters: for people who want to know how much.
pub(crate) const VARIANTS: [NamedOperation; 9] = [
    NamedOperation {
        name: "auth/knock/plain, contents read each time",
        make: |size| decision::plain_unread("knock", size.members, 5),
    },
    NamedOperation {
        name: "auth/knock/compiled, contents read each time",
        make: |size| decision::compiled_unread("knock", size.members, 5),
    },
    NamedOperation {
        name: "auth/accept/compiled_500, contents read each time",
        make: |size| decision::compiled_unread("accept", size.members, 500),
    },
    NamedOperation {
        name: "auth/knock/plain, our look-up for both",
        make: |size| decision::plain_with_one_look_up("knock", size.members, 5),
    },
    NamedOperation {
        name: "auth/knock/plain, of 64 strangers",
        make: |size| decision::plain_of_strangers(size.members),
    },
    NamedOperation {
        name: "auth/knock/compiled, of 64 strangers",
        make: |size| decision::compiled_of_strangers(size.members),
    },
    NamedOperation { name: "stripped/lookup, from texts", make: |_| stripped::lookup_of_texts() },
    NamedOperation {
        name: "stripped/raw_texts, unsigned behind the type",
        make: |size| stripped::raw_texts(size.texts, Form::Unsigned),
    },
    NamedOperation { name: "pending/raw_texts", make: |size| stripped::pending(size.texts) },
];
