//! What a host stores of a machine is the machine.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What comes back of what was stored.
pub(crate) fn resumed<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> T {
    let stored = serde_json::to_string(value).unwrap();
    let resumed: T = serde_json::from_str(&stored).unwrap();
    assert_eq!(resumed, *value);
    assert_eq!(serde_json::to_string(&resumed).unwrap(), stored);
    resumed
}
