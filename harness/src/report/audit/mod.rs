//! What an audit of histories found, as text, Markdown and drawings; all from one value.

pub mod markdown;
pub mod svg;
pub mod text;
mod timeline;

use crate::histories::audited::{Assumptions, Audited, Charging, ClockKind, FileFacts, Judged, KeyReport};

/// The limit and its window, in words.
fn window_words(assumptions: &Assumptions) -> String {
    let (min, max) = (seconds(assumptions.window_min_ms), seconds(assumptions.window_max_ms));
    let length = if min == max { format!("{min} s") } else { format!("{min} s to {max} s") };
    let clock = match assumptions.clock {
        ClockKind::Recorder => "on the recorder's clock".to_owned(),
        ClockKind::Recorders => format!(
            "on the clocks of several recorders, each wrong by {} ms at most; domains that one of them used alone are judged exactly",
            assumptions.skew_ms
        ),
        ClockKind::Target => "on the target's own clock".to_owned(),
    };
    format!("{} requests in a window of {length}, {clock}", assumptions.limit)
}

/// How the quota is read, in words.
fn quota_words(assumptions: &Assumptions) -> String {
    let reading = match assumptions.quota.as_str() {
        "exceed" => "refuses what would go beyond it",
        _ => "refuses once it is reached",
    };
    let charging = match assumptions.charging {
        Charging::AtOnceStated => "acceptance charges it at once, as stated",
        Charging::AtOnceShown => "acceptance charges it at once, as the history shows",
        Charging::Unknown => {
            "nothing shows whether acceptance charges it at once, so what was served beyond it is not judged"
        }
    };
    format!("{reading}; {charging}")
}

/// So many of something.
fn number(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Milliseconds as seconds.
fn seconds(ms: u64) -> String {
    let text = format!("{}.{:03}", ms / 1000, ms % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A file, in words.
fn file_words(file: &FileFacts) -> String {
    let recorders: Vec<&str> = file.recorders.iter().map(|recorder| recorder.name.as_str()).collect();
    let mut words = format!("recorded by {}, {}, ", recorders.join(", "), number(file.lines, "line", "lines"));
    words.push_str(&number(file.operations, "operation", "operations"));
    if file.unfinished > 0 {
        words.push_str(&format!(", {} never completed", file.unfinished));
    }
    if file.skipped > 0 {
        let lines = number(file.skipped, "line", "lines");
        words.push_str(&format!(", {lines} about other requests or such as never reached the target left out"));
    }
    if let Some(cut) = file.truncated {
        words.push_str(&format!(", last line ({}) cut off after {} bytes and left out", cut.line, cut.bytes));
    }
    words
}

/// Counts, one line for each API that was used.
fn total_lines(audited: &Audited) -> Vec<(&'static str, String)> {
    let totals = &audited.totals;
    let mut lines = Vec::new();
    if totals.refreshes > 0 {
        let foreign = match totals.foreign_refusals {
            0 => String::new(),
            count => {
                format!("; {} 429 came from somebody in front and proves nothing", number(count, "answer", "answers"))
            }
        };
        let (all, counted, refused, perhaps) = (totals.refreshes, totals.counted, totals.refused, totals.perhaps);
        lines.push((
            "refreshes",
            format!(
                "{all}: {counted} surely counted, {refused} refused by the limit, {perhaps} perhaps counted{foreign}"
            ),
        ));
    }
    if totals.renders > 0 || totals.polls > 0 {
        let (all, acknowledged) = (totals.renders, totals.acknowledged);
        let (found, finished) = (totals.found, totals.finished);
        lines.push((
            "renders",
            format!(
                "{all} calls, {acknowledged} acknowledged, of these {found} found again, {finished} finished; {} polls",
                totals.polls
            ),
        ));
    }
    if totals.controls > 0 {
        lines.push(("controls", totals.controls.to_string()));
    }
    let judged = [
        (totals.rate_judged, "rate limit", "rate limits"),
        (totals.quotas_judged, "quota", "quotas"),
        (
            totals.revocations_judged,
            "domain whose revoked tokens were tried",
            "domains whose revoked tokens were tried",
        ),
    ];
    let seen = judged.iter().filter(|(count, ..)| *count > 0);
    let judged: Vec<String> = seen.map(|(count, one, many)| number(*count, one, many)).collect();
    if !judged.is_empty() {
        lines.push(("judged", judged.join(", ")));
    }
    if let Some(key) = audited.keys.iter().max_by_key(|key| key.overlap_max) {
        lines.push(("at once", format!("at most {}, on {}", number(key.overlap_max, "request", "requests"), key.key)));
    }
    lines
}

/// What is known of a key, in words.
fn key_words(key: &KeyReport) -> String {
    let answers: Vec<String> = key.answers.iter().map(|(answer, count)| format!("{count} x {answer}")).collect();
    let requests = number(key.requests, "request", "requests");
    let mut words = format!("{requests} ({}), at most {} at once", answers.join(", "), key.overlap_max);
    for (about, judged) in about(key) {
        words.push_str(&format!("; {about} {}", judged_word(judged)));
    }
    words
}

/// What is judged of a key, and how.
fn about(key: &KeyReport) -> Vec<(&'static str, Judged)> {
    let all = [("rate", key.rate), ("quota", key.quota), ("renders", key.renders), ("revocation", key.revocation)];
    all.into_iter().filter(|(_, judged)| *judged != Judged::NotConcerned).collect()
}

fn judged_word(judged: Judged) -> &'static str {
    match judged {
        Judged::Consistent => "consistent",
        Judged::Inconsistent => "NOT CONSISTENT",
        Judged::Inconclusive => "inconclusive",
        Judged::NotConcerned => "not concerned",
    }
}

/// The last line.
fn closing(audited: &Audited) -> String {
    let count = |of: usize| u64::try_from(of).unwrap_or(u64::MAX);
    let parts = [
        number(count(audited.keys.len()), "key", "keys"),
        number(count(audited.failing().count()), "violation", "violations"),
        number(count(audited.warnings().count()), "warning", "warnings"),
        format!("{} not judged", audited.incomplete().count()),
    ];
    format!("{} ({})", audited.verdict.words(), parts.join(", "))
}
