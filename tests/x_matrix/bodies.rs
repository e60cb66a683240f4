//! Bodies: how deep, which numbers, and what is no body.

use matrix_knock::error::Errcode;
use matrix_knock::json::{JsonError, JsonErrorKind, MAX_CONTAINER_DEPTH};
use matrix_knock::x_matrix::XMatrixError;

use super::{key, request, verify};

/// The canonical form of a body, as it is signed.
fn canonical(body: &str) -> Result<String, JsonError> {
    let signed = request(Some(body)).sign(&key())?;
    assert_eq!(verify(&signed, &request(Some(body))), Ok(()), "{body}");
    let whole = request(Some(body)).message().unwrap();
    let empty = request(None).message().unwrap();
    let rest = empty.strip_prefix('{').unwrap();
    let body = whole.strip_prefix(r#"{"content":"#).and_then(|whole| whole.strip_suffix(rest)?.strip_suffix(','));
    Ok(body.unwrap().to_owned())
}

/// Objects and arrays in each other, so many levels in all.
fn nested(levels: usize) -> String {
    let (objects, arrays) = (levels / 2, levels - levels / 2);
    format!("{}{}1{}{}", r#"{"a":"#.repeat(objects), "[".repeat(arrays), "]".repeat(arrays), "}".repeat(objects))
}

/// An event may have 128 levels, and stands in a transaction in a list of an object.
#[test]
fn nesting() {
    assert_eq!(MAX_CONTAINER_DEPTH, 160);
    for levels in 125..=160 {
        assert_eq!(canonical(&nested(levels)), Ok(nested(levels)), "{levels}");
    }
    for levels in [161, 162, 1000, 100_000] {
        let body = nested(levels);
        let error = request(Some(&body)).message().unwrap_err();
        assert_eq!(error.kind(), JsonErrorKind::DeeperThan { levels: 160 });
        assert_eq!(canonical(&body), Err(error));
        // The receiving server says the same.
        let signed = request(Some("{}")).sign(&key()).unwrap();
        assert_eq!(verify(&signed, &request(Some(&body))), Err(XMatrixError::Content(error)));
    }
    let error = request(Some(&nested(161))).sign(&key()).unwrap_err();
    assert_eq!(error.to_string(), "JSON nested deeper than 160 levels at byte 481");
    let refused = XMatrixError::from(error);
    assert_eq!(refused.to_string(), "the body: JSON nested deeper than 160 levels at byte 481");
    let response = refused.to_response();
    assert_eq!(response.to_string(), r#"{"errcode":"M_BAD_JSON","error":"The body cannot be read"}"#);
    // A transaction with an event of 128 levels.
    let transaction = format!(r#"{{"edus":[],"pdus":[{}]}}"#, nested(128));
    assert_eq!(canonical(&transaction), Ok(transaction));
}

/// Events of room versions 1 to 5 may have any number; the servers of those days write them as Python does.
#[test]
fn numbers() {
    for (number, expected) in [
        ("0", "0"),
        ("-3", "-3"),
        ("-0", "0"),
        ("9007199254740993", "9007199254740993"),
        ("100000000000000000000", "100000000000000000000"),
        ("1.0", "1.0"),
        ("-0.0", "-0.0"),
        ("0.1", "0.1"),
        ("1.10", "1.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("1e2", "100.0"),
        ("-1.5E+3", "-1500.0"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("1e22", "1e+22"),
        ("123456789012345680.0", "1.2345678901234568e+17"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("2.5e-5", "2.5e-05"),
        ("1E-7", "1e-07"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
    ] {
        let body = format!(r#"{{"b":{number},"a":[{number}]}}"#);
        assert_eq!(canonical(&body), Ok(format!(r#"{{"a":[{expected}],"b":{expected}}}"#)), "{number}");
        // Both spellings are the same request.
        let signed = request(Some(number)).sign(&key()).unwrap();
        assert_eq!(verify(&signed, &request(Some(expected))), Ok(()), "{number}");
    }
    let whole = request(Some("1")).sign(&key()).unwrap();
    assert_eq!(verify(&whole, &request(Some("1.0"))), Err(XMatrixError::BadSignature));
}

#[test]
fn what_is_no_body() {
    use JsonErrorKind::{
        ControlCharacter, DuplicateKey, InvalidEscape, LoneSurrogate, NumberNotAllowed, TrailingCharacters,
        UnexpectedCharacter, UnexpectedEnd,
    };
    const NOT_JSON: (Errcode, &str) = (Errcode::NotJson, "The body is not JSON");
    const BAD_JSON: (Errcode, &str) = (Errcode::BadJson, "The body cannot be read");
    for (body, kind, at, answer) in [
        ("", UnexpectedEnd, 0, NOT_JSON),
        (" ", UnexpectedEnd, 1, NOT_JSON),
        ("{", UnexpectedEnd, 1, NOT_JSON),
        (r#"{"a":1"#, UnexpectedEnd, 6, NOT_JSON),
        (r#""a"#, UnexpectedEnd, 2, NOT_JSON),
        ("{}x", TrailingCharacters, 2, NOT_JSON),
        ("{} {}", TrailingCharacters, 3, NOT_JSON),
        ("nul", UnexpectedCharacter, 0, NOT_JSON),
        ("\u{feff}{}", UnexpectedCharacter, 0, NOT_JSON),
        ("{'a':1}", UnexpectedCharacter, 1, NOT_JSON),
        ("[1,]", UnexpectedCharacter, 3, NOT_JSON),
        ("[01]", UnexpectedCharacter, 2, NOT_JSON),
        ("NaN", UnexpectedCharacter, 0, NOT_JSON),
        ("[-Infinity]", UnexpectedCharacter, 2, NOT_JSON),
        ("M_NOT_JSON", UnexpectedCharacter, 0, NOT_JSON),
        ("\"\u{1}\"", ControlCharacter, 1, NOT_JSON),
        (r#""\x""#, InvalidEscape, 1, NOT_JSON),
        // JSON by its grammar, but nothing that two servers have to read in the same way.
        (r#"{"a":1,"a":1}"#, DuplicateKey, 13, BAD_JSON),
        (r#"{"a":1,"\u0061":2}"#, DuplicateKey, 18, BAD_JSON),
        (r#"{"pdus":[{"a":{"b":1,"c":2,"b":3}}]}"#, DuplicateKey, 33, BAD_JSON),
        (r#"["\ud800"]"#, LoneSurrogate, 2, BAD_JSON),
        ("[1e400]", NumberNotAllowed, 1, BAD_JSON),
    ] {
        let error = request(Some(body)).message().unwrap_err();
        assert_eq!((error.kind(), error.at()), (kind, at), "{body}");
        assert_eq!(canonical(body), Err(error), "{body}");
        let signed = request(Some("{}")).sign(&key()).unwrap();
        let refused = verify(&signed, &request(Some(body))).unwrap_err();
        assert_eq!(refused, XMatrixError::Content(error), "{body}");
        assert_eq!(refused.to_string(), format!("the body: {error}"));
        let response = refused.to_response();
        assert_eq!((response.status(), (response.errcode(), response.error())), (400, (&answer.0, answer.1)), "{body}");
    }
}
