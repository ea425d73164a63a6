//! Lays taken answers beside the accepted ones: what agrees, what differs, what is new, what nothing brings about any more. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::masks::masked;
use super::table::{SHOTS, Shot};
use super::take::Taken;
use crate::api::Api;

/// Lines of either side that a difference looks at, from a little before the first one that differs.
const LINES_COMPARED_MAX: usize = 200;
/// Lines of a difference that are kept; the file beside the accepted one holds all.
const LINES_KEPT_MAX: usize = 60;
/// Characters of such a line that are kept.
const LINE_LENGTH_MAX: usize = 240;
/// Equal lines shown around a difference.
const CONTEXT: usize = 3;

/// An accepted answer, as its file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The rule and where its demand stands.
    pub description: String,
    /// What was sent.
    pub request: Value,
    /// What came back.
    pub contents: String,
}

/// Accepted answers by their file, from the folder of the set.
pub type AcceptedSet = BTreeMap<String, Accepted>;

/// What became of a comparison with a set of accepted answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The folder of the set, as typed.
    pub folder: String,
    /// The run left nothing out, so that a file without a rule is a failure.
    pub whole: bool,
    /// Rules whose answer is the accepted one.
    pub agree: Vec<String>,
    /// Answers to be reviewed; each is in a file `.snap.new` beside the accepted one.
    pub differences: Vec<Difference>,
    /// Files that nothing brings about any more.
    pub unreferenced: Vec<String>,
    /// Rules in scope whose answer was not there to compare.
    pub not_compared: Vec<NotCompared>,
}

/// An answer that is not the accepted one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The rule.
    pub rule: String,
    /// The accepted answer's file, from the folder of the set.
    pub file: String,
    /// Whether there is an accepted answer at all.
    pub kind: DifferenceKind,
    /// Lines that begin with `-` (accepted), `+` (came) or a space; shortened.
    pub diff: Vec<String>,
}

/// How an answer differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// Another answer was accepted.
    Changed,
    /// None was accepted yet.
    New,
}

/// A rule in scope without an answer to compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotCompared {
    /// The rule.
    pub rule: String,
    /// Why.
    pub reason: String,
    /// There is an accepted answer that it should have been compared with.
    pub accepted: bool,
}

impl Review {
    /// True if somebody has to look: an answer differs or, in a run that left nothing out, a file belongs to no rule.
    pub fn fails(&self) -> bool {
        !self.differences.is_empty() || (self.whole && !self.unreferenced.is_empty())
    }

    /// True if an accepted answer was not looked at.
    pub fn is_open(&self) -> bool {
        self.not_compared.iter().any(|left| left.accepted)
    }

    /// Changes every text that a target or a file may have written.
    pub fn with_texts(mut self, change: impl Fn(&str) -> String) -> Review {
        for line in self.differences.iter_mut().flat_map(|difference| &mut difference.diff) {
            *line = change(line);
        }
        for left in &mut self.not_compared {
            left.reason = change(&left.reason);
        }
        self
    }
}

impl DifferenceKind {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            DifferenceKind::Changed => "differs from the accepted answer",
            DifferenceKind::New => "has no accepted answer yet",
        }
    }
}

