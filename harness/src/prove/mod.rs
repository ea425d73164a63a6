//! Proof that the suite catches what it claims: it is run on every server that is wrong on purpose.

use std::collections::BTreeSet;

use globset::GlobMatcher;
use reference_server::deviations::Deviation;
use serde::Serialize;

use crate::runner::open::{self, OpenError, RunSettings};
use crate::runner::select::{Narrowing, select};
use crate::runner::{self, CheckResult, Interrupt, Pace};
use crate::verdict::{Finding, Status, worst};

/// Of the checks that a deviation does not concern, one in this many is run all the same, to see that it stays green.
const SAMPLE: usize = 10;

/// Why a deviation was not noticed, or not for the right reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Exactly what should be red is red.
    Killed,
    /// Rules that it breaks were not found broken.
    Survived {
        /// Those rules with what was said of them.
        missed: Vec<String>,
    },
    /// Rules that it does not break were found broken.
    WrongReason {
        /// Those rules with what was said of them.
        strays: Vec<String>,
    },
    /// The server or the suite itself failed.
    Broken {
        /// In words.
        reason: String,
    },
}

/// What became of one deviation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// Its name.
    pub deviation: String,
    /// What is wrong with the server.
    pub defect: String,
    /// What became of it.
    pub fate: Fate,
    /// Every rule that was found broken.
    pub red: Vec<String>,
    /// How many checks were run.
    pub checks: usize,
}

impl Trial {
    /// True if it was caught for the right reason.
    pub fn is_killed(&self) -> bool {
        self.fate == Fate::Killed
    }
}

/// Runs the suite on one deviation's server: the checks of the rules it breaks and of its consequences, and a fixed tenth of the others.
/// With `all`, every check. Nothing comes of it if a signal came meanwhile: what was not judged would look like what was missed.
pub async fn try_one(
    deviation: &'static Deviation,
    all: bool,
    settings: RunSettings,
    interrupt: &Interrupt,
) -> Option<Trial> {
    let trial = |fate: Fate, red: Vec<String>, checks: usize| Trial {
        deviation: deviation.name.to_owned(),
        defect: deviation.defect.to_owned(),
        fate,
        red,
        checks,
    };
    let judged = judge(deviation, all, settings, interrupt).await;
    if interrupt.borrow().is_some() {
        return None;
    }
    Some(match judged {
        Err(error) => trial(Fate::Broken { reason: error.to_string() }, Vec::new(), 0),
        Ok(results) => {
            let (fate, red) = weigh(deviation, &results);
            trial(fate, red, results.len())
        }
    })
}

async fn judge(
    deviation: &'static Deviation,
    all: bool,
    settings: RunSettings,
    interrupt: &Interrupt,
) -> Result<Vec<CheckResult>, OpenError> {
    let target = open::builtin(deviation.parts(), settings).await?;
    // Elsewhere the examples must do: they show each of those defects, and generated cases would only take their time.
    let between = reference_server::deviations::between_examples().any(|known| known.name == deviation.name);
    let narrowing = Narrowing { no_cases: !between, ..Narrowing::default() };
    let selected = select(&narrowing, &runner::apis(&target.world));
    let mut selection = selected.expect("without filters everything is in scope");
    let concerned: BTreeSet<&str> = deviation.turns_red.iter().chain(deviation.consequences).copied().collect();
    let mut position = 0;
    selection.checks.retain(|check| {
        position += 1;
        all || (position % SAMPLE == 0 && !check.needs.generated)
            || check.rules.iter().any(|rule| concerned.contains(rule))
    });
    let pace = Pace { patience: std::time::Duration::ZERO, run_time: runner::RUN_TIME_MAX };
    let run = runner::run(&target.world, &selection, pace, interrupt, |_| {}).await;
    target.close().await;
    Ok(run.results)
}

/// Compares what was found with what the deviation breaks. Pure.
fn weigh(deviation: &Deviation, results: &[CheckResult]) -> (Fate, Vec<String>) {
    if let Some(defect) = results.iter().find_map(|result| result.defect.clone()) {
        return (Fate::Broken { reason: defect }, Vec::new());
    }
    let findings: Vec<&Finding> = results.iter().flat_map(|result| &result.findings).collect();
    let of_rule = |rule: &str| worst(findings.iter().copied().filter(|finding| finding.rule == rule));
    let rules: BTreeSet<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    let is_red = |rule: &str| of_rule(rule).is_some_and(|finding| finding.status.is_red());
    let red: Vec<String> = rules.iter().filter(|rule| is_red(rule)).map(|rule| (*rule).to_owned()).collect();
    let said = |rule: &str| match of_rule(rule) {
        Some(finding) => format!("{rule} is {}: {}", status_word(finding.status), finding.actual),
        None => format!("{rule} was not judged"),
    };
    let missed: Vec<String> = deviation.turns_red.iter().filter(|rule| !is_red(rule)).map(|rule| said(rule)).collect();
    let listed = |rule: &&String| {
        deviation.turns_red.contains(&rule.as_str()) || deviation.consequences.contains(&rule.as_str())
    };
    let strays: Vec<String> = red.iter().filter(|rule| !listed(rule)).map(|rule| said(rule)).collect();
    let fate = if !missed.is_empty() {
        Fate::Survived { missed }
    } else if !strays.is_empty() {
        Fate::WrongReason { strays }
    } else {
        Fate::Killed
    };
    (fate, red)
}

fn status_word(status: Status) -> &'static str {
    status.name()
}

/// Deviations whose name or one of whose rules a glob matches; all without globs.
pub fn chosen(only: &[GlobMatcher]) -> Vec<&'static Deviation> {
    let wanted = |deviation: &&Deviation| {
        only.is_empty()
            || only
                .iter()
                .any(|glob| glob.is_match(deviation.name) || deviation.turns_red.iter().any(|rule| glob.is_match(rule)))
    };
    reference_server::deviations::all().filter(wanted).collect()
}
