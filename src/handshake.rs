//! What servers say to each other about a knock.

pub mod arrival;
mod exchange;
pub mod knocking;
pub mod proposed;
pub mod resident;
pub mod submission;
pub mod template;
