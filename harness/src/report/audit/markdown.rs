//! An audit as Markdown. Drawings are files of their own, since viewers that show Markdown from strangers leave out drawings inside it.

use std::fmt::Write as _;

use super::text::timeline_lines;
use super::{about, closing, file_words, judged_word, quota_words, seconds, svg, total_lines, window_words};
use crate::histories::audited::{AuditLevel, Audited, Violation};
use crate::report::markdown::{escaped, fence};

/// Rows of a table; the JSON report has all.
const ROWS_MAX: usize = 200;

/// Violations that get a drawing.
const DRAWINGS_MAX: usize = 50;

macro_rules! say {
    ($text:expr, $($rest:tt)*) => {
        writeln!($text, $($rest)*).expect("writing to a string does not fail")
    };
}

/// A report with its drawings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The Markdown.
    pub text: String,
    /// The drawings: a file's name, to stand beside the report, and its content.
    pub drawings: Vec<(String, String)>,
}

/// Renders the audit. `stem` is the report's file name without its ending: drawings are called after it.
pub fn render(audited: &Audited, stem: &str) -> Document {
    let mut text = String::new();
    say!(text, "# hookproof audit: {}\n", escaped(audited.verdict.words()));
    say!(text, "{}\n", escaped(&closing(audited)));
    facts(&mut text, audited);
    let mut drawings = Vec::new();
    for (title, violations) in
        [("Violations", audited.failing().collect::<Vec<&Violation>>()), ("Warnings", audited.warnings().collect())]
    {
        if violations.is_empty() {
            continue;
        }
        say!(text, "## {title}\n");
        for violation in violations {
            let name = format!("{stem}.{}.svg", drawings.len() + 1);
            let drawing = svg::render(violation).filter(|_| drawings.len() < DRAWINGS_MAX);
            explain(&mut text, violation, drawing.is_some().then_some(name.as_str()));
            drawings.extend(drawing.map(|drawing| (name, drawing)));
        }
    }
    open(&mut text, audited);
    keys(&mut text, audited);
    Document { text, drawings }
}

fn facts(text: &mut String, audited: &Audited) {
    for file in &audited.files {
        say!(text, "- {}: {}", escaped(&file.path), escaped(&file_words(file)));
    }
    say!(text, "- limit: {}", window_words(&audited.assumptions));
    say!(text, "- quota: {}", quota_words(&audited.assumptions));
    say!(text, "- a control may take {} s to be seen", seconds(audited.assumptions.settle_ms));
    for (name, words) in total_lines(audited) {
        say!(text, "- {name}: {}", escaped(&words));
    }
    say!(text, "");
}

fn explain(text: &mut String, violation: &Violation, drawing: Option<&str>) {
    let level = match violation.level {
        AuditLevel::Must => "must",
        AuditLevel::Should => "should",
    };
    let (api, key) = (violation.api.name(), escaped(&violation.key));
    say!(text, "### `{}` ({level}), {api} {key}: {}\n", violation.rule, violation.kind);
    say!(text, "{}\n", escaped(&violation.explanation));
    if !violation.proof {
        say!(text, "Together these operations have no explanation; leave any out, and there is one.\n");
    }
    if let Some(name) = drawing {
        say!(text, "![Timeline of this violation]({})\n", link(name));
    }
    let lines = timeline_lines(violation).join("\n");
    if !lines.is_empty() {
        let fence = fence(&lines);
        say!(text, "{fence}text\n{lines}\n{fence}\n");
    }
}

/// A file's name as the target of a link.
fn link(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn open(text: &mut String, audited: &Audited) {
    if audited.open.is_empty() {
        return;
    }
    say!(text, "## Not judged\n");
    for open in audited.open.iter().take(ROWS_MAX) {
        let counted = if audited.strict || open.level == AuditLevel::Must { "" } else { " (not counted)" };
        let (key, reason) = (escaped(&open.key), escaped(&open.reason));
        say!(text, "- {} {key}, {}{counted}: {reason}", open.api.name(), open.about);
    }
    say!(text, "");
}

fn keys(text: &mut String, audited: &Audited) {
    if audited.keys.is_empty() {
        return;
    }
    say!(text, "## Domains and templates\n");
    say!(text, "| API | name | fresh | requests | most at once | verdicts |\n|---|---|---|---|---|---|");
    for key in audited.keys.iter().take(ROWS_MAX) {
        let verdicts: Vec<String> =
            about(key).into_iter().map(|(about, judged)| format!("{about} {}", judged_word(judged))).collect();
        let fresh = if key.fresh { "yes" } else { "not known" };
        say!(
            text,
            "| {} | {} | {fresh} | {} | {} | {} |",
            key.api.name(),
            escaped(&key.key),
            key.requests,
            key.overlap_max,
            verdicts.join(", ")
        );
    }
    if audited.keys.len() > ROWS_MAX {
        say!(text, "\n… and {} more.", audited.keys.len() - ROWS_MAX);
    }
}
