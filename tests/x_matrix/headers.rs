//! Headers, by the text and by RFC 9110: which are read, as what, and why others are not.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#section-11.4>

use matrix_knock::error::{Errcode, ErrorResponse};
use matrix_knock::event::{Ed25519Key, Sign};
use matrix_knock::id::IdError;
use matrix_knock::x_matrix::{Authorization, MAX_HEADER_BYTES, XMatrixError};

use super::{DESTINATION, KEY_ID, ORIGIN, key, request};

/// 64 bytes with all that base64 has besides letters and digits.
pub(super) const SIG: &str = "PbYrHiv7WpEyXFgLfxA0p/E0iuXgJG9oaKuNosyKtvPUK91HXDioriozJ+u80J7vTD1xtNGC4X8xLCspmvSmDw";

/// What a header is read as, written as this crate writes it; `SIG` in it stands for a signature.
fn read(header: &str) -> Result<String, XMatrixError> {
    let authorization = Authorization::parse(&header.replace("SIG", SIG))?;
    let written = authorization.to_string();
    assert_eq!(written.parse(), Ok(authorization), "{header}");
    Ok(written.replace(SIG, "SIG"))
}

/// The usual one.
const WHOLE: &str = r#"X-Matrix origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG""#;

/// What comes of a header with other values.
fn with(origin: &str, destination: Option<&str>, key: &str) -> String {
    let destination = destination.map(|name| format!(r#",destination="{name}""#)).unwrap_or_default();
    format!(r#"X-Matrix origin="{origin}"{destination},key="{key}",sig="SIG""#)
}

#[test]
fn in_many_spellings_the_same() {
    for header in [
        WHOLE,
        // Without quotes: tokens, and colons in them.
        r#"X-Matrix origin=b.example,destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        r#"X-Matrix origin="b.example",destination=a.example:8448,key=ed25519:1,sig="SIG""#,
        // Base64 is not a token; servers have always sent and read it all the same.
        "X-Matrix origin=b.example,destination=a.example:8448,key=ed25519:1,sig=SIG",
        "X-Matrix origin=b.example,destination=a.example:8448,key=ed25519:1,sig=SIG==",
        r#"X-Matrix origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG==""#,
        // The scheme is matched without case, and has one or more spaces behind it.
        r#"x-matrix origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        r#"X-MATRIX origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        r#"X-Matrix    origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        // So are the names.
        r#"X-Matrix ORIGIN="b.example",Destination="a.example:8448",kEy="ed25519:1",siG="SIG""#,
        // Spaces and tabs around commas, around the whole, and (bad, but to be read) around `=`.
        "X-Matrix origin=\"b.example\" , destination=\"a.example:8448\"\t,\tkey=\"ed25519:1\" \t, \t sig=\"SIG\"",
        "X-Matrix origin=b.example , destination=a.example:8448\t,\tkey=ed25519:1 \t, \t sig=SIG",
        " \tX-Matrix origin=\"b.example\",destination=\"a.example:8448\",key=\"ed25519:1\",sig=\"SIG\"\t ",
        "X-Matrix origin = \"b.example\",destination\t=\ta.example:8448,key =\"ed25519:1\",sig= SIG",
        // A backslash and what follows is what follows.
        r#"X-Matrix origin="b\.example",destination="\a.example\:8448",key="ed25519:\1",sig="SIG""#,
        r#"X-Matrix origin="\b\.\e\x\a\m\p\l\e",destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        // Unknown parameters are ignored, whatever they are called and have in them, repeated ones too.
        r#"X-Matrix v=2,origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG",signature="x""#,
        r#"X-Matrix a="",b="c,d=\"e\\",origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        r#"X-Matrix a=1,A=1,a=2,origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        "X-Matrix a=\"\té€\",origin=\"b.example\",destination=\"a.example:8448\",key=\"ed25519:1\",sig=\"SIG\"",
        r#"X-Matrix !#$%&'*+-.^_`|~0aZ=!#$%&'*+-.^_`|~0aZ,origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        // A list may have empty elements: RFC 9110, section 5.6.1.2.
        r#"X-Matrix ,origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        r#"X-Matrix origin="b.example",destination="a.example:8448",key="ed25519:1",sig="SIG","#,
        r#"X-Matrix origin="b.example",,destination="a.example:8448",key="ed25519:1",sig="SIG""#,
        "X-Matrix , ,\t,origin=b.example,destination=a.example:8448 ,\t , , key=ed25519:1,sig=SIG, ,",
    ] {
        assert_eq!(read(header).as_deref(), Ok(WHOLE), "{header}");
    }
}

#[test]
fn in_every_order() {
    let parts = [r#"origin="b.example""#, r#"destination="a.example:8448""#, r#"key="ed25519:1""#, r#"sig="SIG""#];
    let mut orders = 0;
    for place in 0..256_usize {
        let places = [place & 3, place >> 2 & 3, place >> 4 & 3, place >> 6];
        let header = format!("X-Matrix {}", places.map(|place| *parts.get(place).unwrap()).join(","));
        match (0..4).all(|one| places.contains(&one)) {
            true => {
                assert_eq!(read(&header).as_deref(), Ok(WHOLE), "{header}");
                orders += 1;
            }
            // Something twice, so something else not at all: what stands twice is noticed first.
            false => assert!(matches!(read(&header), Err(XMatrixError::Repeated(_))), "{header}"),
        }
    }
    assert_eq!(orders, 24);
}

#[test]
fn other_values() {
    let header = r#"X-Matrix origin="b.example",key="ed25519:1",sig="SIG""#;
    assert_eq!(read(header), Ok(with("b.example", None, KEY_ID)));
    for name in ["b", "b.example", "b-1.example.", "1.2.3.4", "1.2.3.4:80", "b:1", "B.Example:08448", "b:99999"] {
        let expected = Ok(with(name, Some(name), KEY_ID));
        for header in [
            format!("X-Matrix origin={name},destination={name},key=ed25519:1,sig=SIG"),
            format!(r#"X-Matrix origin="{name}",destination="{name}",key="ed25519:1",sig="SIG""#),
        ] {
            assert_eq!(read(&header), expected, "{header}");
        }
    }
    // Brackets are not in tokens: with quotes by the text, without by courtesy.
    for name in ["[::1]", "[2001:db8::8a2e:370:7334]:8448", "[::ffff:1.2.3.4]:1"] {
        let expected = Ok(with(name, Some(name), KEY_ID));
        for header in [
            format!("X-Matrix origin={name},destination={name},key=ed25519:1,sig=SIG"),
            format!(r#"X-Matrix origin="{name}",destination="{name}",key="ed25519:1",sig="SIG""#),
        ] {
            assert_eq!(read(&header), expected, "{header}");
        }
    }
    // Key IDs of other servers: what can be looked up, though the text has letters, digits and `_` only.
    let long = format!("ed25519:{}", "a".repeat(247));
    for key in ["ed25519:a_B9", "ed25519:a.b-c", "ed25519:a=b;c", "ed25519:a:b", "ed25519:+/=", "ed25519:~", &long] {
        let header = format!(r#"X-Matrix origin="b.example",key="{key}",sig="SIG""#);
        assert_eq!(read(&header), Ok(with("b.example", None, key)), "{header}");
    }
    // The other alphabet of base64, with padding, and the bits behind the last byte.
    let url_safe = SIG.replace('+', "-").replace('/', "_");
    let loose = SIG.strip_suffix('w').unwrap().to_owned() + "x";
    for sig in [url_safe.clone(), url_safe + "==", loose, SIG.to_owned() + "="] {
        let header = format!(r#"X-Matrix origin="b.example",key="ed25519:1",sig="{sig}""#);
        assert_eq!(read(&header), Ok(with("b.example", None, KEY_ID)), "{header}");
    }
}

#[test]
fn what_is_no_header() {
    use XMatrixError::{KeyId, Missing, Parameters, Repeated, Scheme, Signature};
    let name = |parameter, error| XMatrixError::ServerName { parameter, error };
    let malformed = |parameter| name(parameter, IdError::ServerName);
    for (header, error) in [
        ("", Scheme),
        (" ", Scheme),
        ("X-Matri", Scheme),
        ("X-Matrix2 origin=b", Scheme),
        ("X_Matrix origin=b", Scheme),
        ("Bearer X-Matrix", Scheme),
        ("Basic YTpi", Scheme),
        ("origin=b,key=ed25519:1,sig=SIG", Scheme),
        ("X-Matrix,origin=b,key=ed25519:1,sig=SIG", Scheme),
        ("X-Matrix\torigin=b,key=ed25519:1,sig=SIG", Scheme),
        ("X-Matrix\u{a0}origin=b,key=ed25519:1,sig=SIG", Scheme),
        // No parameters at all.
        ("X-Matrix", Missing("origin")),
        ("X-Matrix ", Missing("origin")),
        ("X-Matrix ,", Missing("origin")),
        ("X-Matrix a=b", Missing("origin")),
        // One too few: the first of them.
        ("X-Matrix destination=a,key=ed25519:1,sig=SIG", Missing("origin")),
        ("X-Matrix origin=b,destination=a,sig=SIG", Missing("key")),
        ("X-Matrix origin=b,destination=a,key=ed25519:1", Missing("sig")),
        ("X-Matrix origin=b,destination=a", Missing("key")),
        // The list of parameters in the text says `signature`, its example and everybody `sig`.
        ("X-Matrix origin=b,destination=a,key=ed25519:1,signature=SIG", Missing("sig")),
        // One too many, even if it says the same.
        ("X-Matrix origin=b,origin=b,key=ed25519:1,sig=SIG", Repeated("origin")),
        ("X-Matrix origin=b,destination=a,DESTINATION=\"a\",key=ed25519:1,sig=SIG", Repeated("destination")),
        ("X-Matrix origin=b,key=ed25519:1,Key=ed25519:2,sig=SIG", Repeated("key")),
        ("X-Matrix origin=b,key=ed25519:1,sig=SIG,sig=", Parameters),
        ("X-Matrix origin=b,key=ed25519:1,sig=SIG,sig=\"\"", Repeated("sig")),
        // What is not a list of parameters.
        ("X-Matrix origin", Parameters),
        ("X-Matrix SIG", Parameters),
        ("X-Matrix =b", Parameters),
        ("X-Matrix origin=b key=ed25519:1 sig=SIG", Parameters),
        ("X-Matrix origin=b;key=ed25519:1;sig=SIG", Parameters),
        ("X-Matrix or igin=b,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix \"origin\"=b,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix origin:b,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix orígin=b,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix origin=b.exámple,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix origin=b\"\",key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix origin=b\\,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix origin=\"b\"b,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix origin=\"b\" \"b\",key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix origin=b,key=ed25519:1,sig=\"SIG", Parameters),
        ("X-Matrix origin=b,key=ed25519:1,sig=\"SIG\\\"", Parameters),
        ("X-Matrix origin=b,key=ed25519:1,sig=\"", Parameters),
        ("X-Matrix origin=b,key=ed25519:1,sig=SIG,\u{a0}", Parameters),
        ("X-Matrix origin=b,key=ed25519:1,sig=SIG,\r\n", Parameters),
        // A token has a character at least.
        ("X-Matrix origin=,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix a=,origin=b,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix origin=b,key=ed25519:1,sig=", Parameters),
        // Control characters stand in no string, escaped or not.
        ("X-Matrix a=\"\0\",origin=b,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix a=\"\r\n\",origin=b,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix a=\"\\\u{1f}\",origin=b,key=ed25519:1,sig=SIG", Parameters),
        ("X-Matrix a=\"\u{7f}\",origin=b,key=ed25519:1,sig=SIG", Parameters),
        // Server names.
        ("X-Matrix origin=\"\",key=ed25519:1,sig=SIG", malformed("origin")),
        ("X-Matrix origin='b',key=ed25519:1,sig=SIG", malformed("origin")),
        ("X-Matrix origin=\" b\",key=ed25519:1,sig=SIG", malformed("origin")),
        ("X-Matrix origin=b_c,key=ed25519:1,sig=SIG", malformed("origin")),
        ("X-Matrix origin=b:,key=ed25519:1,sig=SIG", malformed("origin")),
        ("X-Matrix origin=b:123456,key=ed25519:1,sig=SIG", malformed("origin")),
        ("X-Matrix origin=::1,key=ed25519:1,sig=SIG", malformed("origin")),
        ("X-Matrix origin=[::g],key=ed25519:1,sig=SIG", malformed("origin")),
        ("X-Matrix origin=https://b,key=ed25519:1,sig=SIG", malformed("origin")),
        ("X-Matrix origin=b,destination=\"\",key=ed25519:1,sig=SIG", malformed("destination")),
        ("X-Matrix origin=b,destination=\"a\\\"\",key=ed25519:1,sig=SIG", malformed("destination")),
        ("X-Matrix origin=b,destination=@a:b,key=ed25519:1,sig=SIG", Parameters),
        // Key IDs.
        ("X-Matrix origin=b,key=\"\",sig=SIG", KeyId),
        ("X-Matrix origin=b,key=1,sig=SIG", KeyId),
        ("X-Matrix origin=b,key=ed25519,sig=SIG", KeyId),
        ("X-Matrix origin=b,key=ed25519:,sig=SIG", KeyId),
        ("X-Matrix origin=b,key=ED25519:1,sig=SIG", KeyId),
        ("X-Matrix origin=b,key=ed448:1,sig=SIG", KeyId),
        ("X-Matrix origin=b,key=\"ed25519:a b\",sig=SIG", KeyId),
        ("X-Matrix origin=b,key=\"ed25519:a\\\"b\",sig=SIG", KeyId),
        ("X-Matrix origin=b,key=\"ed25519:a\\\\b\",sig=SIG", KeyId),
        ("X-Matrix origin=b,key=\"ed25519:a,b\",sig=SIG", KeyId),
        ("X-Matrix origin=b,key=\"ed25519:é\",sig=SIG", KeyId),
        (&format!("X-Matrix origin=b,key=ed25519:{},sig=SIG", "a".repeat(248)), KeyId),
        // Signatures.
        ("X-Matrix origin=b,key=ed25519:1,sig=\"\"", Signature),
        ("X-Matrix origin=b,key=ed25519:1,sig=AAAA", Signature),
        ("X-Matrix origin=b,key=ed25519:1,sig=SIGAA", Signature),
        ("X-Matrix origin=b,key=ed25519:1,sig=SIG===", Signature),
        ("X-Matrix origin=b,key=ed25519:1,sig=\"SIG \"", Signature),
        ("X-Matrix origin=b,key=ed25519:1,sig=\"é\"", Signature),
        ("X-Matrix origin=b,key=ed25519:1,sig=\"-SIG\"", Signature),
    ] {
        assert_eq!(read(header), Err(error), "{header}");
    }
}

#[test]
fn as_long_as_it_may_be() {
    let header = |bytes: usize| {
        let whole = WHOLE.replace("SIG", SIG);
        let filler = "a".repeat(bytes - whole.len() - ",a=".len());
        format!("{whole},a={filler}")
    };
    assert_eq!((MAX_HEADER_BYTES, header(MAX_HEADER_BYTES).len()), (8192, 8192));
    assert_eq!(read(&header(8192)).as_deref(), Ok(WHOLE));
    assert_eq!(read(&header(8193)), Err(XMatrixError::TooLong { bytes: 8193 }));
    // Nothing is said of what stands in it.
    assert_eq!(read(&" ".repeat(8193)), Err(XMatrixError::TooLong { bytes: 8193 }));
    let (commas, equals) = (format!("X-Matrix {}", ",".repeat(8183)), format!("X-Matrix {}", "a=b,".repeat(2045)));
    for header in [commas, equals] {
        assert_eq!(read(&header), Err(XMatrixError::Missing("origin")));
    }
    // A server name has 255 bytes at most.
    for (bytes, expected) in [(255, Ok(())), (256, Err(IdError::ServerName))] {
        let name = format!("{}.example", "b".repeat(bytes - ".example".len()));
        let expected = expected
            .map(|()| with(&name, None, KEY_ID))
            .map_err(|error| XMatrixError::ServerName { parameter: "origin", error });
        assert_eq!(read(&format!("X-Matrix origin={name},key=ed25519:1,sig=SIG")), expected);
    }
}

/// A header as older servers read it: one space, names in lower case, quotes, no backslash, no space around commas.
#[test]
fn as_it_is_written() {
    let header = request(None).sign(&key()).unwrap().to_string();
    let sig = header.rsplit_once("sig=\"").and_then(|(_, sig)| sig.strip_suffix('"')).unwrap();
    assert_eq!(sig.len(), 86);
    assert_eq!(header.replace(sig, "SIG"), with(ORIGIN, Some(DESTINATION), KEY_ID));
    // Key IDs are those of the grammar, and those beside it that servers have.
    for key_id in ["ed25519:a_B9", "ed25519:a.b", "ed25519:a+b/c=", "ed25519:-~", "ed25519:a:b"] {
        let signer = Ed25519Key::from_seed(key_id, &[7; 32]).unwrap();
        assert_eq!(signer.key_id(), key_id);
        let signed = request(None).sign(&signer).unwrap();
        assert_eq!(signed.key_id(), key_id);
        let header = signed.to_string();
        assert!(
            header.starts_with(&format!(
                r#"X-Matrix origin="{ORIGIN}",destination="{DESTINATION}",key="{key_id}",sig=""#
            ))
        );
        assert_eq!(Authorization::parse(&header), Ok(signed), "{key_id}");
    }
    let long = format!("ed25519:{}", "a".repeat(248));
    for (key_id, error) in [
        ("ed25519:", IdError::KeyId),
        ("ed25519:a\"b", IdError::KeyId),
        ("ed25519:a,b", IdError::KeyId),
        ("ed25519:a\\b", IdError::KeyId),
        ("ed25519:a b", IdError::KeyId),
        ("ed25519:é", IdError::KeyId),
        ("rsa:1", IdError::KeyId),
        ("", IdError::KeyId),
        (&long, IdError::TooLong),
    ] {
        assert_eq!(Ed25519Key::from_seed(key_id, &[7; 32]).err(), Some(error), "{key_id}");
    }
}

#[test]
fn errors_and_what_is_answered() {
    const MALFORMED: &str = "Malformed `Authorization` header";
    const NOT_VERIFIED: &str = "The signature of the request does not verify";
    let name = XMatrixError::ServerName { parameter: "origin", error: IdError::ServerName };
    for (error, message, answer) in [
        (XMatrixError::TooLong { bytes: 8193 }, "header of 8193 bytes, more than 8192", MALFORMED),
        (XMatrixError::Scheme, "the scheme is not `X-Matrix`", MALFORMED),
        (XMatrixError::Parameters, "malformed parameters", MALFORMED),
        (XMatrixError::Missing("sig"), "no `sig`", MALFORMED),
        (XMatrixError::Repeated("key"), "`key` occurs twice", MALFORMED),
        (name, "`origin` has a malformed server name", MALFORMED),
        (XMatrixError::KeyId, "`key` is not an ed25519 key ID", MALFORMED),
        (XMatrixError::Signature, "`sig` is not a signature", MALFORMED),
        (XMatrixError::OtherDestination, "the request is for another server", "The request is for another server"),
        (XMatrixError::UnknownKey, "unknown key", NOT_VERIFIED),
        (XMatrixError::ExpiredKey, "expired key", NOT_VERIFIED),
        (XMatrixError::BadSignature, "the signature does not verify", NOT_VERIFIED),
    ] {
        assert_eq!(error.to_string(), message);
        let response = ErrorResponse::from(error.clone());
        assert_eq!((response.status(), response.errcode(), response.error()), (401, &Errcode::Unauthorized, answer));
        assert_eq!(error.to_response(), response);
        assert_eq!(response.to_string(), format!(r#"{{"errcode":"M_UNAUTHORIZED","error":"{answer}"}}"#));
    }
}
