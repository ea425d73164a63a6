//! Thresholds: rules about latencies and ratios that a run must keep.
//!
//! # Grammar
//!
//! ```text
//! rule     = measure op bound [ "for" operation ] [ "in" scenario ]
//! measure  = [ selector ] ( "p" number | "max" | "mean" )     a latency
//!          | "error-ratio" | "unknown-ratio" | "late-ratio"   a part of all requests
//! selector = "response" | "service" | "lateness"              default: response, which counts waiting from when a request was due
//! op       = "<" | "<="
//! bound    = number ( "us" | "ms" | "s" )                     for a latency
//!          | number "%"                                       for a ratio
//! ```
//!
//! Such as `p99<250ms`, `service p99.9<=1s for refresh`, `error-ratio<1% in steady`. White space is free. With neither operation nor scenario a rule is
//! about all requests of all runs together. A rule with no samples fails: it would otherwise pass on a server that answers nothing. A rule that
//! nothing can keep, or that is about what no scenario does, is refused when it is read.
//!
//! An error is an answer that no working server gives to what was sent, no complete answer, or no connection; a 429 is none. Unknown is a request without a
//! complete answer. Late is one that was sent 50 ms or more after it was due. Latencies are kept to three digits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::nearest;
use crate::outcome::{LATE_NS, Operation, Run, Tally};
use crate::scenario::Scenario;

/// A rule, as [parsed](std::str::FromStr) from its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    text: String,
    measure: Measure,
    inclusive: bool,
    /// Nanoseconds for a latency, a part of 1 for a ratio.
    bound: f64,
    operation: Option<Operation>,
    scenario: Option<Scenario>,
}

const NS_PER_MS: f64 = 1_000_000.0;

