//! A violation as a drawing: one bar an operation.
//!
//! The drawing needs nothing from elsewhere and follows the viewer's light or dark scheme.

use std::fmt::Write as _;

use super::timeline::Timeline;
use crate::histories::audited::{Fact, Violation};
use crate::report::terminal::printable;

const WIDTH: u32 = 960;
const LEFT: u32 = 20;
/// Where the bars begin and how long the scale is.
const SCALE: u32 = 400;
const ROW: u32 = 22;
const TOP: u32 = 64;

/// Letters of an operation that fit beside the bars; the Markdown report has the rest.
const LETTERS_MAX: usize = 72;

const STYLE: &str = "\
text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2328}\
.title{font-weight:bold;font-size:14px}.back{fill:#ffffff}.line{stroke:#d1d9e0}.span{fill:#ddf4ff}\
.counted{fill:#1a7f37}.refused{fill:#cf222e}.perhaps{fill:#9a6700}.shown{fill:#0969da}\
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.back{fill:#0d1117}.line{stroke:#3d444d}.span{fill:#0c2d6b}\
.counted{fill:#3fb950}.refused{fill:#f85149}.perhaps{fill:#d29922}.shown{fill:#4493f8}}";

macro_rules! say {
    ($text:expr, $($rest:tt)*) => {
        writeln!($text, $($rest)*).expect("writing to a string does not fail")
    };
}

/// The drawing of a violation; none if it names no operation.
pub fn render(violation: &Violation) -> Option<String> {
    let timeline = Timeline::of(violation)?;
    let rows = u32::try_from(violation.facts.len()).unwrap_or(u32::MAX / ROW / 2);
    let height = TOP + rows * ROW + ROW + 8;
    let mut text = String::new();
    say!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\">"
    );
    let title = format!("{} on {}: {}", violation.rule, violation.key, violation.kind);
    say!(text, "<title>{}</title>", escaped(&title));
    say!(text, "<desc>{}</desc>", escaped(&violation.explanation));
    say!(text, "<style>{STYLE}</style>");
    say!(text, "<rect class=\"back\" width=\"{WIDTH}\" height=\"{height}\"/>");
    say!(text, "<text class=\"title\" x=\"{LEFT}\" y=\"24\">{}</text>", escaped(&title));
    let (from, to) = timeline.ends();
    say!(text, "<text x=\"{LEFT}\" y=\"48\">{from}</text>");
    say!(text, "<text x=\"{}\" y=\"48\" text-anchor=\"end\">{to}</text>", LEFT + SCALE);
    let bottom = TOP + rows * ROW;
    for span in &violation.spans {
        let (first, last) = timeline.place_span(span.from_ns, span.to_ns, SCALE);
        let (x, width) = (LEFT + first, (last - first).max(1));
        say!(
            text,
            "<rect class=\"span\" x=\"{x}\" y=\"{TOP}\" width=\"{width}\" height=\"{}\"><title>{}</title></rect>",
            bottom - TOP,
            escaped(&span.label)
        );
    }
    for x in [LEFT, LEFT + SCALE] {
        say!(text, "<line class=\"line\" x1=\"{x}\" y1=\"{TOP}\" x2=\"{x}\" y2=\"{bottom}\"/>");
    }
    for (row, fact) in (0..rows).zip(&violation.facts) {
        bar(&mut text, &timeline, fact, TOP + row * ROW);
    }
    legend(&mut text, bottom + ROW);
    say!(text, "</svg>");
    Some(text)
}

fn bar(text: &mut String, timeline: &Timeline<'_>, fact: &Fact, y: u32) {
    const HEIGHT: u32 = 12;
    const NARROWEST: u32 = 2;
    let (first, last, open) = timeline.place(fact, SCALE);
    let (x, width) = (LEFT + first, (last - first).max(NARROWEST));
    let class = class(&fact.role);
    let faded = if open { " fill-opacity=\"0.5\"" } else { "" };
    let words = timeline.words(fact);
    let all = format!("{}, line {}: {} {words}", fact.file, fact.line, timeline.instant(fact.start_ns));
    say!(
        text,
        "<rect class=\"{class}\"{faded} x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{HEIGHT}\" rx=\"2\"><title>{}</title></rect>",
        y + 4,
        escaped(&all)
    );
    let shown: String = match words.char_indices().nth(LETTERS_MAX) {
        Some((cut, _)) => format!("{}…", &words[..cut]),
        None => words,
    };
    say!(text, "<text x=\"{}\" y=\"{}\">{}</text>", LEFT + SCALE + 12, y + 14, escaped(&shown));
}

fn legend(text: &mut String, y: u32) {
    const APART: u32 = 150;
    let words = ["counted", "refused", "perhaps", "shown"];
    for (at, word) in (0..).zip(words) {
        let x = LEFT + at * APART;
        say!(text, "<rect class=\"{word}\" x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\"/>", y - 10);
        let label = match word {
            "counted" => "surely counted",
            "perhaps" => "perhaps counted",
            other => other,
        };
        say!(text, "<text x=\"{}\" y=\"{y}\">{label}</text>", x + 18);
    }
}

/// The class of a role; what a report says otherwise must not become markup.
fn class(role: &str) -> &'static str {
    match role {
        "counted" => "counted",
        "refused" => "refused",
        "perhaps" => "perhaps",
        _ => "shown",
    }
}

/// Text that XML can hold.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in printable(text).chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => {}
            other => safe.push(other),
        }
    }
    safe
}
