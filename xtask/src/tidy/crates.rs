//! Rules for crates as a whole: what stands in their folders, what they depend on, and how the
//! project's README leads to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::workspace::{crates, file_name, metadata, root};

/// What a library may need of the others, in its ordinary use. Any may also have `ipc-testing` behind
/// its feature `testing`. A user of one kernel mechanism must not build rings.
const LAYERS: &[(&str, &[&str])] = &[
    ("ipc-core", &[]),
    ("ipc-mq", &["ipc-core"]),
    ("ipc-pipe", &["ipc-core"]),
    ("ipc-ring", &["ipc-core", "ipc-shm", "ipc-socket"]),
    ("ipc-shm", &["ipc-core", "ipc-socket"]),
    ("ipc-signal", &["ipc-core"]),
    ("ipc-socket", &["ipc-core"]),
    ("ipc-testing", &["ipc-core"]),
];

#[test]
fn every_crate_is_complete() {
    let complaints: Vec<_> =
        crates().expect("crates/").iter().flat_map(|folder| is_complete(folder)).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn the_readme_leads_to_every_crate() {
    let readme = read(&root().join("README.md"));
    for folder in crates().expect("crates/") {
        let link = format!("crates/{}", file_name(&folder));
        assert!(readme.contains(&link), "README.md has no link to {link}");
    }
}

/// `cargo run --example NAME` at the root of the workspace takes any crate's.
#[test]
fn no_two_examples_have_one_name() {
    let mut owners = BTreeMap::new();
    for folder in crates().expect("crates/") {
        for example in examples(&folder) {
            if let Some(other) = owners.insert(example.clone(), file_name(&folder)) {
                panic!("{other} and {} both have an example {example}", file_name(&folder));
            }
        }
    }
}

#[test]
fn libraries_depend_on_each_other_as_architecture_says() {
    let metadata = metadata().expect("cargo metadata");
    for package in libraries(&metadata) {
        let name = package["name"].as_str().expect("a name");
        let (_, allowed) = LAYERS
            .iter()
            .find(|(library, _)| *library == name)
            .unwrap_or_else(|| panic!("{name} has no line in LAYERS yet"));
        for dependency in ordinary_dependencies(package) {
            let fits = allowed.contains(&dependency) || !dependency.starts_with("ipc-");
            assert!(fits, "{name} must not depend on {dependency}; it may on {allowed:?}");
        }
    }
}

#[test]
fn dependencies_need_no_newer_rust_than_the_libraries_promise() {
    let metadata = metadata().expect("cargo metadata");
    let mut complaints = BTreeSet::new();
    for library in libraries(&metadata) {
        complaints.extend(newer_than_promised(&metadata, library));
    }
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// What a crate's folder lacks of what its users look for.
fn is_complete(folder: &Path) -> Vec<String> {
    let name = file_name(folder);
    let mut complaints = Vec::new();
    let mut need = |holds: bool, what: &str| {
        if !holds {
            complaints.push(format!("{name}: {what}"));
        }
    };
    let manifest = read(&folder.join("Cargo.toml"));
    need(manifest.contains("\ndescription = \""), "no description in Cargo.toml");
    need(manifest.contains("\n[lints]\nworkspace = true"), "does not take the workspace's lints");
    need(
        read(&folder.join("CHANGELOG.md")).contains("Unreleased"),
        "no Unreleased in CHANGELOG.md",
    );
    let readme = read(&folder.join("README.md"));
    need(readme.lines().filter(|line| !line.is_empty()).count() >= 10, "README.md says too little");
    let examples = examples(folder);
    need(examples.len() >= 2, "has fewer than two examples");
    for example in examples {
        let command = format!("--example {example}");
        need(readme.contains(&command), &format!("README.md does not say `{command}`"));
    }
    complaints
}

/// The names of a crate's examples.
fn examples(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("examples")).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.join("main.rs").is_file() || path.extension().is_some_and(|it| it == "rs")
        })
        .map(|path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The text of a file; nothing if there is none.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The packages of the workspace that users depend on.
fn libraries(metadata: &Value) -> impl Iterator<Item = &Value> {
    let folder = root().join("crates");
    array(&metadata["packages"]).filter(move |package| {
        package["manifest_path"].as_str().is_some_and(|path| Path::new(path).starts_with(&folder))
    })
}

/// What a package needs in its ordinary use: not for tests, builds or features that one asks for.
fn ordinary_dependencies(package: &Value) -> impl Iterator<Item = &str> {
    array(&package["dependencies"])
        .filter(|dependency| dependency["kind"].is_null() && dependency["optional"] == false)
        .filter_map(|dependency| dependency["name"].as_str())
}

/// The packages that are compiled for a library, with all its features, and that state a newer Rust
/// than it does.
fn newer_than_promised(metadata: &Value, library: &Value) -> Vec<String> {
    let nodes: BTreeMap<_, _> =
        array(&metadata["resolve"]["nodes"]).map(|node| (node["id"].as_str(), node)).collect();
    let packages: BTreeMap<_, _> =
        array(&metadata["packages"]).map(|package| (package["id"].as_str(), package)).collect();
    let promised = rust_version(library);
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = vec![library["id"].as_str()];
    while let Some(id) = next.pop() {
        if !seen.insert(id) {
            continue;
        }
        let package = packages[&id];
        if rust_version(package) > promised {
            complaints.push(format!(
                "{} {} needs Rust {}, which is newer than {} promises",
                package["name"], package["version"], package["rust_version"], library["name"]
            ));
        }
        for dependency in array(&nodes[&id]["deps"]) {
            if array(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev") {
                next.push(dependency["pkg"].as_str());
            }
        }
    }
    complaints
}

/// The Rust that a package states, as numbers: 1.85 is `[1, 85]`. Less than any if it states none.
fn rust_version(package: &Value) -> Vec<u32> {
    let version = package["rust_version"].as_str().unwrap_or_default();
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// The rules see what is wrong.
mod bad_input {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_empty_crate_is_incomplete() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(is_complete(folder.path()).len(), 5);
    }

    #[test]
    fn an_example_that_the_readme_does_not_name_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("examples")).expect("a folder");
        fs::write(folder.path().join("examples/pipe_producer.rs"), "").expect("a file");
        let complaints = is_complete(folder.path()).join("\n");
        assert!(complaints.contains("--example pipe_producer"), "{complaints}");
    }

    #[test]
    fn a_dependency_that_needs_a_newer_rust_is_found_through_others() {
        let package = |id: &str, rust: &str| json!({"id": id, "name": id, "version": "1.0.0", "rust_version": rust});
        let needs = |id: &str, kind: Value| json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        let metadata = json!({
            "packages": [package("a", "1.85"), package("b", "1.9"), package("c", "1.86.1"), package("d", "2.0")],
            "resolve": {"nodes": [
                {"id": "a", "deps": [needs("b", Value::Null), needs("d", json!("dev"))]},
                {"id": "b", "deps": [needs("c", json!("build"))]},
                {"id": "c", "deps": []},
                {"id": "d", "deps": []},
            ]},
        });
        let complaints = newer_than_promised(&metadata, &metadata["packages"][0]);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains("\"c\""), "{complaints:?}");
    }

    #[test]
    fn only_ordinary_dependencies_count_for_the_layers() {
        let package = json!({"dependencies": [
            {"name": "ipc-core", "kind": null, "optional": false},
            {"name": "ipc-testing", "kind": null, "optional": true},
            {"name": "proptest", "kind": "dev", "optional": false},
        ]});
        assert_eq!(ordinary_dependencies(&package).collect::<Vec<_>>(), ["ipc-core"]);
    }
}
