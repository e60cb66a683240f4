//! The crate in a host whose serde_json has every feature turned on: the same verdicts (the recordings, as in the
//! crate's own tests) and the same bytes.

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use matrix_knock::client::{KnockErrorKind, KnockResponse};
    use matrix_knock::error::{Errcode, ErrorResponse};
    use matrix_knock::event::{KeyValidity, VerifyKey};
    use matrix_knock::json::{CanonicalDialect, JsonErrorKind, canonical};
    use matrix_knock::knocking::Failure;
    use matrix_knock::room_version::RoomVersion;
    use matrix_knock::stripped_state::StrippedEvent;
    use matrix_knock::wire::HttpResponse;
    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize};
    use serde_json::Value;

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

    fn event(content: &str) -> String {
        format!(r#"{{"content":{content},"sender":"@a:b","state_key":"","type":"t"}}"#)
    }

    /// serde_json writes exponents with and without a sign, by its version.
    fn written(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap().replace("e+", "e")
    }

    /// What is written is what is written without these features; what is read keeps its numbers as they stand.
    #[test]
    fn stripped_events_there_and_back() {
        for (content, expected) in [
            ("{}", "{}"),
            (r#"{"b":[true,null,"é\n"],"a":{"z":{},"y":[]}}"#, r#"{"b":[true,null,"é\n"],"a":{"z":{},"y":[]}}"#),
            (r#"{"a":1.5}"#, r#"{"a":1.5}"#),
            (r#"{"a":1e300}"#, r#"{"a":1e300}"#),
            (r#"{"a":18446744073709551615}"#, r#"{"a":18446744073709551615}"#),
            (r#"{"a":-9223372036854775808}"#, r#"{"a":-9223372036854775808}"#),
            (r#"{"a":-0}"#, r#"{"a":0}"#),
            (r#"{"a":-0.0}"#, r#"{"a":-0.0}"#),
            (r#"{"a":1.10}"#, r#"{"a":1.1}"#),
            (r#"{"a":1E2}"#, r#"{"a":100.0}"#),
            (r#"{"$serde_json::private::Number":"1.5"}"#, r#"{"$serde_json::private::Number":"1.5"}"#),
            (r#"{"a":{"$serde_json::private::Number":"x"}}"#, r#"{"a":{"$serde_json::private::Number":"x"}}"#),
        ] {
            let stripped = StrippedEvent::try_from(event(content)).unwrap();
            assert_eq!(written(&stripped), event(expected));
            // Back, and the same bytes from then on.
            let back: StrippedEvent = serde_json::from_str(&written(&stripped)).unwrap();
            assert_eq!(back.text().replace("e+", "e"), event(expected));
            assert_eq!(written(&back), event(expected));
            // As it stands there.
            let read: StrippedEvent = serde_json::from_str(&event(content)).unwrap();
            assert_eq!(read.content().replace("e+", "e"), content.replace('E', "e"));
            if content.contains("$serde_json") {
                // No value of serde_json's own is that object.
                continue;
            }
            let value = serde_json::to_value(&stripped).unwrap();
            assert_eq!(written(&value), event(expected));
            let of_reference = StrippedEvent::deserialize(&value).unwrap();
            assert_eq!(of_reference.text().replace("e+", "e"), event(expected));
            assert_eq!(serde_json::from_value::<StrippedEvent>(value).unwrap(), of_reference);
            let inside = serde_json::json!({ "events": [stripped] });
            assert_eq!(written(&inside), format!(r#"{{"events":[{}]}}"#, event(expected)));
        }
        // More digits than a double has are read, and not written.
        let long = r#"{"a":123456789012345678901234567890}"#;
        let read: StrippedEvent = serde_json::from_str(&event(long)).unwrap();
        assert_eq!((read.content(), written(&read)), (long, event(r#"{"a":1.2345678901234568e29}"#)));
    }

    #[test]
    fn depth_is_bounded_where_serde_json_bounds_none() {
        let read = |levels: usize, innermost: &str| {
            let lists = levels - 2;
            let content = format!(r#"{{"a":{}{innermost}{}}}"#, "[".repeat(lists), "]".repeat(lists));
            let text = event(&content);
            let mut deserializer = serde_json::Deserializer::from_str(&text);
            deserializer.disable_recursion_limit();
            let read = StrippedEvent::deserialize(&mut deserializer).map_err(|error| error.to_string());
            read.map(|event| assert_eq!(event.text(), text))
        };
        for innermost in ["", "1.5", "-0", "18446744073709551615", "null", r#""x""#] {
            assert_eq!(read(128, innermost), Ok(()));
            for levels in [129, 130, 100_000] {
                let error = read(levels, innermost).unwrap_err();
                assert!(error.starts_with("JSON nested deeper than 128 levels"), "{error}");
            }
        }
        for object in ["{}", r#"{"a":1}"#, r#"{"$serde_json::private::Number":"1.5"}"#] {
            assert_eq!(read(127, object), Ok(()));
            let error = read(128, object).unwrap_err();
            assert!(error.starts_with("JSON nested deeper than 128 levels"), "{error}");
        }
        let hostile = |key: &str| format!("{}1{}", format!(r#"{{"{key}":"#).repeat(100_000), "}".repeat(100_000));
        for text in [hostile("a"), hostile("$serde_json::private::Number")] {
            let mut deserializer = serde_json::Deserializer::from_str(&text);
            deserializer.disable_recursion_limit();
            let error = StrippedEvent::deserialize(&mut deserializer).unwrap_err().to_string();
            assert!(error.starts_with("JSON nested deeper than 128 levels"), "{error}");
        }
    }

    #[test]
    fn errors_there_and_back() {
        for (response, expected) in [
            (
                ErrorResponse::limit_exceeded(Some(u64::MAX)),
                r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":18446744073709551615}"#,
            ),
            (ErrorResponse::new(Errcode::Forbidden, "\"No\""), r#"{"errcode":"M_FORBIDDEN","error":"\"No\""}"#),
        ] {
            let value = serde_json::to_value(&response).unwrap();
            assert_eq!(
                [serde_json::to_string(&response).unwrap(), response.to_string(), value.to_string()],
                [expected; 3]
            );
            assert_eq!(serde_json::from_str::<Value>(expected).unwrap(), value);
            let body = value.to_string();
            let read = KnockResponse::parse(HttpResponse::new(response.status(), &body)).unwrap_err();
            assert_eq!((read.errcode(), read.error()), (Some(response.errcode().as_str()), Some(response.error())));
            if let Some(retry_after_ms) = response.retry_after_ms() {
                let retry_after_ms = Some(retry_after_ms);
                assert_eq!(*read.kind(), KnockErrorKind::RateLimited { retry_after_ms });
            }
        }
    }

    #[test]
    fn what_hosts_store() {
        fn stored<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
            let text = serde_json::to_string(value).unwrap();
            assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value, "{text}");
            let json = serde_json::to_value(value).unwrap();
            assert_eq!(serde_json::from_value::<T>(json).unwrap(), *value, "{text}");
        }
        for validity in [KeyValidity::Until(u64::MAX), KeyValidity::Expired(0), KeyValidity::Forever] {
            stored(&VerifyKey { public_key: [7; 32], validity });
        }
        stored(&Failure::RateLimited { retry_after_ms: Some(u64::MAX) });
        stored(&RoomVersion::V10);
        let unstable = RoomVersion::unstable_with("org.example.10", RoomVersion::V10, |rules| rules.knocking = false);
        stored(&unstable.unwrap());
    }
}
