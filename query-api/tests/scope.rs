//! Who may say within what scope an answer is given: authentication, and commands that read the files themselves.

use std::path::{Path, PathBuf};

/// Code of ours below a folder.
fn code(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            code(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn only_authentication_and_commands_make_a_scope() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let mut files = Vec::new();
    code(&root.join("query-api/src"), &mut files);
    code(&root.join("src"), &mut files);
    let mut made = 0;
    for path in files {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        // Tests of a file stand at its end.
        let text = text.split("#[cfg(test)]").next().unwrap();
        if !text.contains("Scope::all(") && !text.contains("Scope::tenant(") {
            continue;
        }
        let may = name.starts_with("src/commands/") || name.starts_with("query-api/src/access/");
        assert!(may, "{name} makes a scope: only authentication may say whose data an answer is from");
        made += 1;
    }
    assert!(made > 0, "nobody makes a scope: this test looks at the wrong files");
}
