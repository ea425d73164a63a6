//! Bodies read wrongly.

use hyper::StatusCode;
use serde_json::Value;

use super::wrap::{answering, fields, reading};
use crate::deviations::Deviation;
use crate::http::Answer;
use crate::parts::Parts;
use crate::rndrkit::wire::{Asked, Refusal, read};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    EMPTY_REFRESHES,
    EMPTY_FAILS,
    OBJECT_REFRESHES,
    OBJECT_AS_NO_PATH,
    ALL_FALSE_REFRESHES,
    ALL_FALSE_WINS,
    ALL_ALWAYS_WINS,
    URLS_STRING,
    URLS_OBJECT,
    URLS_FAIL,
    URLS_STATUS,
    URLS_EMPTY,
    MALFORMED_FAILS,
    MALFORMED_COMMA,
    MALFORMED_QUOTES,
    MALFORMED_REFRESHES,
];

const EMPTY: &[&str] = &["rndrkit.body.empty"];
const OBJECT: &[&str] = &["rndrkit.body.empty-object"];
const WITH_URLS: &[&str] = &["rndrkit.body.all-false-with-urls"];
const NOT_ARRAY: &[&str] = &["rndrkit.body.urls-not-array"];
const MALFORMED: &[&str] = &["rndrkit.body.malformed-json"];

const EMPTY_REFRESHES: Deviation = Deviation {
    name: "body-empty-refreshes",
    defect: "refreshes the whole domain when there is no body",
    why: "a hook that says nothing is taken to mean everything",
    turns_red: EMPTY,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| if body.is_empty() { Ok(Asked::Full) } else { read(kind, body) }),
};

const EMPTY_FAILS: Deviation = Deviation {
    name: "body-empty-fails",
    defect: "answers a request without a body with 500",
    why: "the parsed body is taken apart without a look at whether there is one",
    turns_red: EMPTY,
    consequences: &[],
    change: |parts| failing(parts, <[u8]>::is_empty),
};

const OBJECT_REFRESHES: Deviation = Deviation {
    name: "body-empty-object-refreshes",
    defect: "refreshes the whole domain for `{}`",
    why: "without a list everything is meant, and the body was only checked for being there",
    turns_red: OBJECT,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| if is_empty_object(body) { Ok(Asked::Full) } else { read(kind, body) }),
};

const OBJECT_AS_NO_PATH: Deviation = Deviation {
    name: "body-empty-object-as-no-path",
    defect: "answers `{}` like a list without a valid path",
    why: "a list that is not there is given the empty list as its default",
    turns_red: OBJECT,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| if is_empty_object(body) { Err(Refusal::NoValidPath) } else { read(kind, body) })
    },
};

fn is_empty_object(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|value: Value| value.as_object().is_some_and(|fields| fields.is_empty()))
}

const ALL_FALSE_REFRESHES: Deviation = Deviation {
    name: "body-all-false-refreshes",
    defect: "refreshes the whole domain for `all: false` without a list",
    why: "the key is looked for and its value is not",
    turns_red: &["rndrkit.body.all-false"],
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| {
            let fields = fields(body);
            let named = fields.contains_key("all") && !fields.contains_key("urls");
            if named { Ok(Asked::Full) } else { read(kind, body) }
        })
    },
};

const ALL_FALSE_WINS: Deviation = Deviation {
    name: "body-all-false-wins",
    defect: "refuses a list that has `all: false` beside it",
    why: "the two keys are taken for two forms of body that exclude each other",
    turns_red: WITH_URLS,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| {
            if fields(body).get("all") == Some(&Value::Bool(false)) {
                Err(Refusal::NothingAsked)
            } else {
                read(kind, body)
            }
        })
    },
};

const ALL_ALWAYS_WINS: Deviation = Deviation {
    name: "body-all-always-wins",
    defect: "refreshes the whole domain for a list that has `all: false` beside it",
    why: "the key decides between two handlers, and its value is not looked at",
    turns_red: WITH_URLS,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| {
            let fields = fields(body);
            let both = fields.contains_key("all") && fields.contains_key("urls");
            if both { Ok(Asked::Full) } else { read(kind, body) }
        })
    },
};

const URLS_STRING: Deviation = Deviation {
    name: "body-urls-string",
    defect: "takes a string in `urls` for a list of one path",
    why: "it is kind to callers, and the library offers it",
    turns_red: NOT_ARRAY,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| match fields(body).remove("urls") {
            Some(Value::String(path)) if path.starts_with('/') => Ok(Asked::Paths(vec![path])),
            _ => read(kind, body),
        })
    },
};

