//! The report for a person at a terminal.

use std::fmt::Write as _;

use crate::api::Api;
use crate::catalogue;
use crate::checks::generated::{case_at, script};
use crate::evidence::{Evidence, Exchange};
use crate::verdict::{Finding, Status, Verdict};

use super::{CheckReport, KnownReport, Report, RuleReport};
use crate::known::KnownState;
use crate::runner::Stopped;

/// Exchanges shown of a timeline; a longer one is shortened in the middle.
const TIMELINE_MAX: usize = 40;

/// Characters shown of a line of a generated case's script; the JSON report and the kept case have all.
const SCRIPT_LINE_MAX: usize = 1000;

/// How much is said, and in which dress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// Use colours.
    pub color: bool,
    /// Say only what needs attention.
    pub quiet: bool,
    /// Say what each check took, too.
    pub verbose: bool,
}

/// The first line of a run.
pub fn opening(target: &str, implementation: &str) -> String {
    format!("hookproof check: target {} ({})", printable(target), printable(implementation))
}

/// The whole report as text.
pub fn render(report: &Report, manner: Manner) -> String {
    let paint = Paint(manner.color);
    let mut text = String::new();
    if !manner.quiet {
        for api in &report.scope.apis {
            table(&mut text, report, *api, paint);
        }
    }
    if manner.verbose {
        checks(&mut text, report);
    }
    for status in [Status::Fail, Status::Warn, Status::Inconclusive, Status::Known] {
        for rule in report.rules.iter().filter(|rule| rule.status == status) {
            explain(&mut text, report, rule, paint);
        }
    }
    known(&mut text, report);
    not_run(&mut text, report);
    pending(&mut text, report);
    if let Some(review) = &report.snapshots {
        super::snapshots::terminal(&mut text, review);
    }
    leftovers(&mut text, report);
    scope(&mut text, report);
    limiter(&mut text, report);
    observations(&mut text, report, manner.verbose);
    closing(&mut text, report, paint);
    text
}

macro_rules! say {
    ($text:expr, $($rest:tt)*) => {
        writeln!($text, $($rest)*).expect("writing to a string does not fail")
    };
}

fn table(text: &mut String, report: &Report, api: Api, paint: Paint) {
    let prefix = format!("{}.", api.name());
    let rules: Vec<&RuleReport> = report.rules.iter().filter(|rule| rule.id.starts_with(&prefix)).collect();
    if rules.iter().all(|rule| rule.status == Status::Excluded) {
        return;
    }
    say!(text, "\n{}", api.name());
    for rule in rules {
        if rule.status == Status::Excluded || rule.reason == super::PENDING {
            continue;
        }
        let level = if rule.level == "should" { "  (should)" } else { "" };
        say!(text, "  {} {}{level}", paint.status(rule.status), rule.id);
    }
}

fn checks(text: &mut String, report: &Report) {
    say!(text, "\nchecks");
    for check in &report.checks {
        let requests = check.evidence.exchanges.len();
        say!(text, "  {:>5} ms {:>4} requests  {}", check.duration_ms, requests, check.id);
    }
}

fn explain(text: &mut String, report: &Report, rule: &RuleReport, paint: Paint) {
    say!(text, "\n{} {} ({})", paint.status(rule.status), rule.id, rule.level);
    if let Some(entry) = catalogue::find(&rule.id) {
        say!(text, "  demand      {}", entry.demand);
        if let Some(part) = entry.should_part.filter(|_| rule.status == Status::Warn) {
            say!(text, "  should part {part}");
        }
        say!(text, "  source      {} ({})", entry.source.text, entry.source.kind.name());
    }
    let Some((check, finding)) = report.deciding(rule) else {
        say!(text, "  actual      {}", printable(&rule.reason));
        return;
    };
    for expected in &finding.expected {
        say!(text, "  acceptable  {}", printable(expected));
    }
    say!(text, "  actual      {}", printable(&finding.actual));
    say!(text, "  check       {}", check.id);
    timeline(text, check, finding);
    if let Some(exchange) = finding.exchange.and_then(|at| check.evidence.exchanges.get(at)) {
        say!(text, "  repeat      {}", printable(&exchange.curl));
    }
    let generated = finding.exchange.and_then(|at| case_at(&check.evidence, at));
    for (number, line) in generated.map(|case| script(&check.evidence, case)).unwrap_or_default().iter().enumerate() {
        let head = if number == 0 { "all of it" } else { "" };
        say!(text, "  {head:<11} {}", printable(&bounded(line, SCRIPT_LINE_MAX)));
    }
}

