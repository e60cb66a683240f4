//! The structure of the source: who may use whom, how long a file may be, which version of the specification is cited.
#![expect(clippy::expect_used, clippy::panic, reason = "a source that cannot be read fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

/// The modules by floor: a module uses what stands lower, never the other way, and nothing beside it.
const FLOORS: [(u32, &[&str]); 6] = [
    (1, &["id", "room_version", "uri"]),
    (2, &["json"]),
    (3, &["error", "event"]),
    (4, &["client", "membership_change", "state"]),
    (5, &["auth", "stripped_state"]),
    (6, &["handshake", "pending", "sync"]),
];

fn floor(module: &str) -> u32 {
    let found = FLOORS.iter().find(|(_, modules)| modules.contains(&module));
    found.map(|(floor, _)| *floor).unwrap_or_else(|| panic!("`{module}` has no floor"))
}

/// All sources with the module that they belong to; `lib` for the face.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let inside = path.strip_prefix(&root).expect("a path below src").with_extension("");
            let module = inside.iter().next().and_then(|name| name.to_str()).expect("a name").to_owned();
            let text = fs::read_to_string(&path).expect("a source");
            found.push((module, path, text));
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

#[test]
fn nothing_looks_up_or_sideways() {
    let mut uses = 0;
    for (module, path, text) in sources() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for used in code.flat_map(|line| line.split("crate::").skip(1)) {
            let end = used.find(|character: char| !character.is_alphanumeric() && character != '_');
            let used = used.get(..end.unwrap_or(used.len())).unwrap_or_default();
            if module != used && module != "lib" {
                assert!(floor(used) < floor(&module), "{}: `{module}` uses `{used}`", path.display());
                uses += 1;
            }
        }
    }
    assert!(uses > 20, "the uses were not found");
}

#[test]
fn no_file_is_long() {
    for (_, path, text) in sources() {
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(lines <= 500, "{} has {lines} lines without its tests", path.display());
    }
}

#[test]
fn one_version_of_the_specification_is_cited() {
    let mut links = 0;
    for (_, path, text) in sources() {
        for link in text.split("https://spec.matrix.org/").skip(1) {
            assert!(link.starts_with("v1.19/"), "{}: {}", path.display(), link.lines().next().unwrap_or_default());
            links += 1;
        }
    }
    assert!(links > 20, "the links were not found");
}
