//! Rules about the code itself that no compiler checks.

use std::path::{Path, PathBuf};

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    walk(&root.join(folder), &mut found);
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}

/// The part of a file before its unit tests, without comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<&str>>().join("\n")
}

/// No file of `folder` outside `allowed` may contain any of the words.
#[track_caller]
fn absent(folder: &str, words: &[&str], allowed: &[&str]) {
    let mut places = Vec::new();
    for (path, text) in sources(folder) {
        let shown = path.to_string_lossy().into_owned();
        if allowed.iter().any(|part| shown.contains(part)) {
            continue;
        }
        places.extend(words.iter().filter(|word| code(&text).contains(**word)).map(|word| format!("{shown}: {word}")));
    }
    assert!(places.is_empty(), "{}", places.join("\n"));
}

#[test]
fn only_target_speaks_http() {
    // config and open only name types of the client: header names that can be sent, certificates that can be read.
    absent(
        "harness/src",
        &["reqwest::Client", ".send().await", "TcpStream", "TcpListener", "hyper::"],
        &["/target/", "/gather/"],
    );
}

#[test]
fn only_config_reads_the_environment() {
    absent("harness/src", &["env::var", "env::vars", "var_os"], &["/config.rs"]);
}

#[test]
fn only_main_exits() {
    absent("harness/src", &["process::exit", "ExitCode::from"], &["/main.rs", "/exit.rs"]);
    absent("reference-server/src", &["process::exit"], &[]);
}

#[test]
fn the_runner_and_the_checks_print_nothing() {
    for folder in ["harness/src/runner", "harness/src/checks", "harness/src/gather", "harness/src/target"] {
        absent(folder, &["println!", "print!", "stdout()", "stderr()"], &[]);
    }
}

#[test]
fn judging_is_pure() {
    for file in ["harness/src/verdict.rs", "harness/src/checks/judge.rs"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let text = code(&std::fs::read_to_string(path).unwrap());
        for word in ["async", "tokio", "Instant", "SystemTime", "rand::", "std::fs"] {
            assert!(!text.contains(word), "{file}: {word}");
        }
    }
    absent("harness/src/catalogue", &["async", "tokio", "Instant", "SystemTime", "rand::", "std::fs"], &[]);
    absent(
        "harness/src/audit",
        &["async", "tokio", "Instant::now", "SystemTime", "rand::", "std::fs", "std::env"],
        &[],
    );
}

/// Whether the word stands in the text, and not as the end of a longer one.
fn has_word(text: &str, word: &str) -> bool {
    let within = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(within))
}

/// A file whose heading ends with the word `Pure.` reads no file, no clock and no environment, and starts nothing.
#[test]
fn what_calls_itself_pure_is() {
    const IMPURE: [&str; 16] = [
        "std::fs",
        "fs::",
        "std::io",
        "io::",
        "File::",
        "OpenOptions",
        "std::net",
        "thread::",
        "mpsc",
        "Instant::now",
        "SystemTime",
        "rand::",
        "tokio",
        "async",
        "env::",
        "super::source",
    ];
    let is_headed_pure = |text: &str| {
        let heading = text.lines().map_while(|line| line.strip_prefix("//!"));
        heading.take_while(|line| !line.trim().is_empty()).any(|line| line.trim_end().ends_with("Pure."))
    };
    let mut pure = Vec::new();
    let mut places = Vec::new();
    for (path, text) in sources("harness/src") {
        let shown = path.to_string_lossy().into_owned();
        if is_headed_pure(&text) || shown.contains("harness/src/audit/") {
            let code = code(&text);
            places.extend(IMPURE.iter().filter(|word| has_word(&code, word)).map(|word| format!("{shown}: {word}")));
            pure.push(shown);
        }
    }
    assert!(places.is_empty(), "{}", places.join("\n"));
    // What decides a verdict on a history has to say so of itself.
    for name in ["answer", "clock", "domain", "lone", "outage", "overlap", "quota", "renders"] {
        let file = format!("harness/src/histories/{name}.rs");
        assert!(pure.iter().any(|known| known.ends_with(&file)), "{file} does not call itself pure");
    }
}

#[test]
fn the_servers_rules_are_pure() {
    for api in ["rndrkit", "craftkit"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../reference-server/src/{api}/rules.rs"));
        let text = code(&std::fs::read_to_string(path).unwrap());
        for word in ["async", ".await", "tokio", "Instant", "SystemTime", "rand::", "std::fs", "rusqlite"] {
            assert!(!text.contains(word), "{api}/rules.rs: {word}");
        }
    }
}

#[test]
fn goose_is_known_in_one_place() {
    absent("scenarios/src", &["goose::", "use goose", "GooseAttack", "GooseUser"], &["/attack.rs"]);
    absent("harness/src", &["goose::", "use goose"], &[]);
}

#[test]
fn the_server_knows_nothing_of_the_other_members() {
    absent("reference-server/src", &["hookproof::", "scenarios::", "snapshots::"], &[]);
    absent("harness/src/checks", &["reference_server"], &[]);
    absent("harness/src/catalogue", &["reference_server"], &[]);
    absent("harness/src/target", &["reference_server"], &[]);
}

#[test]
fn no_source_file_is_longer_than_a_reader_can_hold() {
    const LINES_MAX: usize = 600;
    for folder in ["harness/src", "reference-server/src", "scenarios/src", "snapshots/src"] {
        for (path, text) in sources(folder) {
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{}: {lines} lines", path.display());
        }
    }
}

/// The file map of the README names each source file of the harness and no file that is gone.
#[test]
fn the_code_map_of_the_readme_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let map =
        readme.split("## Code map").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("a section `Code map`");
    let named: Vec<&str> = map.split('`').skip(1).step_by(2).filter(|name| name.contains('/')).collect();
    assert!(named.len() > 10, "the code map names {} places", named.len());
    for name in named {
        assert!(root.join(name).exists(), "the code map names `{name}`, which is gone");
    }
    for entry in std::fs::read_dir(root.join("harness/src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(map.contains(&format!("harness/src/{name}")), "the code map lacks harness/src/{name}");
    }
}
