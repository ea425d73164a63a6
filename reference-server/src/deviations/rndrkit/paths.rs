//! Paths judged wrongly: which are valid, how many are taken.

use serde_json::Value;

use super::bodies::failing;
use super::wrap::{deciding, fields, reading};
use crate::deviations::Deviation;
use crate::rndrkit::wire::{Asked, MAX_PATHS, Refusal, read};
use crate::store::records::Write;

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    SLASH_ADDED,
    WHOLE_ADDRESS,
    RELATIVE,
    QUERY_ONLY,
    OTHER_SLASH,
    BACKSLASH,
    TRIMMED,
    ONE_REFUSES_ALL,
    INVALID_COUNTED,
    NON_STRING_FAILS,
    NON_STRING_COUNTED,
    NESTED_FLATTENED,
    ROOT_REFUSED,
    ROOT_NOT_COUNTED,
    NINETEEN,
    TWENTY_REFUSED,
    NO_CUT,
    CUT_LATE,
    CUT_IN_WORDS,
];

const NONE_VALID: &[&str] = &["rndrkit.paths.none-valid"];
const MIXED: &[&str] = &["rndrkit.paths.mixed"];
const NON_STRING: &[&str] = &["rndrkit.paths.non-string"];
const ROOT: &[&str] = &["rndrkit.selective.root-path"];
const COUNT: &[&str] = &["rndrkit.selective.pages-queued"];
const OVER_TWENTY: &[&str] = &["rndrkit.selective.over-twenty"];

/// What an entry of the list is worth: a path, or nothing.
pub(super) type ReadPath = fn(&Value) -> Option<String>;

/// Reads a body like the reference, but for what is a path and how many are taken.
pub(super) fn listed(kind: Option<&[u8]>, body: &[u8], most: usize, path: ReadPath) -> Result<Asked, Refusal> {
    let asked = read(kind, body);
    let urls = fields(body).remove("urls");
    match (&asked, urls) {
        (Ok(Asked::Paths(_)) | Err(Refusal::NoValidPath), Some(Value::Array(urls))) => {
            let paths: Vec<String> = urls.iter().filter_map(path).take(most).collect();
            if paths.is_empty() { Err(Refusal::NoValidPath) } else { Ok(Asked::Paths(paths)) }
        }
        _ => asked,
    }
}

/// A valid path.
pub(super) fn valid(entry: &Value) -> Option<String> {
    entry.as_str().filter(|path| path.starts_with('/')).map(str::to_owned)
}

/// A valid path, or an entry that begins otherwise.
fn valid_or(entry: &Value, beginning: &str) -> Option<String> {
    valid(entry).or_else(|| entry.as_str().filter(|path| path.starts_with(beginning)).map(str::to_owned))
}

const SLASH_ADDED: Deviation = Deviation {
    name: "path-slash-added",
    defect: "puts a slash in front of a single path that has none",
    why: "people forget it",
    turns_red: NONE_VALID,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| match fields(body).remove("urls") {
            Some(Value::Array(urls)) if urls.len() == 1 => listed(kind, body, MAX_PATHS, |entry| {
                let word = |path: &&str| path.starts_with(|first: char| first.is_ascii_alphanumeric());
                valid(entry).or_else(|| entry.as_str().filter(word).map(|path| format!("/{path}")))
            }),
            _ => read(kind, body),
        })
    },
};

const WHOLE_ADDRESS: Deviation = Deviation {
    name: "path-whole-address",
    defect: "takes whole addresses",
    why: "the key is called `urls`",
    turns_red: NONE_VALID,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| listed(kind, body, MAX_PATHS, |entry| valid_or(entry, "https://"))),
};

const RELATIVE: Deviation = Deviation {
    name: "path-relative",
    defect: "takes paths that begin with `./`",
    why: "they are resolved against the domain before they are looked at",
    turns_red: NONE_VALID,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| listed(kind, body, MAX_PATHS, |entry| valid_or(entry, "./"))),
};

const QUERY_ONLY: Deviation = Deviation {
    name: "path-query-only",
    defect: "takes a query for a path of the home page",
    why: "that is what an address parser makes of it",
    turns_red: NONE_VALID,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| listed(kind, body, MAX_PATHS, |entry| valid_or(entry, "?"))),
};

const OTHER_SLASH: Deviation = Deviation {
    name: "path-other-slash",
    defect: "takes a path that begins with a full-width slash",
    why: "texts are brought into a normal form before they are looked at",
    turns_red: NONE_VALID,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| listed(kind, body, MAX_PATHS, |entry| valid_or(entry, "\u{ff0f}"))),
};

const BACKSLASH: Deviation = Deviation {
    name: "path-backslash",
    defect: "takes a path that begins with a backslash",
    why: "address parsers for browsers read it as a slash",
    turns_red: NONE_VALID,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| listed(kind, body, MAX_PATHS, |entry| valid_or(entry, "\\"))),
};

const TRIMMED: Deviation = Deviation {
    name: "path-trimmed",
    defect: "takes a space off the front of a path",
    why: "all texts are trimmed when they come in",
    turns_red: &["rndrkit.paths.leading-space"],
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| {
            listed(kind, body, MAX_PATHS, |entry| valid(&Value::from(entry.as_str()?.trim_start())))
        })
    },
};

