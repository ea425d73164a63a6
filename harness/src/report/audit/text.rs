//! An audit for a person at a terminal.

use std::fmt::Write as _;

use super::timeline::Timeline;
use super::{closing, file_words, key_words, quota_words, seconds, total_lines, window_words};
use crate::histories::audited::{AuditLevel, AuditVerdict, Audited, Judged, KeyReport, Open, Violation};
use crate::report::terminal::{Manner, Paint, printable};

/// Keys that are listed; a report file has all.
const KEYS_MAX: usize = 40;

/// Columns of a timeline's bars.
const COLUMNS: u32 = 40;

const RED: u8 = 31;
const GREEN: u8 = 32;
const YELLOW: u8 = 33;
const MAGENTA: u8 = 35;

macro_rules! say {
    ($text:expr, $($rest:tt)*) => {
        writeln!($text, $($rest)*).expect("writing to a string does not fail")
    };
}

/// The audit as text. With `manner.quiet` only what needs attention.
pub fn render(audited: &Audited, manner: Manner) -> String {
    let paint = Paint(manner.color);
    let mut text = String::new();
    if !manner.quiet {
        facts(&mut text, audited);
        keys(&mut text, audited);
    }
    for violation in &audited.violations {
        explain(&mut text, audited, violation, paint);
    }
    open(&mut text, audited, manner.quiet, paint);
    let color = match audited.verdict {
        AuditVerdict::Consistent => GREEN,
        AuditVerdict::Inconsistent => RED,
        AuditVerdict::Inconclusive | AuditVerdict::NothingJudged => YELLOW,
    };
    if manner.quiet && !audited.violations.is_empty() {
        // What is assumed belongs to every verdict.
        say!(text, "\n{}", window_words(&audited.assumptions));
    }
    say!(text, "\n{}", paint.paint(&closing(audited), color));
    text
}

fn facts(text: &mut String, audited: &Audited) {
    say!(text, "histories");
    for file in &audited.files {
        say!(text, "  {}: {}", printable(&file.path), printable(&file_words(file)));
    }
    let assumptions = &audited.assumptions;
    say!(text, "\nassumptions");
    say!(text, "  {:<9}  {}", "limit", window_words(assumptions));
    say!(text, "  {:<9}  {}", "quota", quota_words(assumptions));
    say!(text, "  {:<9}  a control may take {} s to be seen", "settle", seconds(assumptions.settle_ms));
    say!(text, "\nseen");
    for (name, words) in total_lines(audited) {
        say!(text, "  {name:<9}  {}", printable(&words));
    }
}

fn keys(text: &mut String, audited: &Audited) {
    // Those with trouble first, so that they are not among what is left out.
    let troubled = |key: &&KeyReport| {
        [key.rate, key.quota, key.renders, key.revocation]
            .iter()
            .any(|judged| matches!(judged, Judged::Inconsistent | Judged::Inconclusive))
    };
    let (first, rest): (Vec<&KeyReport>, Vec<&KeyReport>) = audited.keys.iter().partition(troubled);
    if audited.keys.is_empty() {
        return;
    }
    say!(text, "\nkeys");
    for key in first.iter().chain(&rest).take(KEYS_MAX) {
        let fresh = if key.fresh { ", fresh" } else { "" };
        say!(text, "  {} {}{fresh}: {}", key.api.name(), printable(&key.key), printable(&key_words(key)));
    }
    if audited.keys.len() > KEYS_MAX {
        say!(text, "  … and {} more; --report json=PATH lists all", audited.keys.len() - KEYS_MAX);
    }
}

fn explain(text: &mut String, audited: &Audited, violation: &Violation, paint: Paint) {
    let counts = audited.strict || violation.level == AuditLevel::Must;
    let word = if counts { paint.paint("VIOLATION", RED) } else { paint.paint("warning", YELLOW) };
    let level = match violation.level {
        AuditLevel::Must => "must",
        AuditLevel::Should => "should",
    };
    let (api, key) = (violation.api.name(), printable(&violation.key));
    say!(text, "\n{word} {} ({level}), {api} {key}: {}", violation.rule, violation.kind);
    say!(text, "  why       {}", printable(&violation.explanation));
    if !violation.proof {
        say!(text, "            Together these operations have no explanation; leave any out, and there is one.");
    }
    for line in timeline_lines(violation) {
        say!(text, "  {line}");
    }
}

/// A violation's operations, one a line, with bars that show when; the first line is the scale.
pub fn timeline_lines(violation: &Violation) -> Vec<String> {
    let Some(timeline) = Timeline::of(violation) else { return Vec::new() };
    let (from, to) = timeline.ends();
    let mut lines = vec![format!("{from} to {to}, after the first request")];
    for fact in &violation.facts {
        let (first, last, open) = timeline.place(fact, COLUMNS);
        let bar: String = (0..COLUMNS)
            .map(|column| match column {
                _ if column < first || column > last => ' ',
                _ if open && column == last => '>',
                _ => mark(&fact.role),
            })
            .collect();
        let words = printable(&timeline.words(fact));
        let when = timeline.instant(fact.start_ns);
        lines.push(format!("|{bar}| {when}  {words}  ({}, {}:{})", fact.role, printable(&fact.file), fact.line));
    }
    lines
}

/// How an operation's bar is drawn, so that it can be told apart without colours.
fn mark(role: &str) -> char {
    match role {
        "counted" => '=',
        "refused" => 'x',
        "perhaps" => '?',
        _ => '-',
    }
}

fn open(text: &mut String, audited: &Audited, quiet: bool, paint: Paint) {
    let counted = |open: &&Open| audited.strict || open.level == AuditLevel::Must;
    let (must, should): (Vec<&Open>, Vec<&Open>) = audited.open.iter().partition(counted);
    let groups = [("not judged", must, false), ("not judged, and not counted", should, quiet)];
    for (title, list, hidden) in groups {
        if list.is_empty() || hidden {
            continue;
        }
        say!(text, "\n{}", paint.paint(title, MAGENTA));
        for open in list.iter().take(KEYS_MAX) {
            say!(text, "  {} {} {}: {}", open.api.name(), printable(&open.key), open.about, printable(&open.reason));
        }
        if list.len() > KEYS_MAX {
            say!(text, "  … and {} more", list.len() - KEYS_MAX);
        }
    }
}