/// The largest percentile, and the largest ratio in percent.
const WHOLE: f64 = 100.0;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Measure {
    Latency(Selector, Statistic),
    Ratio(Ratio),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selector {
    Response,
    Service,
    Lateness,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Statistic {
    Percentile(f64),
    Max,
    Mean,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ratio {
    Error,
    Unknown,
    Late,
}

/// What a rule came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The rule's text.
    pub rule: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was measured, such as `312.4ms` or `0.2 %`; `no samples`.
    pub found: String,
    /// Over how many requests.
    pub samples: u64,
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Threshold {
    /// The scenario it is about; none: all.
    pub fn scenario(&self) -> Option<Scenario> {
        self.scenario
    }

    /// Judges it on the runs that it is about, together.
    pub fn judge(&self, runs: &[Run]) -> Judged {
        let mut tally = Tally::default();
        for run in runs.iter().filter(|run| self.scenario.is_none_or(|scenario| scenario == run.scenario)) {
            for (operation, theirs) in &run.operations {
                if self.operation.is_none_or(|wanted| wanted == *operation) {
                    tally.add(theirs);
                }
            }
        }
        let (samples, value) = measured(self.measure, &tally);
        let judged = |holds, found| Judged { rule: self.text.clone(), holds, found, samples };
        if samples == 0 {
            return judged(false, "no samples".to_owned());
        }
        let holds = if self.inclusive { value <= self.bound } else { value < self.bound };
        match self.measure {
            Measure::Latency(..) => judged(holds, format!("{:.3}ms", value / NS_PER_MS)),
            Measure::Ratio(_) => judged(holds, format!("{:.3}%", value * WHOLE)),
        }
    }
}

/// How many samples there are, and what they come to.
fn measured(measure: Measure, tally: &Tally) -> (u64, f64) {
    let part = |count: u64, of: u64| (of, count as f64 / of.max(1) as f64);
    match measure {
        Measure::Latency(selector, statistic) => {
            let latencies = match selector {
                Selector::Response => &tally.response,
                Selector::Service => &tally.service,
                Selector::Lateness => &tally.lateness,
            };
            let value = match statistic {
                Statistic::Percentile(percentile) => latencies.value_at_percentile(percentile) as f64,
                Statistic::Max => latencies.max() as f64,
                Statistic::Mean => latencies.mean(),
            };
            (latencies.len(), value)
        }
        Measure::Ratio(Ratio::Error) => part(tally.errors, tally.sent() + tally.unsent),
        Measure::Ratio(Ratio::Unknown) => part(tally.unknown, tally.sent()),
        Measure::Ratio(Ratio::Late) => {
            let late = tally.lateness.count_between(LATE_NS, u64::MAX);
            part(late, tally.lateness.len())
        }
    }
}

/// A text that is no rule, or one that nothing can keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("threshold `{text}`: {problem}")]
pub struct ThresholdError {
    /// The text.
    pub text: String,
    /// What is wrong with it, and what would do.
    pub problem: String,
}

impl FromStr for Threshold {
    type Err = ThresholdError;

    fn from_str(text: &str) -> Result<Threshold, ThresholdError> {
        parse(text.trim()).map_err(|problem| ThresholdError { text: text.trim().to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Threshold, String> {
    let (measure, rest) = text
        .split_once('<')
        .ok_or_else(|| "expected `<` or `<=` between what is measured and its bound, as in `p99<250ms`".to_owned())?;
    let (inclusive, rest) = match rest.strip_prefix('=') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut words = rest.split_whitespace().peekable();
    let mut bound = words.next().unwrap_or_default().to_owned();
    // `250 ms` is `250ms`.
    if let Some(unit) = words.next_if(|word| UNITS.iter().any(|(unit, _)| unit == word)) {
        bound.push_str(unit);
    }
    let measure = parse_measure(measure)?;
    let bound = parse_bound(measure, inclusive, &bound)?;
    let (mut operation, mut scenario) = (None, None);
    while let Some(word) = words.next() {
        match (word, words.next()) {
            ("for", Some(name)) if operation.is_none() => operation = Some(parse_operation(name)?),
            ("in", Some(name)) if scenario.is_none() => {
                scenario = Some(name.parse::<Scenario>().map_err(|error| error.to_string())?);
            }
            (word, _) => return Err(format!("expected `for OPERATION` or `in SCENARIO`, once each, found `{word}`")),
        }
    }
    let threshold = Threshold { text: text.to_owned(), measure, inclusive, bound, operation, scenario };
    possible(&threshold).map(|()| threshold)
}

/// Refuses rules about what never happens.
fn possible(threshold: &Threshold) -> Result<(), String> {
    if let (Some(operation), Some(scenario)) = (threshold.operation, threshold.scenario)
        && !scenario.operations().contains(&operation)
    {
        let known: Vec<&str> = scenario.operations().iter().map(|operation| operation.name()).collect();
        return Err(format!("`{scenario}` sends no `{operation}`, only {}", known.join(" and ")));
    }
    let due = !matches!(threshold.measure, Measure::Latency(Selector::Lateness, _) | Measure::Ratio(Ratio::Late));
    if threshold.operation == Some(Operation::Poll) && !due {
        return Err("a poll has no time at which it is due, so it is never late".to_owned());
    }
    Ok(())
}

const RATIOS: [(&str, Ratio); 3] =
    [("error-ratio", Ratio::Error), ("unknown-ratio", Ratio::Unknown), ("late-ratio", Ratio::Late)];

const SELECTORS: [(&str, Selector); 3] =
    [("response", Selector::Response), ("service", Selector::Service), ("lateness", Selector::Lateness)];

/// Nanoseconds of each unit of time, and the part of a percent.
const UNITS: [(&str, f64); 4] = [("us", 1_000.0), ("ms", NS_PER_MS), ("s", 1_000_000_000.0), ("%", 1.0 / WHOLE)];

fn parse_measure(text: &str) -> Result<Measure, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (selector, statistic) = match words[..] {
        [ratio] if ratio.ends_with("ratio") || ratio.contains('-') => {
            let known = RATIOS.iter().find(|(name, _)| *name == ratio);
            let (_, ratio) = known.ok_or_else(|| {
                let hint = nearest::hint(nearest::name(ratio, RATIOS.iter().map(|(name, _)| *name)));
                format!("there is no `{ratio}`{hint}")
            })?;
            return Ok(Measure::Ratio(*ratio));
        }
        [statistic] => (Selector::Response, statistic),
        [selector, statistic] => {
            let known = SELECTORS.iter().find(|(name, _)| *name == selector);
            let (_, found) = known.ok_or_else(|| {
                let hint = nearest::hint(nearest::name(selector, SELECTORS.iter().map(|(name, _)| *name)));
                format!("expected `response`, `service` or `lateness`, found `{selector}`{hint}")
            })?;
            (*found, statistic)
        }
        _ => return Err(format!("expected what is measured before `<`, such as `p99`, found `{}`", text.trim())),
    };
    parse_statistic(statistic).map(|statistic| Measure::Latency(selector, statistic))
}

fn parse_statistic(text: &str) -> Result<Statistic, String> {
    match text {
        "max" => return Ok(Statistic::Max),
        "mean" => return Ok(Statistic::Mean),
        _ => {}
    }
    let percentile = text.strip_prefix('p').and_then(plain_number);
    let percentile = percentile.ok_or_else(|| {
        let known = ["max", "mean"].into_iter().chain(RATIOS.iter().map(|(name, _)| *name));
        let hint = nearest::hint(nearest::name(text, known));
        format!("expected a percentile such as `p99`, `max`, `mean` or a ratio, found `{text}`{hint}")
    })?;
    if percentile <= 0.0 || percentile > WHOLE {
        return Err(format!("a percentile is above 0 and at most 100, not {percentile}"));
    }
    Ok(Statistic::Percentile(percentile))
}

/// Digits with at most one point: no sign, no exponent, no infinity.
fn plain_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse::<f64>().ok().filter(|_| plain)
}

fn parse_bound(measure: Measure, inclusive: bool, text: &str) -> Result<f64, String> {
    let ratio = matches!(measure, Measure::Ratio(_));
    let form = if ratio { "a percentage such as `1%`" } else { "a time such as `250ms` (us, ms or s)" };
    let wrong = || format!("expected {form} as the bound, found `{text}`");
    let cut = text.find(|c: char| c.is_ascii_alphabetic() || c == '%').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(cut);
    let (unit, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    if (*unit == "%") != ratio {
        return Err(wrong());
    }
    if number.starts_with('-') {
        return Err(format!("nothing is below `{text}`: a bound is not negative"));
    }
    let number = plain_number(number).ok_or_else(wrong)?;
    if number == 0.0 && !(ratio && inclusive) {
        return Err(format!("nothing keeps a bound of `{text}`"));
    }
    if ratio && (number > WHOLE || number == WHOLE && inclusive) {
        return Err(format!("a ratio is never above 100 %, so `{text}` says nothing"));
    }
    let bound = number * factor;
    if !ratio && Duration::try_from_secs_f64(bound / 1e9).is_err() {
        return Err(wrong());
    }
    Ok(bound)
}

fn parse_operation(name: &str) -> Result<Operation, String> {
    let known = Operation::ALL.into_iter().find(|operation| operation.name() == name);
    known.ok_or_else(|| {
        let hint = nearest::hint(nearest::name(name, Operation::ALL.into_iter().map(Operation::name)));
        let all = Operation::ALL.map(Operation::name).join(", ");
        format!("there is no operation `{name}` (there are {all}){hint}")
    })
}

#[cfg(test)]
mod tests;
