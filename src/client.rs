//! `POST /knock`: what a client says to its server, read at the server and written at the client; and the answer, the
//! other way round.
//!
//! Who the client is (its access token) and what an alias stands for are the host's to find out. What the server does then is
//! the matter of [`knocking`](crate::knocking), or, in a room that it is in, of an event of its own.
//!
//! ```text
//! client                                               server
//! KnockRequest ── to_http ──▶ HTTP ── parse ──▶ KnockRequest │ RequestError ── to_response ──▶ 4xx
//! KnockResponse │ KnockError ◀── parse ── HTTP ◀── Display ── KnockResponse │ KnockRefusal, Failure ── to_response
//! ```
//!
//! # What a server does with a request
//!
//! | request | what becomes of it |
//! | --- | --- |
//! | `/_matrix/client/v3/knock/{roomIdOrAlias}`, the same with `r0` or `unstable/xyz.amorgan.knock` | this endpoint |
//! | `/_matrix/client/unstable/xyz.amorgan.knock/rooms/{roomId}/knock` | it too, as in the draft of MSC2403; room IDs only |
//! | another path; another method | 404; 405: `M_UNRECOGNIZED` |
//! | `via` (since v1.12) and `server_name` (before), any number of both | merged in the order of the query. Repeated names, names that are malformed or not well encoded, and those beyond [`MAX_VIA`] are passed over |
//! | other names in the query | passed over |
//! | a query over [`MAX_QUERY_BYTES`], a body over [`MAX_BODY_BYTES`] | 414, 413: `M_TOO_LARGE` |
//! | no body, an empty one, one that is no UTF-8, no JSON | 400 `M_NOT_JSON`: the body is required |
//! | JSON that is no object, is nested too deep, or has half a surrogate pair | 400 `M_BAD_JSON` |
//! | no `reason`, or `null` | no reason. `""` is a reason |
//! | `reason` of another kind, or twice | 400 `M_BAD_JSON` |
//! | `reason` over [`MAX_REASON_BYTES`] | 413 `M_TOO_LARGE`. A shorter one may still be too long for an event: [`Failure::TooLarge`], the same answer |
//! | other properties of the body | passed over: nobody sets a display name here |
//! | room ID or alias not in the grammar or not well encoded | 400 `M_INVALID_PARAM` |
//!
//! What is wrong first in the order path, method, query, body, ID is answered. In a query a `+` is a space (no server name has
//! either), in a path it is a `+`. A path is looked through once; an ID or alias over three times 255 bytes is not even decoded.
//!
//! # What a client is told of other servers
//!
//! [`Failure::to_response`]: 400 `M_INCOMPATIBLE_ROOM_VERSION` goes through with the `room_version`. Of the other answers of
//! several servers a 403 comes first, then 429 (with the `retry_after_ms` that was given), then 404; all other statuses,
//! silence and what cannot be read are 502 `M_UNKNOWN`. Only codes go through, never the text of another server.
//!
//! <https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3knockroomidoralias>
//!
//! [`Failure::TooLarge`]: crate::knocking::Failure::TooLarge
//! [`Failure::to_response`]: crate::knocking::Failure::to_response

mod body;
mod error;
mod request;
mod response;

pub use error::RequestError;
pub use request::{
    KnockRequest, MAX_BODY_BYTES, MAX_QUERY_BYTES, MAX_REASON_BYTES, MAX_VIA, PassedOver, WhyPassedOver,
};
pub use response::{KnockError, KnockErrorKind, KnockRefusal, KnockResponse};
