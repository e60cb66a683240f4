//! What servers say to each other about a knock.

pub mod afterwards;
pub mod template;