/// Compares, and gives what is to be written for review. `taken` are the answers of the rules in scope, `apis` those of the target, `whole`
/// says that the run left nothing out.
pub fn review(
    folder: &str,
    accepted: &AcceptedSet,
    taken: Vec<(&'static Shot, Result<Taken, String>)>,
    apis: &[Api],
    whole: bool,
) -> (Review, Vec<Taken>) {
    let mut review = Review { folder: folder.to_owned(), whole, ..Review::default() };
    let mut pending = Vec::new();
    for (shot, answer) in taken {
        let rule = shot.rule.to_owned();
        let known = accepted.get(&shot.file());
        let answer = match answer {
            Ok(answer) => known.map_or_else(|| answer.clone(), |known| masked(&answer, &known.contents)),
            Err(reason) => {
                review.not_compared.push(NotCompared { rule, reason, accepted: known.is_some() });
                continue;
            }
        };
        let after = document_of(&answer);
        let before = known.map(|known| document(&known.description, &known.request, &known.contents));
        if before.as_ref() == Some(&after) {
            review.agree.push(rule);
            continue;
        }
        let kind = if known.is_some() { DifferenceKind::Changed } else { DifferenceKind::New };
        let diff = diff(&before.unwrap_or_default(), &after);
        review.differences.push(Difference { rule, file: shot.file(), kind, diff });
        pending.push(answer);
    }
    review.unreferenced = unreferenced(accepted, apis);
    (review, pending)
}

/// Files that no rule of the target's APIs brings about. What belongs to another API is none of this run's business.
fn unreferenced(accepted: &AcceptedSet, apis: &[Api]) -> Vec<String> {
    let elsewhere = |file: &str| {
        let folder = file.split('/').next().unwrap_or_default();
        Api::ALL.iter().any(|api| api.name() == folder && !apis.contains(api))
    };
    let known = |file: &str| SHOTS.iter().any(|shot| shot.file() == file);
    accepted.keys().filter(|file| !known(file) && !elsewhere(file)).cloned().collect()
}

fn document_of(taken: &Taken) -> String {
    let request = serde_json::to_value(&taken.request).expect("a request has only text keys");
    document(&taken.description, &request, &taken.contents)
}

/// All that a person accepts, as one text.
fn document(description: &str, request: &Value, contents: &str) -> String {
    let request = serde_json::to_string_pretty(&sorted(request)).expect("a request has only text keys");
    format!("{description}\nrequest {request}\nresponse {}\n", contents.trim_end())
}

/// The order of keys means nothing, and depends on who wrote a file.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries: BTreeMap<&String, Value> = entries.iter().map(|(key, item)| (key, sorted(item))).collect();
            Value::Object(entries.into_iter().map(|(key, item)| (key.clone(), item)).collect())
        }
        other => other.clone(),
    }
}

