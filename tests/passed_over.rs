//! Servers in the query of a client's knock that are not asked: each is told to the host, with
//! what is wrong with it, and none costs the others.
#![expect(clippy::expect_used, reason = "a test that cannot be set up fails")]

use matrix_knock::client::{KnockRequest, PassedOver, WhyPassedOver};
use matrix_knock::id::RoomIdOrAlias;
use matrix_knock::wire::HttpRequest;

use WhyPassedOver::{Encoding, Malformed, Name, TooMany};

fn parse(query: &str) -> KnockRequest {
    let path = "/_matrix/client/v3/knock/%21r%3Aa.example";
    KnockRequest::parse(HttpRequest { method: "POST", path, query, body: b"{}" }).expect("a knock")
}

/// The servers that are asked; and those that are not.
fn read(query: &str) -> (Vec<String>, Vec<PassedOver>) {
    let knock = parse(query);
    (knock.via().iter().map(ToString::to_string).collect(), knock.passed_over().to_vec())
}

fn passed_over(name: &str, value: &str, why: WhyPassedOver) -> PassedOver {
    PassedOver { name: name.to_owned(), value: value.to_owned(), why }
}

/// A value as it stands in a query, and what becomes of it as `via`: asked under this name, or not.
const VALUES: [(&str, Result<&str, WhyPassedOver>); 36] = [
    ("b.example", Ok("b.example")),
    ("b.example:8448", Ok("b.example:8448")),
    ("b.example%3A8448", Ok("b.example:8448")),
    ("%62.example", Ok("b.example")),
    ("1.2.3.4", Ok("1.2.3.4")),
    ("[2001:db8::1]:8448", Ok("[2001:db8::1]:8448")),
    ("%5B2001%3Adb8%3A%3A1%5D", Ok("[2001:db8::1]")),
    ("B.Example", Ok("B.Example")),
    // Lists in one parameter.
    ("a.example,b.example", Err(Malformed)),
    ("a.example%2Cb.example", Err(Malformed)),
    ("a.example, b.example", Err(Malformed)),
    ("a.example;b.example", Err(Malformed)),
    ("a.example b.example", Err(Malformed)),
    ("a.example+b.example", Err(Malformed)),
    ("[\"a.example\"]", Err(Malformed)),
    ("[a.example]", Err(Malformed)),
    // URLs, and what stands in them.
    ("https://b.example", Err(Malformed)),
    ("https%3A%2F%2Fb.example", Err(Malformed)),
    ("//b.example", Err(Malformed)),
    ("b.example/", Err(Malformed)),
    ("b.example%2F_matrix", Err(Malformed)),
    ("b.example?x", Err(Malformed)),
    ("b.example%23x", Err(Malformed)),
    // Other identifiers.
    ("@kay:b.example", Err(Malformed)),
    ("!r:b.example", Err(Malformed)),
    // No names.
    ("", Err(Malformed)),
    ("+", Err(Malformed)),
    ("b_example", Err(Malformed)),
    ("b.example:", Err(Malformed)),
    ("b.example:port", Err(Malformed)),
    ("256.1.1.1", Err(Malformed)),
    ("%C3%A9.example", Err(Malformed)),
    ("b.example%00", Err(Malformed)),
    // No texts.
    ("b.example%FF", Err(Encoding)),
    ("b.example%", Err(Encoding)),
    ("%zz", Err(Encoding)),
];

