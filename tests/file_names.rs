//! Every file of the repository has a name that every system can check out: Windows reserves some
//! names, with any extension, and takes neither some characters nor a dot or blank at the end; its
//! file systems and those of macOS take `a` and `A` for one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Names of devices: "Naming Files, Paths, and Namespaces" of the Windows documentation.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Longer paths than 260 characters need an option there; this leaves 100 for the folder above.
const MAX_PATH: usize = 160;

/// What is wrong with one part of a path.
fn fault(name: &str) -> Option<&'static str> {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let port = ["com", "lpt"].iter().find_map(|kind| stem.strip_prefix(kind));
    let is_port = port.is_some_and(|n| {
        matches!(n, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
    });
    match name {
        _ if is_port || DEVICES.contains(&stem.as_str()) => Some("the name of a device"),
        _ if name.ends_with(['.', ' ']) => Some("a dot or a blank at the end"),
        _ if name.contains(['<', '>', ':', '"', '|', '?', '*', '\\']) => {
            Some("a reserved character")
        }
        _ if name.chars().any(char::is_control) => Some("a control character"),
        // The same letters are stored composed here and decomposed there.
        _ if !name.is_ascii() => Some("a character that is not ASCII"),
        _ => None,
    }
}

/// Calls `visit` with every file and folder below `folder`, but what a build leaves.
fn walk(root: &Path, folder: &Path, visit: &mut impl FnMut(&str, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().expect("a name in UTF-8").to_string();
        if folder == root && (name == ".git" || name.starts_with("target")) {
            continue;
        }
        if matches!(name.as_str(), "target" | "corpus" | "artifacts") && folder.ends_with("fuzz") {
            continue;
        }
        let relative = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        visit(&relative, &name);
        if path.is_dir() && !path.is_symlink() && name != "target" {
            walk(root, &path, visit);
        }
    }
}

#[test]
fn every_file_can_be_checked_out_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut by_folded: BTreeMap<String, String> = BTreeMap::new();
    let mut faults = Vec::new();
    walk(root, root, &mut |path, name| {
        faults.extend(fault(name).map(|fault| format!("{path}: {fault}")));
        if path.len() > MAX_PATH {
            faults.push(format!("{path}: {} characters", path.len()));
        }
        if let Some(other) = by_folded.insert(path.to_lowercase(), path.to_string()) {
            faults.push(format!("{path}: differs from {other} by case alone"));
        }
    });
    assert!(by_folded.len() > 100, "{} files", by_folded.len());
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn reserved_names_are_found() {
    for name in [
        "nul",
        "NUL",
        "nul.txt",
        "Con.tar.gz",
        "aux .c",
        "COM1",
        "lpt9.rs",
        "com0",
        "CONIN$",
        "a.",
        "a ",
        "a:b",
        "a?b",
        "a*",
        "<a",
        "a\"b",
        "a|b",
        "a\\b",
        "a\nb",
        "\u{e4}",
        "prn",
    ] {
        assert!(fault(name).is_some(), "{name:?}");
    }
    for name in
        ["null", "zero-byte", "console.rs", "com10", "com", "lpt", ".gitignore", "a b", "aux2"]
    {
        assert!(fault(name).is_none(), "{name:?}");
    }
}