/// The lines that differ, with a few around them; bounded, whatever a target says.
fn diff(before: &str, after: &str) -> Vec<String> {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let equal = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let begin = equal.saturating_sub(CONTEXT);
    let part = |lines: &[&str]| -> String {
        lines.iter().skip(begin).take(LINES_COMPARED_MAX).flat_map(|line| [*line, "\n"]).collect()
    };
    let (before, after) = (part(&before), part(&after));
    let compared = TextDiff::from_lines(&before, &after);
    let mut lines = Vec::new();
    for group in compared.grouped_ops(CONTEXT) {
        for change in group.iter().flat_map(|operation| compared.iter_changes(operation)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            lines.push(shortened(&format!("{sign}{}", change.value().trim_end_matches('\n'))));
        }
    }
    if lines.len() > LINES_KEPT_MAX {
        let left_out = lines.len() - LINES_KEPT_MAX;
        lines.truncate(LINES_KEPT_MAX);
        lines.push(format!(" … {left_out} more lines"));
    }
    lines
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(LINE_LENGTH_MAX) {
        Some((end, _)) => format!("{}… ({} characters)", &line[..end], line.chars().count()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshots::table;
    use crate::snapshots::take::RequestShown;

    const RULE: &str = "rndrkit.plan.pro";

    fn taken(contents: &str) -> Taken {
        let request = RequestShown {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            headers: BTreeMap::new(),
            body: None,
            signed: None,
        };
        let file = format!("rndrkit/{RULE}.snap");
        Taken { rule: RULE, file, description: RULE.to_owned(), request, contents: contents.to_owned() }
    }

    fn accepted(contents: &str) -> Accepted {
        let request = json!({"path": "/", "headers": {}, "method": "POST"});
        Accepted { description: RULE.to_owned(), request, contents: contents.to_owned() }
    }

    fn set(files: &[(&str, &str)]) -> AcceptedSet {
        files.iter().map(|(file, contents)| ((*file).to_owned(), accepted(contents))).collect()
    }

    fn reviewed(accepted: &AcceptedSet, answer: Result<Taken, String>, apis: &[Api]) -> Review {
        let shot = table::of_rule(RULE).expect("the rule's answer is under review");
        review("set", accepted, vec![(shot, answer)], apis, true).0
    }

    const FILE: &str = "rndrkit/rndrkit.plan.pro.snap";

    #[test]
    fn the_accepted_answer_agrees() {
        let review = reviewed(&set(&[(FILE, "one\n")]), Ok(taken("one")), &Api::ALL);
        assert_eq!((review.agree.as_slice(), review.fails()), ([RULE.to_owned()].as_slice(), false));
    }

    #[test]
    fn another_answer_shows_what_differs() {
        let review = reviewed(&set(&[(FILE, "one\ntwo")]), Ok(taken("one\n2")), &Api::ALL);
        assert!(review.fails());
        let diff = &review.differences[0].diff;
        assert!(diff.contains(&"-two".to_owned()) && diff.contains(&"+2".to_owned()), "{diff:?}");
        assert_eq!(review.differences[0].kind, DifferenceKind::Changed);
    }

    #[test]
    fn another_request_or_source_is_a_difference_too() {
        for change in [
            |known: &mut Accepted| known.request["path"] = json!("/other"),
            |known: &mut Accepted| known.description = "another".to_owned(),
        ] {
            let mut known = set(&[(FILE, "one")]);
            change(known.get_mut(FILE).expect("the set has the file"));
            assert!(reviewed(&known, Ok(taken("one")), &Api::ALL).fails());
        }
    }

    #[test]
    fn an_answer_without_an_accepted_one_is_new() {
        let review = reviewed(&AcceptedSet::new(), Ok(taken("one")), &Api::ALL);
        assert_eq!(review.differences[0].kind, DifferenceKind::New);
        assert!(review.fails());
    }

    #[test]
    fn a_file_without_a_rule_fails_a_whole_run_only() {
        let known = set(&[(FILE, "one"), ("rndrkit/rndrkit.plan.gone.snap", "x"), ("stray.snap", "x")]);
        let mut review = reviewed(&known, Ok(taken("one")), &Api::ALL);
        assert_eq!(review.unreferenced, ["rndrkit/rndrkit.plan.gone.snap", "stray.snap"]);
        assert!(review.fails());
        review.whole = false;
        assert!(!review.fails());
    }

    #[test]
    fn files_out_of_scope_are_not_unreferenced() {
        let known = set(&[(FILE, "one"), ("rndrkit/rndrkit.plan.starter.snap", "x"), ("craftkit/gone.snap", "x")]);
        assert!(reviewed(&known, Ok(taken("one")), &[Api::Rndrkit]).unreferenced.is_empty());
    }

    #[test]
    fn an_answer_that_did_not_come_is_neither_right_nor_wrong() {
        let review = reviewed(&set(&[(FILE, "one")]), Err("timed out".to_owned()), &Api::ALL);
        assert!(!review.fails() && review.agree.is_empty());
        assert_eq!((review.not_compared[0].reason.as_str(), review.is_open()), ("timed out", true));
        let review = reviewed(&AcceptedSet::new(), Err("timed out".to_owned()), &Api::ALL);
        assert!(!review.is_open(), "nobody expects an answer");
    }

    #[test]
    fn a_difference_is_bounded_whatever_came() {
        let long: String = (0..50_000).map(|line| format!("{line}\n")).collect();
        let review = reviewed(&set(&[(FILE, "one")]), Ok(taken(&format!("{long}{}", "x".repeat(100_000)))), &Api::ALL);
        let diff = &review.differences[0].diff;
        assert!(diff.len() <= LINES_KEPT_MAX + 1);
        let review = reviewed(&set(&[(FILE, "one")]), Ok(taken(&"x".repeat(100_000))), &Api::ALL);
        assert!(review.differences[0].diff.iter().all(|line| line.chars().count() < LINE_LENGTH_MAX + 40));
    }
}
