//! The kill matrix of `prove`, as text, Markdown and JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::markdown::escaped;
use super::terminal::printable;
use crate::catalogue::{self, Level};
use crate::prove::{Fate, Trial};

/// Must rules that no deviation of these breaks.
pub fn uncovered(trials: &[Trial]) -> Vec<&'static str> {
    let broken = |rule: &str| {
        trials.iter().any(|trial| {
            reference_server::deviations::named(&trial.deviation)
                .is_some_and(|deviation| deviation.turns_red.contains(&rule))
        })
    };
    let musts = catalogue::all().filter(|rule| rule.level == Level::Must);
    musts.map(|rule| rule.id).filter(|rule| !broken(rule)).collect()
}

/// What became of deviations, in their order.
pub struct Matrix {
    /// Those that were tried to the end.
    pub trials: Vec<Trial>,
    /// How many were not, because a signal came.
    pub untried: usize,
}

impl Matrix {
    /// As text: a line a deviation, then what went wrong.
    pub fn text(&self) -> String {
        let mut text = text(&self.trials);
        if self.untried > 0 {
            writeln!(text, "{}", self.interrupted()).expect("writing to a string does not fail");
        }
        text
    }

    /// As a Markdown table: deviation × rules found broken.
    pub fn markdown(&self) -> String {
        let mut text = markdown(&self.trials);
        if self.untried > 0 {
            writeln!(text, "\n{}", self.interrupted()).expect("writing to a string does not fail");
        }
        text
    }

    /// As JSON.
    pub fn value(&self) -> Value {
        json!({"schema": "hookproof.prove/1", "untried": self.untried, "trials": self.trials})
    }

    fn interrupted(&self) -> String {
        format!("interrupted: not tried to the end: {}", self.untried)
    }
}

/// As text: a line a deviation, then what went wrong.
pub fn text(trials: &[Trial]) -> String {
    let mut text = String::new();
    for trial in trials {
        writeln!(text, "{:9} {:40} {}", word(&trial.fate), trial.deviation, trial.red.join(", "))
            .expect("writing to a string does not fail");
    }
    for trial in trials.iter().filter(|trial| !trial.is_killed()) {
        writeln!(text, "\n{}: {}", trial.deviation, trial.defect).expect("writing to a string does not fail");
        for reason in reasons(&trial.fate) {
            writeln!(text, "  {}", printable(reason)).expect("writing to a string does not fail");
        }
    }
    let killed = trials.iter().filter(|trial| trial.is_killed()).count();
    writeln!(text, "\n{killed} of {} deviations caught for the right reason", trials.len())
        .expect("writing to a string does not fail");
    text
}

fn markdown(trials: &[Trial]) -> String {
    let mut text = String::from("| deviation | defect | fate | rules found broken |\n|---|---|---|---|\n");
    for trial in trials {
        let red: Vec<String> = trial.red.iter().map(|rule| format!("`{rule}`")).collect();
        writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            trial.deviation,
            escaped(&trial.defect),
            word(&trial.fate),
            red.join(" ")
        )
        .expect("writing to a string does not fail");
    }
    text
}

fn word(fate: &Fate) -> &'static str {
    match fate {
        Fate::Killed => "killed",
        Fate::Survived { .. } => "SURVIVED",
        Fate::WrongReason { .. } => "STRAY",
        Fate::Broken { .. } => "BROKEN",
    }
}

fn reasons(fate: &Fate) -> Vec<&str> {
    match fate {
        Fate::Killed => Vec::new(),
        Fate::Survived { missed } => missed.iter().map(String::as_str).collect(),
        Fate::WrongReason { strays } => strays.iter().map(String::as_str).collect(),
        Fate::Broken { reason } => vec![reason],
    }
}
