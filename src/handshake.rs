//! What servers say to each other about a knock.
//!
//! | who | when | module |
//! | --- | --- | --- |
//! | knocking server | from the user's wish to the pending knock, and back | [`knocking`] |
//! | | is this template what was asked for | [`proposed`] |
//! | | what of the state that came back may be shown | [`arrival`] |
//! | | is this the answer to the knock | [`afterwards`] |
//! | resident server | `make_knock`, `make_leave` | [`resident`], [`template`] |
//! | | `send_knock`, `send_leave` | [`submission`] |
//! | | who has to hear of the answer | [`afterwards`] |

pub mod afterwards;
pub mod arrival;
mod exchange;
pub mod knocking;
pub mod proposed;
mod refusal;
pub mod resident;
pub mod submission;
pub mod template;
