//! The structure of the source: who may use whom, how long a file may be, which version of the specification is cited.
#![expect(clippy::expect_used, clippy::panic, reason = "a source that cannot be read fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules by floor: a module uses what stands lower, never the other way, and nothing beside it.
const FLOORS: [(u32, &[&str]); 7] = [
    (1, &["id", "room_version", "unpadded_base64", "uri", "wire"]),
    (2, &["json"]),
    (3, &["error", "event"]),
    (4, &["client", "membership_change", "path", "state", "x_matrix"]),
    (5, &["auth", "policy", "stripped_state", "visibility"]),
    (6, &["machine", "pending", "receipt", "restricted_join", "sync", "template"]),
    (7, &["knocking", "raw_value", "resident", "summary"]),
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

/// The files of each folder with the files beside them that they use, as `super::name` or `crate::folder::name`.
fn uses_of_siblings() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let sources = sources();
    let mut folders: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (_, path, text) in &sources {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let inside = path.strip_prefix(&root).expect("a path below src").with_extension("");
        let names: Vec<&str> = inside.iter().filter_map(|name| name.to_str()).collect();
        let Some((file, folder)) = names.split_last().filter(|(_, folder)| !folder.is_empty()) else { continue };
        let whole = format!("crate::{}::", folder.join("::"));
        let code: String = text
            .lines()
            .take_while(|line| *line != "#[cfg(test)]")
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let mut used = BTreeSet::new();
        for prefix in ["super::", &whole] {
            for rest in code.split(prefix).skip(1) {
                let end = rest.find(|character: char| !character.is_alphanumeric() && character != '_');
                used.insert(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default().to_owned());
            }
        }
        folders.entry(folder.join("::")).or_default().insert((*file).to_owned(), used);
    }
    for files in folders.values_mut() {
        let names: BTreeSet<String> = files.keys().cloned().collect();
        files.iter_mut().for_each(|(file, used)| used.retain(|used| used != file && names.contains(used)));
    }
    folders
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let mut uses = 0;
    for (folder, mut files) in uses_of_siblings() {
        uses += files.values().map(BTreeSet::len).sum::<usize>();
        // Takes away what uses nothing that is left, until nothing is left.
        while !files.is_empty() {
            let free: Vec<String> =
                files.iter().filter(|(_, used)| used.is_empty()).map(|(file, _)| file.clone()).collect();
            assert!(!free.is_empty(), "a circle in `{folder}`: {files:?}");
            for file in free {
                files.remove(&file);
                files.values_mut().for_each(|used| used.retain(|used| *used != file));
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