fn timeline(text: &mut String, check: &CheckReport, finding: &Finding) {
    let lines = timeline_lines(check, finding);
    if !lines.is_empty() {
        say!(text, "  timeline    after         step: request → answer");
    }
    for line in lines {
        say!(text, "            {line}");
    }
}

/// Every exchange of the check in order, with the target's time: what a rate limit's verdict rests on.
pub fn timeline_lines(check: &CheckReport, finding: &Finding) -> Vec<String> {
    let exchanges = &check.evidence.exchanges;
    let Some(first) = exchanges.first() else { return Vec::new() };
    let shown_at = finding.exchange.unwrap_or(exchanges.len() - 1);
    let near = |at: usize| at.abs_diff(shown_at) <= TIMELINE_MAX / 2 || at < TIMELINE_MAX / 4;
    let mut lines = Vec::new();
    let mut left_out = 0;
    for (at, exchange) in exchanges.iter().enumerate() {
        if !near(at) {
            left_out += 1;
            continue;
        }
        if left_out > 0 {
            lines.push(format!("  … {left_out} more"));
            left_out = 0;
        }
        let mark = if finding.exchange == Some(at) { ">" } else { " " };
        lines.push(format!("{mark} {}", timeline_entry(&check.evidence, first, exchange)));
    }
    if left_out > 0 {
        lines.push(format!("  … {left_out} more"));
    }
    lines
}

fn timeline_entry(evidence: &Evidence, first: &Exchange, exchange: &Exchange) -> String {
    let (least_ms, _) = evidence.elapsed_ms(first, exchange);
    let real_ms = exchange.start_ns.saturating_sub(first.start_ns) / 1_000_000;
    let after_ms = match evidence.clock {
        crate::evidence::ClockKind::Manual => least_ms + real_ms,
        crate::evidence::ClockKind::System => real_ms,
    };
    let path = exchange.request.url.splitn(4, '/').nth(3).unwrap_or_default();
    let body = exchange.request.body.as_ref().and_then(|body| body.text()).unwrap_or_default();
    format!(
        "{:>12} {}: {} /{path} {} → {}",
        clock_words(after_ms),
        exchange.label,
        exchange.request.method,
        printable(&shortened(body)),
        printable(&shortened(&crate::checks::judge::actual(exchange))),
    )
}

/// Milliseconds as `h:mm:ss.mmm`.
fn clock_words(ms: u64) -> String {
    format!("{}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 100;
    bounded(text, SHOWN_MAX)
}

fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// True for characters that do something to a terminal or to the order of the text around them; all are of the basic plane.
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Nothing a target says may steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(
            |character| {
                if steers(character) { character.escape_unicode().collect::<Vec<char>>() } else { vec![character] }
            },
        )
        .collect()
}

fn not_run(text: &mut String, report: &Report) {
    let rules: Vec<&RuleReport> =
        report.rules.iter().filter(|rule| rule.status == Status::NotRun && rule.reason != super::PENDING).collect();
    // Checks that only add to others: their rules are judged, but not in every way.
    let extras = report.checks.iter().filter_map(|check| {
        let stopped = check.stopped.as_ref().filter(|stopped| stopped.status == Status::NotApplicable)?;
        Some((check, stopped))
    });
    let extras: Vec<(&CheckReport, &Stopped)> = extras.collect();
    if rules.is_empty() && extras.is_empty() {
        return;
    }
    say!(text, "\nnot run");
    for rule in rules {
        say!(text, "  {}: {}", rule.id, printable(&rule.reason));
    }
    for (check, stopped) in extras {
        say!(text, "  check {}, which only adds to others: {}", check.id, printable(&stopped.reason));
    }
}

fn pending(text: &mut String, report: &Report) {
    let pending = report.pending();
    if pending.is_empty() {
        return;
    }
    say!(text, "\npending: {} rules have no check in this version", pending.len());
    for rule in pending {
        say!(text, "  {}", rule.id);
    }
}

fn leftovers(text: &mut String, report: &Report) {
    if !report.not_deleted.is_empty() {
        say!(text, "\nleft behind at the target");
        for left in &report.not_deleted {
            say!(text, "  {} {}: {}", left.method, printable(&left.value), printable(&left.reason));
        }
    }
    for defect in &report.defects {
        say!(text, "\ndefect of hookproof, please report it: {}", printable(defect));
    }
}

fn known(text: &mut String, report: &Report) {
    for known in &report.known_failures {
        match known.state {
            KnownState::Fails => {
                say!(text, "\nknown failure {}: {}", known.entry.rule, printable(&known.entry.reason));
            }
            KnownState::NotJudged => {
                let (rule, reason) = (&known.entry.rule, printable(&known.entry.reason));
                say!(text, "\nknown failure {rule} (not judged in this run): {reason}");
            }
            KnownState::Holds | KnownState::Expired => say!(text, "\nFAIL {}", printable(&stale_words(known))),
        }
    }
}

