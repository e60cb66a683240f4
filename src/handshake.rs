//! What servers say to each other about a knock.

pub mod resident;
pub mod submission;
pub mod template;
