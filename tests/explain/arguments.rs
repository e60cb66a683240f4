//! Arguments and files: what is wrong with them, and the exit status that says so.

use std::fs::{self, File};
use std::path::PathBuf;

use super::{ROOM, explain, explained, failed};

const USER: &str = "@kay:b.evil.example";

#[test]
fn misused() {
    for (arguments, error) in [
        (&[][..], "`explain` needs `--user @name:server`"),
        (&["state.json"], "`explain` needs `--user @name:server`"),
        (&["--user"], "`--user` needs a value"),
        (&["--user", USER, "--server"], "`--server` needs a value"),
        (&["--user", USER, "--room-version"], "`--room-version` needs a value"),
        (&["--user", USER, "--user=@a:b"], "`--user` is given twice"),
        (&["--user", USER, "a", "b"], "`explain` takes one file"),
        (&["--user", USER, "--color=always"], "`explain` has no option `--color`"),
        (&["-u", USER], "`explain` has no option `-u`"),
        (&["--user", USER, "--\u{1B}[31m"], r"`explain` has no option `--\u{1b}[31m`"),
        (&["--user", "kay"], "the user ID does not begin with `@`"),
        (&["--user", "@kay"], "the user ID has no domain"),
        (&["--user="], "the user ID does not begin with `@`"),
        (&["--user", USER, "--server", "b example"], "the server has a malformed server name"),
        (&["--user", USER, "--room-version", "13"], "unknown room version `13`"),
    ] {
        let error = format!("{error}; `knock --help` lists the commands");
        assert_eq!(explain(arguments, ROOM.as_bytes()), failed(2, &error), "{arguments:?}");
    }
}

/// A folder for the files of one test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("explain_{name}"));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn files() {
    let folder = folder("files");
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    fs::write(path("state.json"), ROOM).expect("a file");
    let expected = explained(USER, ROOM);
    for arguments in [&["--user", USER, &path("state.json")][..], &[&path("state.json"), "--user", USER]] {
        let ended = explain(arguments, b"");
        assert_eq!((ended.status, &*ended.output, &*ended.errors), (Some(0), &*expected, ""));
    }
    assert_eq!(explain(&["-", "--user", USER], ROOM.as_bytes()).output, expected);

    let missing = path("missing.json");
    let error = format!("{missing}: No such file or directory (os error 2)");
    assert_eq!(explain(&["--user", USER, &missing], b""), failed(1, &error));
    let error = explain(&["--user", USER, folder.to_str().expect("UTF-8")], b"");
    assert_eq!((error.status, &*error.output), (Some(1), ""));
    assert!(error.errors.contains("explain_files: Is a directory"), "{}", error.errors);
    // 8 GiB with nothing in them.
    let file = File::create(path("large.json")).expect("a file");
    file.set_len(8 << 30).expect("a sparse file");
    let large = explain(&["--user", USER, &path("large.json")], b"");
    assert_eq!(large, failed(1, "the input has more than 1073741824 bytes"));
    fs::remove_dir_all(folder).expect("the files go");
}
