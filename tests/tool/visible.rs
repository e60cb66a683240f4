//! The command `visible`: the whole product against the table of the text, and lines that say less
//! than all.

use matrix_knock::event::Membership;
use matrix_knock::visibility::HistoryVisibility;

use super::{one, run};

#[path = "../visibility/table.rs"]
mod table;

use table::{Cell, Table, cells};

/// The line of a cell; `null` stands for what is left out if `with_null` says so.
fn line(cell: Cell, with_null: bool) -> String {
    let member = |name: &str, value: Option<&str>| match value {
        Some(value) => format!(r#","{name}":"{value}""#),
        None if with_null => format!(r#","{name}":null"#),
        None => String::new(),
    };
    format!(
        r#"{{"id":1,"visibility":"{}"{},"membership":"{}"{},"joined_later":{}}}"#,
        cell.visibility,
        member("visibility_after", cell.visibility_after.map(HistoryVisibility::as_str)),
        cell.membership,
        member("membership_after", cell.membership_after.map(Membership::as_str)),
        cell.joined_later
    )
}

#[test]
fn every_cell() {
    let table = Table::read();
    for with_null in [false, true] {
        let lines: Vec<String> = cells().into_iter().map(|cell| line(cell, with_null)).collect();
        let bytes: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        let (answers, all_read) = run("visible", &bytes);
        assert_eq!((answers.len(), all_read), (1200, true));
        for ((cell, line), answer) in cells().into_iter().zip(&lines).zip(&answers) {
            assert_eq!(*answer, format!(r#"{{"id":1,"visible":{}}}"#, table.rule(cell) != 5), "{line}");
        }
    }
}

#[test]
fn what_is_not_understood() {
    let of = |visibility: &str, membership: &str| {
        one(
            "visible",
            &format!(r#"{{"id":2,"visibility":{visibility},"membership":{membership},"joined_later":true}}"#),
        )
    };
    let answer = |visible: bool| (format!(r#"{{"id":2,"visible":{visible}}}"#), true);
    // None is set, or it is malformed: `shared`.
    for visibility in ["null", "\"x\"", "1", "[\"joined\"]", r#"{"history_visibility":"joined"}"#, "\"\\u0073hared\""] {
        assert_eq!(of(visibility, "\"knock\""), answer(true), "{visibility}");
    }
    assert_eq!(of("\"j\\u006fined\"", "\"knock\""), answer(false));
    // No member event.
    assert_eq!(of("\"joined\"", "null"), answer(false));
    assert_eq!(of("null", "null"), answer(true));
    let malformed_after = r#"{"visibility":"joined","visibility_after":7,"membership":"leave","joined_later":true}"#;
    assert_eq!(one("visible", malformed_after), (r#"{"id":null,"visible":true}"#.to_owned(), true));

    let good = r#"{"id":3,"visibility":"joined","membership":"join","joined_later":false}"#;
    assert_eq!(one("visible", good), (r#"{"id":3,"visible":true}"#.to_owned(), true));
    for (name, value, error) in [
        ("\"visibility\":\"joined\",", "", "missing `visibility`"),
        ("\"membership\":\"join\",", "", "missing `membership`"),
        (",\"joined_later\":false", "", "missing `joined_later`"),
        ("\"join\"", "\"x\"", "`membership`: unknown variant `x`, "),
        ("\"join\"", "\"join\",\"membership_after\":1", "`membership_after`: expected value at line 1 column 1"),
        ("false", "0", "`joined_later`: invalid type: integer `0`, expected a boolean"),
        ("false", "null", "`joined_later`: invalid type: null, expected a boolean"),
    ] {
        let (answer, all_read) = one("visible", &good.replace(name, value));
        let start = format!(r#"{{"id":3,"error":"{error}"#);
        assert!(answer.starts_with(&start) && !all_read, "{answer}");
    }
}
