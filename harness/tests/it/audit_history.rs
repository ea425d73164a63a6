//! Histories as some recorder may write them, for the program to audit.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::cli::{folder, hookproof, text};

const LIMIT: u64 = 10;
pub(crate) const HOUR_MS: u64 = 3_600_000;
const RATE_ERROR: &str = "Rate limit exceeded (10 requests/hour)";
const QUOTA_ERROR: &str = "Monthly render limit reached";
const EMPTY_BODY_ERROR: &str = "Provide \"urls\" array or \"all\": true";
pub(crate) const NS: u64 = 1_000_000;

/// A history as some recorder may write it, in lines of plain JSON.
#[derive(Clone)]
pub(crate) struct History {
    pub(crate) lines: Vec<Value>,
    n: u64,
}

impl History {
    pub(crate) fn new() -> History {
        History::of("a", 1_760_000_000_000, 0, json!({"d1": {"fresh": true}}))
    }

    pub(crate) fn of(recorder: &str, unix_ms: u64, skew_ms: u64, keys: Value) -> History {
        let header = json!({
            "v": 1, "header": true, "recorder": recorder, "unix_ms": unix_ms, "skew_ms": skew_ms, "limit": LIMIT,
            "window_ms": HOUR_MS, "tolerance_ms": 2_000, "quota": "reached", "keys": keys,
        });
        History { lines: vec![header], n: 0 }
    }

    /// An operation in two lines, from `start` to `end` milliseconds.
    pub(crate) fn operation(&mut self, asked: Value, start: u64, end: u64, came: Value) -> u64 {
        let n = self.invoked(asked, start);
        let mut completion = came;
        completion["v"] = json!(1);
        completion["n"] = json!(n);
        completion["end_ns"] = json!(end * NS);
        self.lines.push(completion);
        n
    }

    pub(crate) fn invoked(&mut self, asked: Value, start: u64) -> u64 {
        self.n += 1;
        let mut invocation = asked;
        invocation["v"] = json!(1);
        invocation["n"] = json!(self.n);
        invocation["start_ns"] = json!(start * NS);
        self.lines.push(invocation);
        self.n
    }

    pub(crate) fn refresh(&mut self, start: u64, end: u64, status: u16) -> u64 {
        self.operation(refresh_by("d1", "d1.1"), start, end, answer(status))
    }

    /// So many requests one after the other, each 5 ms long, from `start` on, 10 ms apart.
    pub(crate) fn row(&mut self, start: u64, count: u64, status: u16) {
        for at in 0..count {
            self.refresh(start + 10 * at, start + 10 * at + 5, status);
        }
    }

    pub(crate) fn control(&mut self, what: Value, start: u64, end: u64) -> u64 {
        let mut asked = what;
        asked["op"] = json!("control");
        self.operation(asked, start, end, json!({}))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            writeln!(bytes, "{line}").unwrap();
        }
        bytes
    }
}

pub(crate) fn refresh_by(domain: &str, token: &str) -> Value {
    json!({"api": "rndrkit", "key": domain, "token": token, "op": "refresh", "pages": 1})
}

pub(crate) fn answer(status: u16) -> Value {
    match status {
        429 => json!({"status": status, "error": RATE_ERROR}),
        403 => json!({"status": status, "error": QUOTA_ERROR}),
        400 => json!({"status": status, "error": EMPTY_BODY_ERROR}),
        _ => json!({"status": status}),
    }
}

pub(crate) fn render() -> Value {
    json!({"api": "craftkit", "key": "t1", "op": "render"})
}

pub(crate) fn poll(id: &str) -> Value {
    json!({"api": "craftkit", "key": "t1", "op": "poll", "id": id})
}

pub(crate) fn audited(folder: &Path, files: &[&str], options: &[&str]) -> (Option<i32>, String) {
    let run = hookproof(folder, &[&["audit"], files, options].concat());
    (run.status.code(), format!("{}{}", text(&run.stdout), text(&run.stderr)))
}

#[track_caller]
pub(crate) fn check(history: &History, options: &[&str], code: i32, words: &[&str]) -> String {
    check_bytes(&history.bytes(), options, code, words)
}

#[track_caller]
pub(crate) fn check_bytes(bytes: &[u8], options: &[&str], code: i32, words: &[&str]) -> String {
    let folder = folder();
    std::fs::write(folder.path().join("run.jsonl"), bytes).unwrap();
    let (found, shown) = audited(folder.path(), &["run.jsonl"], options);
    assert_eq!(found, Some(code), "{shown}");
    for word in words {
        assert!(shown.contains(word), "no `{word}` in {shown}");
    }
    shown
}