/// Why an entry of the list of known failures is a failure itself.
pub fn stale_words(known: &KnownReport) -> String {
    let rule = &known.entry.rule;
    match known.state {
        KnownState::Holds => {
            format!("{rule} is listed as a known failure, and it holds: remove it from [[known_failures]]")
        }
        KnownState::Expired => {
            let day = known.entry.expires.as_deref().unwrap_or_default();
            format!("{rule} is listed as a known failure until {day}, which is over: mend it or set another date")
        }
        KnownState::Fails | KnownState::NotJudged => format!("{rule} is a known failure"),
    }
}

/// The options and entries that narrowed the run, as typed; empty for a whole run.
pub fn scope_words(report: &Report) -> String {
    let scope = &report.scope;
    let mut parts: Vec<String> = Vec::new();
    parts.extend(scope.only.iter().map(|glob| format!("--only {glob}")));
    parts.extend(scope.skip.iter().map(|glob| format!("--skip {glob}")));
    parts.extend(scope.api.map(|api| format!("--api {}", api.name())));
    parts.extend((scope.cases == 0).then(|| "--cases 0".to_owned()));
    parts.extend(scope.excluded.iter().map(|entry| format!("[[exclude]] {} ({})", entry.rule, entry.reason)));
    parts.join(" ")
}

fn scope(text: &mut String, report: &Report) {
    let words = scope_words(report);
    if !words.is_empty() {
        say!(
            text,
            "\nnarrowed by {}: says nothing about the {} rules left out",
            printable(&words),
            report.summary.excluded
        );
    }
}

fn observations(text: &mut String, report: &Report, each: bool) {
    let made = report.observations.iter().filter(|observation| observation.was_made()).count();
    if !report.observations.is_empty() {
        say!(
            text,
            "\n{made} behaviours observed, which nobody judges{}",
            if each { "" } else { " (--verbose lists them)" }
        );
    }
    for observation in report.observations.iter().filter(|_| each) {
        say!(text, "  {}: {}", observation.id, printable(&observation.value));
    }
}

fn limiter(text: &mut String, report: &Report) {
    if let Some(limiter) = &report.limiter {
        say!(text, "\nlimiter: {}", printable(&limiter.words()));
    }
}

/// A number of things.
fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

fn closing(text: &mut String, report: &Report, paint: Paint) {
    let summary = &report.summary;
    let counts = [
        (summary.pass, "passed"),
        (summary.fail, "failed"),
        (summary.warn, "warned"),
        (summary.inconclusive, "inconclusive"),
        (summary.not_run, "not run"),
        (summary.not_applicable, "not applicable"),
        (summary.known, "known to fail"),
        (summary.excluded, "left out"),
    ];
    let said: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let rules = report.rules.len() - summary.excluded;
    let requests: usize = report.checks.iter().map(|check| check.evidence.exchanges.len()).sum();
    say!(
        text,
        "\n{}: {} ({}, {}, {} ms, seed {})",
        counted(rules, "rule"),
        said.join(", "),
        counted(report.checks.len(), "check"),
        counted(requests, "request"),
        report.duration_ms,
        report.seed
    );
    // The verdict is about the rules; snapshots may fail a run beside it.
    let review = report.snapshots.as_ref().filter(|review| review.fails());
    let reviewed = review.map_or("", |_| "; snapshots differ");
    say!(text, "target {}: {}{reviewed}", printable(&report.target.name), paint.verdict(report.verdict));
}

/// Colours, or none.
#[derive(Clone, Copy)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    pub(super) fn status(self, status: Status) -> String {
        let (word, color) = match status {
            Status::Pass => ("pass        ", 32),
            Status::Fail => ("FAIL        ", 31),
            Status::Warn => ("warn        ", 33),
            Status::Inconclusive => ("inconclusive", 35),
            Status::NotRun => ("not run     ", 35),
            Status::NotApplicable => ("n/a         ", 36),
            Status::Known => ("known       ", 33),
            Status::Excluded => ("left out    ", 90),
        };
        self.paint(word, color)
    }

    fn verdict(self, verdict: Verdict) -> String {
        let color = match verdict {
            Verdict::Conforms => 32,
            Verdict::DoesNotConform => 31,
            Verdict::Incomplete | Verdict::Partial | Verdict::Interrupted => 33,
        };
        self.paint(verdict.words(), color)
    }

    pub(super) fn paint(self, word: &str, color: u8) -> String {
        if self.0 { format!("\u{1b}[{color}m{word}\u{1b}[0m") } else { word.to_owned() }
    }
}
