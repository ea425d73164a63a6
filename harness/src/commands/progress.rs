//! How far a run is: a bar on a terminal, plain lines on stderr elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::runner::{Event, in_words};

/// Plain lines tell of every such part of the run.
const PARTS: usize = 4;

/// Shows the progress of one run.
pub(super) struct Progress {
    shown: Shown,
    total: usize,
    ended: usize,
    /// Real time that the longest check waits for windows to pass.
    wait: Duration,
}

enum Shown {
    Nothing,
    Bar(ProgressBar),
    Lines,
}

impl Progress {
    /// Shows nothing if `quiet`; otherwise what suits stderr. `wait` is real time that the run cannot do without.
    pub(super) fn new(quiet: bool, wait: Duration) -> Progress {
        let shown = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Shown::Nothing,
            (false, true) => Shown::Bar(bar()),
            (false, false) => Shown::Lines,
        };
        Progress { shown, total: 0, ended: 0, wait }
    }

    /// Takes note of an event.
    pub(super) fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { checks } => self.start(*checks),
            Event::CheckStarted(check) => {
                if let Shown::Bar(bar) = &self.shown {
                    bar.set_message(check.id);
                }
            }
            Event::CheckEnded(_) => self.step(),
        }
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    fn start(&mut self, checks: usize) {
        self.total = checks;
        let waiting = if self.wait.is_zero() { String::new() } else { self.waiting() };
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => {
                bar.set_length(checks as u64);
                if !waiting.is_empty() {
                    bar.println(waiting);
                }
            }
            Shown::Lines => {
                eprintln!("{checks} checks begin");
                if !waiting.is_empty() {
                    eprintln!("{waiting}");
                }
            }
        }
    }

    /// What is awaited, and until when.
    fn waiting(&self) -> String {
        let until = jiff::Zoned::now().checked_add(jiff::SignedDuration::try_from(self.wait).unwrap_or_default());
        let until =
            until.map_or(String::new(), |until| format!(", until about {}", until.strftime("%Y-%m-%d %H:%M:%S")));
        format!("windows pass in real time: this takes {}{until}", in_words(self.wait))
    }

    fn step(&mut self) {
        let part = |ended: usize| ended * PARTS / self.total.max(1);
        let before = part(self.ended);
        self.ended += 1;
        let after = part(self.ended);
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.inc(1),
            Shown::Lines if before != after => eprintln!("{} of {} checks done", self.ended, self.total),
            Shown::Lines => {}
        }
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {elapsed} {msg}");
    bar.set_style(style.expect("the template is well-formed"));
    // A run that waits for windows shows by the time that goes by that it lives.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