const URLS_OBJECT: Deviation = Deviation {
    name: "body-urls-object",
    defect: "takes the values of an object in `urls` for a list",
    why: "lists and objects are one type in the language at hand",
    turns_red: NOT_ARRAY,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| match fields(body).remove("urls") {
            Some(Value::Object(paths)) => {
                let paths = paths.into_iter().filter_map(|(_, path)| path.as_str().map(str::to_owned));
                Ok(Asked::Paths(paths.collect()))
            }
            _ => read(kind, body),
        })
    },
};

const URLS_FAIL: Deviation = Deviation {
    name: "body-urls-fail",
    defect: "answers `urls` that is a number or an object with 500",
    why: "the list is filtered without a look at whether it is one",
    turns_red: NOT_ARRAY,
    consequences: &[],
    change: |parts| {
        failing(parts, |body| {
            let urls = fields(body).remove("urls");
            urls.is_some_and(|urls| urls.is_number() || urls.is_object())
        })
    },
};

const URLS_STATUS: Deviation = Deviation {
    name: "body-urls-status",
    defect: "answers `urls` that is no list with 422",
    why: "the framework checks types before the handler is called, and answers so",
    turns_red: NOT_ARRAY,
    consequences: &[],
    change: |parts| {
        answering(parts, |request, answer| {
            if fields(&request.body).get("urls").is_some_and(|urls| !urls.is_array()) {
                *answer = Answer::fixed(StatusCode::UNPROCESSABLE_ENTITY, r#"{"error":"urls: expected a list"}"#);
            }
        })
    },
};

const URLS_EMPTY: Deviation = Deviation {
    name: "body-urls-empty",
    defect: "accepts an empty list and queues nothing",
    why: "a list without entries has no invalid ones",
    turns_red: &["rndrkit.body.urls-empty"],
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| match fields(body).remove("urls") {
            Some(Value::Array(paths)) if paths.is_empty() => Ok(Asked::Paths(Vec::new())),
            _ => read(kind, body),
        })
    },
};

const MALFORMED_FAILS: Deviation = Deviation {
    name: "body-malformed-fails",
    defect: "answers malformed JSON with 500",
    why: "the parser's exception is caught by nobody",
    turns_red: MALFORMED,
    consequences: &[],
    change: |parts| failing(parts, |body| !body.is_empty() && serde_json::from_slice::<Value>(body).is_err()),
};

const MALFORMED_COMMA: Deviation = Deviation {
    name: "body-malformed-comma",
    defect: "forgives a comma behind the last field",
    why: "bodies are read by the parser that reads the configuration",
    turns_red: MALFORMED,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| read(kind, replaced(body, ",}", "}").as_bytes())),
};

const MALFORMED_QUOTES: Deviation = Deviation {
    name: "body-malformed-quotes",
    defect: "reads strings in single quotes",
    why: "shell scripts that quote wrongly were to be helped",
    turns_red: MALFORMED,
    consequences: &[],
    change: |parts| reading(parts, |kind, body| read(kind, replaced(body, "'", "\"").as_bytes())),
};

fn replaced(body: &[u8], from: &str, to: &str) -> String {
    String::from_utf8_lossy(body).replace(from, to)
}

const MALFORMED_REFRESHES: Deviation = Deviation {
    name: "body-malformed-refreshes",
    defect: "refreshes the whole domain for a body that is not JSON",
    why: "a body that cannot be read is taken for a hook that only says that something changed",
    turns_red: MALFORMED,
    consequences: &[],
    change: |parts| {
        reading(parts, |kind, body| {
            let malformed = !body.is_empty() && serde_json::from_slice::<Value>(body).is_err();
            if malformed { Ok(Asked::Full) } else { read(kind, body) }
        })
    },
};

/// The parts with 500 in place of the refusal of some bodies.
pub(super) fn failing(parts: Parts, fails: fn(&[u8]) -> bool) -> Parts {
    // The endpoint's own answers to a body are 200 and 400; whoever may not ask learns nothing of a parser.
    answering(parts, move |request, answer| {
        let judged = [StatusCode::OK, StatusCode::BAD_REQUEST].contains(&answer.status);
        if judged && fails(&request.body) {
            *answer = Answer::fixed(StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"Server error"}"#);
        }
    })
}
