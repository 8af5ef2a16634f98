//! The house rules that a machine can check: who may import whom, file lengths, invariants, rule pages, wording.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// No file of code is longer.
const LINES_MAX: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path.as_ref()))
        .unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// Files that git tracks.
fn tracked() -> Vec<String> {
    let output =
        Command::new("git").args(["ls-files"]).current_dir(root()).output().expect("git lists files");
    assert!(output.status.success(), "git ls-files failed");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The crates of ours that a manifest depends on, for use and not only for tests.
fn own_dependencies(manifest: &str) -> BTreeSet<String> {
    dependencies(manifest)
        .into_iter()
        .filter_map(|name| name.strip_prefix("ambit-").map(str::to_owned))
        .collect()
}

fn dependencies(manifest: &str) -> BTreeSet<String> {
    let table: toml::Table = toml::from_str(&read(manifest)).unwrap();
    let Some(toml::Value::Table(dependencies)) = table.get("dependencies") else { return BTreeSet::new() };
    dependencies.keys().cloned().collect()
}

/// Who may import whom.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("schemas", &[][..]),
        ("ledger", &[]),
        ("store", &["schemas", "ledger"]),
        ("bus", &["schemas"]),
        ("ingest", &["schemas", "ledger", "store", "bus"]),
        ("analytics", &["schemas"]),
        ("enforcement", &["schemas", "bus"]),
        ("query-api", &["schemas", "ledger", "store"]),
    ])
}

#[test]
fn crates_import_only_whom_they_may() {
    for (name, may) in allowed() {
        for other in own_dependencies(&format!("{name}/Cargo.toml")) {
            assert!(may.contains(&other.as_str()), "{name} must not import {other}: see ARCHITECTURE.md");
        }
    }
}

#[test]
fn each_heavy_library_has_one_owner() {
    let owners: [(&str, &[&str]); 10] = [
        ("rdkafka", &["bus"]),
        ("deltalake", &["store"]),
        ("datafusion", &["query-api"]),
        ("tantivy", &["query-api"]),
        ("tlog_tiles", &["ledger"]),
        ("signed_note", &["ledger"]),
        ("rusqlite", &["enforcement"]),
        ("reqwest", &["enforcement"]),
        ("axum", &["query-api", "."]),
        ("parquet", &["store", "query-api"]),
    ];
    let crates: Vec<&str> = allowed().into_keys().chain(["."]).collect();
    for (library, may) in owners {
        for name in &crates {
            let uses = dependencies(&format!("{name}/Cargo.toml")).contains(library);
            assert!(!uses || may.contains(name), "{name} must not link {library}: it belongs to {may:?}");
        }
    }
}

#[test]
fn judgement_links_no_io() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", "ambit-analytics", "-e", "normal", "--prefix", "none", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo lists dependencies");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("ambit-schemas"), "{tree}");
    for library in ["arrow", "tokio", "rdkafka", "axum", "object_store"] {
        let linked = tree.lines().any(|line| line.split(' ').next() == Some(library));
        assert!(!linked, "ambit-analytics links {library}");
    }
}

fn is_code(path: &str) -> bool {
    let ending = Path::new(path).extension().and_then(|ending| ending.to_str());
    matches!(ending, Some("rs" | "ts" | "tsx" | "css" | "sh"))
}

#[test]
fn no_file_is_too_long() {
    for path in tracked().iter().filter(|path| is_code(path)) {
        let lines = read(path).lines().count();
        assert!(lines <= LINES_MAX, "{path} has {lines} lines, more than {LINES_MAX}: split it by idea");
    }
}

/// `A-1`, `Q-3`: as the architecture names them.
fn invariant_ids(text: &str, before: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for (at, _) in text.match_indices(before) {
        let id: String = text[at + before.len()..]
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        if id.len() >= 3 && id.as_bytes()[1] == b'-' {
            ids.insert(id);
        }
    }
    ids
}

#[test]
fn invariants_that_code_cites_are_defined() {
    let defined = invariant_ids(&read("ARCHITECTURE.md"), "- **");
    assert!(defined.len() >= 15, "ARCHITECTURE.md defines {defined:?}");
    let mut cited = BTreeSet::new();
    for path in tracked().iter().filter(|path| is_code(path)) {
        for id in invariant_ids(&read(path), "INVARIANT ") {
            assert!(defined.contains(&id), "{path} cites {id}, which ARCHITECTURE.md does not define");
            cited.insert(id);
        }
    }
    for id in ["L-1", "L-2", "L-3", "A-1", "A-3", "A-4", "E-1", "E-2", "E-3", "Q-2", "S-1", "S-2", "P-1"] {
        assert!(cited.contains(id), "no code cites {id}");
    }
}

#[test]
fn every_rule_has_a_page() {
    for rule in ambit_analytics::rules::ALL {
        let page = read(format!("docs/rules/{}.md", rule.id));
        assert!(page.starts_with(&format!("# {}", rule.id)), "docs/rules/{}.md has another heading", rule.id);
    }
}

#[test]
fn every_fault_has_its_test_and_every_such_test_its_fault() {
    let page = read("docs/faults.md");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #"));
    let named: BTreeSet<String> = rows
        .filter_map(|row| row.split('|').nth(4))
        .flat_map(|tests| tests.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert!(named.len() > 30, "docs/faults.md names {named:?}");
    let paths = tracked().into_iter().filter(|path| is_code(path));
    let code: String = paths.map(read).collect();
    for test in &named {
        assert!(code.contains(&format!("fn {test}(")), "docs/faults.md names `{test}`, which is not there");
    }
    for test in
        code.split("fn faults_").skip(1).filter_map(|rest| rest.split_once("() {")).map(|(name, _)| name)
    {
        let is_name = test.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        assert!(
            !is_name || named.contains(&format!("faults_{test}")),
            "docs/faults.md lacks `faults_{test}`"
        );
    }
}

#[test]
fn folders_stand_in_the_architecture() {
    let map = read("ARCHITECTURE.md");
    let folders: BTreeSet<String> = tracked()
        .iter()
        .filter_map(|path| path.split_once('/').map(|(folder, _)| folder.to_owned()))
        .filter(|folder| !folder.starts_with('.'))
        .collect();
    for folder in folders {
        assert!(map.contains(&format!("`{folder}/`")), "ARCHITECTURE.md does not say what {folder}/ is");
    }
}

#[test]
fn nothing_is_left_for_later_in_code() {
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("unimplemented", "!("), concat!("#[ign", "ore")];
    for path in tracked().iter().filter(|path| is_code(path)) {
        let text = read(path);
        for mark in marks {
            assert!(!text.contains(mark), "{path} contains {mark}");
        }
    }
}
