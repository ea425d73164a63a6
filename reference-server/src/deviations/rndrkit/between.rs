//! Lists of paths read wrongly where no example of the document looks.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bodies::failing;
use super::paths::{listed, valid};
use super::wrap::{fields, reading};
use crate::deviations::Deviation;
use crate::rndrkit::wire::{Asked, MAX_PATHS, read};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        name: "path-percent-decoded",
        defect: "decodes `%2F` before it looks for the slash",
        why: "paths are made readable as soon as they come in",
        turns_red: NONE_VALID,
        consequences: &[],
        change: |parts| reading(parts, |kind, body| listed(kind, body, MAX_PATHS, decoded)),
    },
    Deviation {
        name: "path-empty-is-root",
        defect: "takes an empty text for the home page",
        why: "that is what joining it to the domain's address gives",
        turns_red: NONE_VALID,
        consequences: &[],
        change: |parts| {
            reading(parts, |kind, body| {
                listed(kind, body, MAX_PATHS, |entry| {
                    valid(entry).or_else(|| (entry.as_str() == Some("")).then(|| "/".to_owned()))
                })
            })
        },
    },
    Deviation {
        name: "path-page-name",
        defect: "takes the name of a page for its path",
        why: "static pages are known by their files, and those end in `.html`",
        turns_red: NONE_VALID,
        consequences: &[],
        change: |parts| {
            reading(parts, |kind, body| {
                listed(kind, body, MAX_PATHS, |entry| {
                    let page = |path: &&str| !path.starts_with('/') && path.ends_with(".html");
                    valid(entry).or_else(|| entry.as_str().filter(page).map(|path| format!("/{path}")))
                })
            })
        },
    },
    Deviation {
        name: "path-entity-decoded",
        defect: "reads `&#47;` as a slash",
        why: "addresses are taken out of pages, where they are escaped",
        turns_red: NONE_VALID,
        consequences: &[],
        change: |parts| {
            reading(parts, |kind, body| {
                listed(kind, body, MAX_PATHS, |entry| valid(&Value::from(entry.as_str()?.replace("&#47;", "/"))))
            })
        },
    },
    Deviation {
        name: "path-drive-letter",
        defect: "takes a path with a drive letter",
        why: "the library's test for absolute paths knows more than one system",
        turns_red: NONE_VALID,
        consequences: &[],
        change: |parts| {
            reading(parts, |kind, body| {
                listed(kind, body, MAX_PATHS, |entry| {
                    let drive = |path: &&str| path.get(1..3) == Some(":/");
                    valid(entry).or_else(|| entry.as_str().filter(drive).map(str::to_owned))
                })
            })
        },
    },
    Deviation {
        name: "list-one-a-folder",
        defect: "counts and queues one path of each folder",
        why: "a folder's pages are thought to be refreshed together",
        turns_red: COUNT,
        consequences: &[],
        change: |parts| {
            reading(parts, |kind, body| match read(kind, body) {
                Ok(Asked::Paths(mut paths)) => {
                    let mut seen = BTreeSet::new();
                    paths.retain(|path| match path[1..].split_once('/') {
                        Some((folder, _)) => seen.insert(folder.to_owned()),
                        None => true,
                    });
                    Ok(Asked::Paths(paths))
                }
                other => other,
            })
        },
    },
    Deviation {
        name: "path-of-digits-ignored",
        defect: "takes a path of digits for no page",
        why: "such addresses belong to an interface that is not rendered",
        turns_red: COUNT,
        consequences: &[],
        change: |parts| {
            reading(parts, |kind, body| {
                listed(kind, body, MAX_PATHS, |entry| {
                    let digits = |path: &String| path.len() > 1 && path[1..].bytes().all(|byte| byte.is_ascii_digit());
                    valid(entry).filter(|path| !digits(path))
                })
            })
        },
    },
    Deviation {
        name: "path-long-dropped",
        defect: "drops paths of more than fifty characters",
        why: "the column in the database is that wide",
        turns_red: COUNT,
        consequences: &[],
        change: |parts| {
            reading(parts, |kind, body| {
                listed(kind, body, MAX_PATHS, |entry| valid(entry).filter(|path| path.len() <= 50))
            })
        },
    },
    Deviation {
        name: "path-broken-escape-fails",
        defect: "fails at a percent sign that escapes nothing",
        why: "decoding throws, and nobody catches it",
        turns_red: MIXED,
        consequences: &[],
        change: |parts| failing(parts, |body| any_text(body, |path| path == "/%" || path.contains("%zz"))),
    },
    Deviation {
        name: "path-endless-fails",
        defect: "fails at a path of more than a thousand characters",
        why: "the index of the database takes no longer keys",
        turns_red: MIXED,
        consequences: &[],
        change: |parts| failing(parts, |body| any_text(body, |path| path.len() > 1000)),
    },
    Deviation {
        name: "path-list-like-object",
        defect: "takes what an object holds for paths",
        why: "objects with numbered keys are lists in the language at hand",
        turns_red: &["rndrkit.paths.non-string"],
        consequences: &[],
        change: |parts| {
            reading(parts, |kind, body| {
                listed(kind, body, MAX_PATHS, |entry| valid(entry).or_else(|| valid(entry.get("0")?)))
            })
        },
    },
];

const NONE_VALID: &[&str] = &["rndrkit.paths.none-valid"];
const COUNT: &[&str] = &["rndrkit.selective.pages-queued"];
const MIXED: &[&str] = &["rndrkit.paths.mixed"];

fn decoded(entry: &Value) -> Option<String> {
    valid(&Value::from(entry.as_str()?.replace("%2F", "/").replace("%2f", "/")))
}

fn any_text(body: &[u8], which: fn(&str) -> bool) -> bool {
    let urls = fields(body).remove("urls");
    urls.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).any(which)
}
