//! Sentences with instants left open, since only their reader knows which clock to show.

use crate::audit::{Kind, Request};

/// A piece of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Words.
    Words(String),
    /// An instant.
    Instant(i64),
}

/// A sentence in the making.
#[derive(Debug, Default)]
pub(crate) struct Phrase(Vec<Part>);

impl Phrase {
    pub(super) fn say(mut self, words: impl Into<String>) -> Phrase {
        self.0.push(Part::Words(words.into()));
        self
    }

    pub(super) fn at(mut self, instant: i64) -> Phrase {
        self.0.push(Part::Instant(instant));
        self
    }

    /// A request with its interval.
    pub(super) fn request(self, request: &Request) -> Phrase {
        let last = match request.kind {
            Kind::Counted | Kind::Refused => Some(request.end),
            Kind::Perhaps { until } => until,
        };
        let phrase = self.say(format!("#{} [", request.n)).at(request.start).say(" – ");
        match last {
            Some(last) => phrase.at(last).say("]"),
            None => phrase.say("…]"),
        }
    }

    /// Requests with their intervals, separated by commas.
    pub(super) fn requests(self, requests: &[Request]) -> Phrase {
        requests.iter().enumerate().fold(self, |phrase, (index, request)| {
            let phrase = if index > 0 { phrase.say(", ") } else { phrase };
            phrase.request(request)
        })
    }

    pub(super) fn parts(self) -> Vec<Part> {
        self.0
    }
}

/// A length of time in words, from hours down to nanoseconds, the smallest parts left out where they are nought.
pub(super) fn length(nanoseconds: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(3_600_000_000_000, "h"), (60_000_000_000, "min"), (1_000_000_000, "s")];
    let mut rest = nanoseconds;
    let mut words = Vec::new();
    for (size, unit) in UNITS {
        if rest >= size {
            words.push(format!("{} {unit}", rest / size));
            rest %= size;
        }
    }
    let small = match rest {
        0 => None,
        _ if rest % 1_000_000 == 0 => Some(format!("{} ms", rest / 1_000_000)),
        _ if rest % 1_000 == 0 => Some(format!("{} µs", rest / 1_000)),
        _ => Some(format!("{rest} ns")),
    };
    words.extend(small);
    if words.is_empty() { "0 s".to_owned() } else { words.join(" ") }
}
