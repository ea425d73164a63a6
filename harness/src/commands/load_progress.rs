//! How load goes while it goes: one line that changes on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use scenarios::live::{Live, Snapshot};
use scenarios::scenario::Scenario;
use tokio::task::JoinHandle;

use crate::load::Event;

/// Between two looks on a terminal.
const LOOK: Duration = Duration::from_millis(200);
/// Between two plain lines.
const LINE: Duration = Duration::from_secs(3);

/// Shows the progress of one run.
pub(super) struct Progress {
    manner: Manner,
    shown: Option<Shown>,
}

#[derive(Clone, Copy)]
enum Manner {
    Nothing,
    Bar,
    Lines,
}

/// What is shown of the scenario that runs.
struct Shown {
    bar: Option<ProgressBar>,
    looking: JoinHandle<()>,
    live: Arc<Live>,
}

impl Progress {
    /// Shows nothing if `quiet`; otherwise what suits stderr.
    pub(super) fn new(quiet: bool) -> Progress {
        let manner = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Manner::Nothing,
            (false, true) => Manner::Bar,
            (false, false) => Manner::Lines,
        };
        Progress { manner, shown: None }
    }

    /// Takes note of an event.
    pub(super) fn show(&mut self, event: Event) {
        match event {
            Event::Began(scenario, live) => self.begin(scenario, live),
            Event::Ended(scenario) => self.end(scenario),
        }
    }

    fn begin(&mut self, scenario: Scenario, live: Arc<Live>) {
        let bar = match self.manner {
            Manner::Nothing => return,
            Manner::Bar => Some(bar(scenario)),
            Manner::Lines => None,
        };
        let pause = if bar.is_some() { LOOK } else { LINE };
        let (seen, line) = (Arc::clone(&live), bar.clone());
        let looking = tokio::spawn(async move {
            let mut looks = tokio::time::interval(pause);
            looks.tick().await;
            loop {
                looks.tick().await;
                let words = words(&seen.snapshot());
                match &line {
                    Some(bar) => bar.set_message(words),
                    None => eprintln!("{scenario}: {words}"),
                }
            }
        });
        self.shown = Some(Shown { bar, looking, live });
    }

    fn end(&mut self, scenario: Scenario) {
        let Some(shown) = self.shown.take() else { return };
        shown.looking.abort();
        if let Some(bar) = shown.bar {
            bar.finish_and_clear();
        }
        eprintln!("{scenario}: {}", words(&shown.live.snapshot()));
    }
}

/// Target and sent rate, in flight, lateness, answers, worst domain.
fn words(seen: &Snapshot) -> String {
    let mut parts = vec![format!("{} of {} sent", seen.begun, seen.planned)];
    let seconds = seen.elapsed.as_secs_f64();
    if seconds > 0.0 {
        #[expect(clippy::cast_precision_loss, reason = "whole requests a second are shown")]
        let rate = |count: u64| count as f64 / seconds;
        parts.push(format!("{:.0}/s due, {:.0}/s sent", rate(seen.due), rate(seen.begun)));
    }
    parts.push(format!("{} in flight", seen.in_flight));
    parts.push(format!("{} ms late", seen.lateness.as_millis()));
    let answers: Vec<String> = seen.statuses.iter().map(|(status, count)| format!("{status} × {count}")).collect();
    if !answers.is_empty() {
        parts.push(answers.join(" "));
    }
    if seen.unknown > 0 {
        parts.push(format!("outcome unknown × {}", seen.unknown));
    }
    if let Some((domain, served)) = &seen.worst_domain {
        parts.push(format!("most served: {} × {served}", crate::report::terminal::printable(domain)));
    }
    parts.join(", ")
}

fn bar(scenario: Scenario) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed} {msg}");
    bar.set_style(style.expect("the template is well-formed"));
    bar.set_prefix(scenario.name());
    bar.enable_steady_tick(LOOK);
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_says_how_far_how_fast_how_late_and_what_was_answered() {
        let seen = Snapshot {
            elapsed: Duration::from_secs(2),
            planned: 400,
            due: 200,
            begun: 190,
            in_flight: 7,
            lateness: Duration::from_millis(3),
            statuses: [("2xx".to_owned(), 150), ("429".to_owned(), 33)].into(),
            unknown: 1,
            worst_domain: Some(("d\u{1b}1".to_owned(), 10)),
        };
        assert_eq!(
            words(&seen),
            "190 of 400 sent, 100/s due, 95/s sent, 7 in flight, 3 ms late, 2xx × 150 429 × 33, \
             outcome unknown × 1, most served: d\\u{1b}1 × 10"
        );
    }
}
