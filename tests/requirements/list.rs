//! That the list is one: its rows are numbered one after the other, each cites its section, and each has tests that exist or a
//! reason why there are none.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const LIST: &str = include_str!("../requirements.md");

/// A row: its number, how binding it is, the section, what is required, and what shows it.
#[derive(Debug, Clone, Copy)]
struct Row<'l> {
    number: &'l str,
    level: &'l str,
    section: &'l str,
    requirement: &'l str,
    shown: &'l str,
}

/// Every line of every table but the heads. One that has not five cells is no row, and so the numbers have a hole.
fn rows(list: &str) -> Vec<Row<'_>> {
    let lines =
        list.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| No") && !line.starts_with("| ---"));
    lines
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let [number, level, section, requirement, shown] = cells[..] else { return None };
            Some(Row { number, level, section, requirement, shown })
        })
        .collect()
}

/// The tests that a row names: `file::name` between backticks.
fn tests<'l>(row: &Row<'l>) -> Vec<(&'l str, &'l str)> {
    row.shown.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once(".rs::")).collect()
}

/// Why a row has no test.
const REASONS: [&str; 5] = ["Host: ", "Client: ", "Policy server: ", "Scope: ", "Gap: "];

fn reason<'l>(row: &Row<'l>) -> Option<&'l str> {
    let reason = REASONS.iter().find_map(|start| row.shown.split_once(start)).map(|(_, reason)| reason);
    reason.filter(|reason| reason.len() > 10)
}

/// Whether the file has a test of this name: a line `fn name() {` behind `#[test]`.
fn has_test(source: &str, name: &str) -> bool {
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        let declares = line.strip_prefix("fn ").and_then(|rest| rest.strip_prefix(name));
        if is_test && declares.is_some_and(|rest| rest.starts_with('(')) {
            return true;
        }
        // Attributes and comments may stand between.
        is_test = line == "#[test]" || (is_test && (line.starts_with('#') || line.starts_with("//")));
    }
    false
}

#[test]
fn every_row_has_a_test_that_exists_or_a_reason() {
    let rows = rows(LIST);
    let (mut with_tests, mut with_reasons, mut named) = (0, 0, BTreeSet::new());
    for row in &rows {
        let (tests, reason) = (tests(row), reason(row));
        assert_eq!(tests.len(), row.shown.matches(".rs::").count(), "{row:?}: what it names is no test");
        assert!(!tests.is_empty() || reason.is_some(), "{row:?}: neither a test nor a reason");
        with_tests += usize::from(!tests.is_empty());
        with_reasons += usize::from(reason.is_some());
        for (file, name) in tests {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{file}.rs"));
            let source = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{row:?}: {error}"));
            assert!(has_test(&source, name), "{row:?}: `{file}.rs` has no test `{name}`");
            named.insert((file, name));
        }
    }
    assert_eq!((rows.len(), with_tests, with_reasons, named.len()), (COUNT.0, COUNT.1, COUNT.2, COUNT.3));
}

/// Rows, those with tests, those with reasons, and different tests.
const COUNT: (usize, usize, usize, usize) = (266, 241, 44, 123);

#[test]
fn the_rows_are_numbered_and_cite_their_sections() {
    let rows = rows(LIST);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.number, (index + 1).to_string(), "{row:?}");
        assert!(["must", "should", "table"].contains(&row.level), "{row:?}");
        let link = row.section.split_once("](").and_then(|(_, link)| link.strip_suffix(')'));
        let page = link.and_then(|link| link.strip_prefix("https://spec.matrix.org/v1.19/"));
        let anchor = page.and_then(|page| page.split_once("/#")).map(|(_, anchor)| anchor);
        assert!(anchor.is_some_and(|anchor| !anchor.is_empty()), "{row:?}");
        assert!(row.requirement.ends_with('.') && row.requirement.len() > 10, "{row:?}");
    }
    let sections: BTreeSet<&str> = rows.iter().map(|row| row.section).collect();
    let levels = ["must", "should", "table"].map(|level| rows.iter().filter(|row| row.level == level).count());
    assert_eq!((sections.len(), levels), (SECTIONS, LEVELS));
}

/// How many sections are cited.
const SECTIONS: usize = 66;
/// How many rows there are of each level.
const LEVELS: [usize; 3] = [108, 65, 93];

#[test]
fn a_list_with_a_mistake_is_found_out() {
    let source = "#[test]\n/// Why.\n#[ignore]\nfn good() {}\nfn helper() {}\n#[test]\nfn goods() {}\n";
    let found = ["good", "goods", "goo", "helper", "missing"].map(|name| has_test(source, name));
    assert_eq!(found, [true, true, false, false, false]);
    let list = "| No | Level |\n| --- | --- |\n| 1 | must | [s](l) | A. | `a.rs::b` `a.rs::c` |\n| 2 | must | [s](l) | A. |\n\
                | 3 | must | [s](l) | A. | Host: short |\n| 4 | must | [s](l) | A. | Host: long enough |\n";
    let rows = rows(list);
    let read: Vec<_> = rows.iter().map(|row| (row.number, tests(row).len(), reason(row))).collect();
    assert_eq!(read, [("1", 2, None), ("3", 0, None), ("4", 0, Some("long enough"))]);
}