const ONE_REFUSES_ALL: Deviation = Deviation {
    name: "path-one-refuses-all",
    defect: "refuses a list for one invalid path in it",
    why: "the schema demands a pattern of every entry",
    turns_red: MIXED,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| {
            let urls = fields(body).remove("urls");
            let texts = urls.as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            if texts.into_iter().any(|path| !path.starts_with('/')) {
                Err(Refusal::NoValidPath)
            } else {
                read(kind, body)
            }
        })
    },
};

const INVALID_COUNTED: Deviation = Deviation {
    name: "path-invalid-counted",
    defect: "counts and queues invalid paths that stand beside valid ones",
    why: "it is only looked at whether any entry is valid",
    turns_red: MIXED,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| match read(kind, body) {
            Ok(Asked::Paths(_)) => listed(kind, body, MAX_PATHS, |entry| entry.as_str().map(str::to_owned)),
            other => other,
        })
    },
};

const NON_STRING_FAILS: Deviation = Deviation {
    name: "path-non-string-fails",
    defect: "answers an entry that is no string with 500",
    why: "each entry is asked how it begins, which numbers cannot say",
    turns_red: NON_STRING,
    consequences: &[],
    change: |parts| {
        failing(parts, |body| {
            let urls = fields(body).remove("urls");
            urls.as_ref().and_then(Value::as_array).is_some_and(|urls| urls.iter().any(|entry| !entry.is_string()))
        })
    },
};

const NON_STRING_COUNTED: Deviation = Deviation {
    name: "path-non-string-counted",
    defect: "counts numbers in the list as pages",
    why: "entries are made strings, and the ids of pages are among what callers send",
    turns_red: NON_STRING,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| {
            listed(kind, body, MAX_PATHS, |entry| valid(entry).or_else(|| Some(format!("/{}", entry.as_u64()?))))
        })
    },
};

const NESTED_FLATTENED: Deviation = Deviation {
    name: "path-nested-taken",
    defect: "takes the paths of a list within the list",
    why: "a list of one string turns into that string where strings are expected",
    turns_red: NON_STRING,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| {
            listed(kind, body, MAX_PATHS, |entry| valid(entry).or_else(|| valid(entry.as_array()?.first()?)))
        })
    },
};

const ROOT_REFUSED: Deviation = Deviation {
    name: "path-root-refused",
    defect: "takes `/` for no valid path",
    why: "slashes at the end are taken off first, and nothing is left",
    turns_red: ROOT,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| listed(kind, body, MAX_PATHS, |entry| valid(entry).filter(|path| path != "/")))
    },
};

const ROOT_NOT_COUNTED: Deviation = Deviation {
    name: "path-root-not-counted",
    defect: "counts no page for `/`",
    why: "the home page is refreshed anyway",
    turns_red: ROOT,
    consequences: &[],
    change: |parts| {
        deciding(parts, |_, command, decision| {
            let Ok(Asked::Paths(paths)) = &command.asked else { return };
            if let Ok(accepted) = &mut decision.reply {
                accepted.pages_queued = Some(paths.iter().filter(|path| *path != "/").count());
            }
        })
    },
};

const NINETEEN: Deviation = Deviation {
    name: "list-nineteen",
    defect: "takes no more than nineteen paths of a list",
    why: "the loop ends one too early",
    turns_red: COUNT,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| listed(kind, body, MAX_PATHS - 1, valid)),
};

const TWENTY_REFUSED: Deviation = Deviation {
    name: "list-twenty-refused",
    defect: "refuses a list of twenty paths",
    why: "the length is compared with >= where > was meant",
    turns_red: COUNT,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| match read(kind, body) {
            Ok(Asked::Paths(paths)) if paths.len() >= MAX_PATHS => Err(Refusal::NoValidPath),
            other => other,
        })
    },
};

const NO_CUT: Deviation = Deviation {
    name: "list-not-cut",
    defect: "queues every path of a list, however long",
    why: "the limit stands in the document only",
    turns_red: OVER_TWENTY,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| listed(kind, body, usize::MAX, valid)),
};

const CUT_LATE: Deviation = Deviation {
    name: "list-cut-late",
    defect: "cuts a list at 25 paths",
    why: "the limit is that of the other API's endpoint",
    turns_red: OVER_TWENTY,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| listed(kind, body, 25, valid)),
};

const CUT_IN_WORDS: Deviation = Deviation {
    name: "list-cut-in-words",
    defect: "says that it queued twenty pages of a longer list and queues all",
    why: "the number is bounded where it is written, not where it matters",
    turns_red: OVER_TWENTY,
    consequences: &[],
    change: |parts| {
        let parts = reading(parts, |kind, body| listed(kind, body, usize::MAX, valid));
        deciding(parts, |_, _, decision| {
            let queued = decision.writes.iter().any(|write| matches!(write, Write::AppendRefresh(_)));
            if let (true, Ok(accepted)) = (queued, &mut decision.reply) {
                accepted.pages_queued = accepted.pages_queued.map(|pages| pages.min(MAX_PATHS));
            }
        })
    },
};