/// Each value under each name, before and behind a good one.
#[test]
fn every_value_under_every_name() {
    let mut cells = 0;
    for (value, becomes) in VALUES {
        // The name as it stands in the query, as it is told, and whether it is one.
        for (name, told, is_one) in [
            ("via", "via", true),
            ("server_name", "server_name", true),
            ("v%69a", "via", true),
            ("via[]", "via[]", false),
            ("via%5B%5D", "via[]", false),
            ("via[0]", "via[0]", false),
            ("server_name[]", "server_name[]", false),
        ] {
            let (asked, not_asked): (Vec<&str>, Vec<PassedOver>) = match becomes {
                _ if !is_one => (vec![], vec![passed_over(told, value, Name)]),
                Ok(server) => (vec![server], vec![]),
                Err(why) => (vec![], vec![passed_over(told, value, why)]),
            };
            let good = "good.example";
            for (query, asked) in [
                (format!("{name}={value}"), asked.clone()),
                (format!("via={good}&{name}={value}"), [&[good], &asked[..]].concat()),
                (format!("{name}={value}&x=y&&via={good}"), [&asked[..], &[good]].concat()),
            ] {
                let asked = asked.into_iter().map(str::to_owned).collect();
                assert_eq!(read(&query), (asked, not_asked.clone()), "{query}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 36 * 7 * 3);
}

/// What is no list of servers, whatever it looks like, is not told of: it was not meant for this.
#[test]
fn other_parameters() {
    for query in
        ["", "&&", "via_=a,b", "Via=a,b", "vias[]=a", "via[=a,b", "x=via", "reason=a,b", "user_id=@a:b", "%FF=a"]
    {
        assert_eq!(read(query), (vec![], vec![]), "{query}");
    }
    // A name without a value is an empty one.
    assert_eq!(read("via"), (vec![], vec![passed_over("via", "", Malformed)]));
}

/// A server that is asked is not passed over, however often it is named.
#[test]
fn repeated() {
    let query = "via=b.example&via=b.example&server_name=b.example&server_name=%62.example";
    assert_eq!(read(query), (vec!["b.example".to_owned()], vec![]));
}

/// The twenty-first server, and what comes behind it.
#[test]
fn too_many() {
    let servers: Vec<String> = (0..23).map(|number| format!("s{number}.example")).collect();
    let mut parameters: Vec<String> = servers.iter().map(|server| format!("via={server}")).collect();
    parameters.push("via=s0.example".to_owned());
    parameters.push("via=a,b".to_owned());
    let mut not_asked: Vec<PassedOver> =
        servers[20..].iter().map(|server| passed_over("via", server, TooMany)).collect();
    not_asked.push(passed_over("via", "a,b", Malformed));
    assert_eq!(read(&parameters.join("&")), (servers[..20].to_vec(), not_asked));
}

/// Of many the first hundred are told, of a long one the first 255 bytes.
#[test]
fn bounds() {
    let query = (0..1_000).map(|number| format!("via=a,{number}")).collect::<Vec<_>>().join("&");
    let expected: Vec<PassedOver> =
        (0..100).map(|number| passed_over("via", &format!("a,{number}"), Malformed)).collect();
    assert_eq!(read(&query), (vec![], expected));
    // Bytes, but whole characters.
    for (value, told) in [
        ("a".repeat(60_000), "a".repeat(255)),
        (format!("a{}", "é".repeat(20_000)), format!("a{}", "é".repeat(127))),
        ("é".repeat(20_000), "é".repeat(127)),
    ] {
        assert_eq!(read(&format!("via={value}")), (vec![], vec![passed_over("via", &told, Malformed)]));
        let name = format!("via[{value}]");
        let told_name: String = format!("via[{told}");
        let end = (0..=255).rev().find(|end| told_name.is_char_boundary(*end)).expect("an end");
        assert_eq!(
            read(&format!("{name}=x")),
            (vec![], vec![passed_over(told_name.get(..end).expect("whole characters"), "x", Name)])
        );
    }
}

/// Servers that a client's own program names are told in the same way.
#[test]
fn of_a_client() {
    let room = RoomIdOrAlias::parse("#r:a.example").expect("an alias");
    let mut asked: Vec<&str> = Vec::new();
    let mut not_asked = Vec::new();
    // What stands in a query is percent-encoded, what a program names is not.
    for (value, becomes) in VALUES {
        match becomes {
            Ok(server) if server == value => asked.push(server),
            Ok(_) | Err(_) => not_asked.push(passed_over("via", value, Malformed)),
        }
    }
    let values = VALUES.map(|(value, _)| value);
    let knock = KnockRequest::new(room, values, None).expect("a knock");
    assert_eq!((asked.len(), not_asked.len()), (5, 31));
    assert_eq!((knock.via(), knock.passed_over()), (&*knock_via(&asked), &*not_asked));
    // Its request names those alone, and its server asks them all.
    let http = knock.to_http();
    let again = parse(&http.query);
    assert_eq!((again.via(), again.passed_over()), (knock.via(), &[][..]));
}

fn knock_via(servers: &[&str]) -> Vec<matrix_knock::id::OwnedServerName> {
    servers.iter().map(|server| server.parse().expect("a server name")).collect()
}
