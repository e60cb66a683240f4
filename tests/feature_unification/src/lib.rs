//! The crate in a host whose serde_json has every feature turned on: the same verdicts (the recordings, as in the
//! crate's own tests) and the same bytes.

#[cfg(test)]
mod tests {
    use matrix_knock::json::{CanonicalDialect, JsonErrorKind, canonical};

    #[test]
    fn the_features_are_on() {
        let value: serde_json::Value = serde_json::from_str(r#"{"b":1e400,"a":1.10}"#).unwrap();
        assert_eq!(value.to_string(), r#"{"b":1e+400,"a":1.10}"#);
    }

    #[test]
    fn the_same_bytes() {
        let text = r#"{"b":1e2,"a":[1.10,-0,123456789012345678901234567890],"é":"\u00e9\u0001"}"#;
        let expected = r#"{"a":[1.1,0,123456789012345678901234567890],"b":100.0,"é":"é\u0001"}"#;
        assert_eq!(canonical(text, CanonicalDialect::Lenient).as_deref(), Ok(expected));
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(canonical(&deep(128), CanonicalDialect::Strict), Ok(deep(128)));
        let refused = canonical(&deep(129), CanonicalDialect::Strict).map_err(|error| (error.kind(), error.at()));
        assert_eq!(refused, Err((JsonErrorKind::TooDeep, 129)));
    }
}
