//! The scenarios: what each proves and on which API.

use std::fmt;
use std::str::FromStr;

use crate::nearest;
use crate::outcome::Operation;

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// Volleys on fresh domains.
    FirstWindow,
    /// Volleys over all tokens of a domain, then one more request by each.
    TokenSpread,
    /// One domain floods, the others use what is theirs.
    NoisyNeighbour,
    /// The clock is moved over windows' ends while requests come in.
    WindowEdge,
    /// Volleys on domains with few renders left.
    QuotaDrain,
    /// Volleys with requests among them that are refused for their bodies.
    InvalidMix,
    /// Signed, unsigned, tampered and invalid renders, polled to their ends.
    InboundRenders,
    /// The render queue goes down and comes back under load.
    QueueOutage,
    /// Tokens are revoked under load.
    Revocation,
    /// Requests at a constant rate.
    Steady,
}

impl Scenario {
    /// Every scenario, in the order in which they are run and listed.
    pub const ALL: [Scenario; 10] = [
        Scenario::FirstWindow,
        Scenario::TokenSpread,
        Scenario::NoisyNeighbour,
        Scenario::WindowEdge,
        Scenario::QuotaDrain,
        Scenario::InvalidMix,
        Scenario::InboundRenders,
        Scenario::QueueOutage,
        Scenario::Revocation,
        Scenario::Steady,
    ];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::FirstWindow => "first-window",
            Scenario::TokenSpread => "token-spread",
            Scenario::NoisyNeighbour => "noisy-neighbour",
            Scenario::WindowEdge => "window-edge",
            Scenario::QuotaDrain => "quota-drain",
            Scenario::InvalidMix => "invalid-mix",
            Scenario::InboundRenders => "inbound-renders",
            Scenario::QueueOutage => "queue-outage",
            Scenario::Revocation => "revocation",
            Scenario::Steady => "steady",
        }
    }

    /// What a run of it proves, in one line.
    pub fn proves(self) -> &'static str {
        match self {
            Scenario::FirstWindow => "a fresh domain serves its limit and no more, however many requests come at once",
            Scenario::TokenSpread => "all tokens of a domain share one count",
            Scenario::NoisyNeighbour => "a domain that floods takes neither requests nor speed from the others",
            Scenario::WindowEdge => "each window serves its limit, also while one ends and the next begins",
            Scenario::QuotaDrain => "concurrent requests never get more renders than the quota has left",
            Scenario::InvalidMix => "requests refused for their bodies are counted right among the others",
            Scenario::InboundRenders => {
                "signatures and bodies are judged right under load, and every accepted render ends"
            }
            Scenario::QueueOutage => "every render that was accepted survives the queue's outages",
            Scenario::Revocation => "revoking a token under load leaves its domain's count as it was",
            Scenario::Steady => "how long answers take at a constant rate of arrivals",
        }
    }

    /// Whether it sends requests to RndrKit. [`Scenario::Steady`] uses whichever APIs are there.
    pub fn uses_rndrkit(self) -> bool {
        !matches!(self, Scenario::InboundRenders | Scenario::QueueOutage)
    }

    /// Whether it sends requests to CraftKit.
    pub fn uses_craftkit(self) -> bool {
        matches!(self, Scenario::InboundRenders | Scenario::QueueOutage | Scenario::Steady)
    }

    /// What it sends.
    pub fn operations(self) -> &'static [Operation] {
        match self {
            Scenario::NoisyNeighbour => &[Operation::Refresh, Operation::Flood],
            Scenario::InboundRenders | Scenario::QueueOutage => &[Operation::Render, Operation::Poll],
            Scenario::Steady => &[Operation::Refresh, Operation::Render, Operation::Poll],
            _ => &[Operation::Refresh],
        }
    }

    /// Whether its requests have times of their own, so that a rate and a duration mean something. The others come in volleys.
    pub fn is_timed(self) -> bool {
        matches!(self, Scenario::NoisyNeighbour | Scenario::InboundRenders | Scenario::QueueOutage | Scenario::Steady)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no scenario has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario `{found}`{}", nearest::hint(.nearest.as_deref()))]
pub struct UnknownScenario {
    /// What was given.
    pub found: String,
    /// The name most like it.
    pub nearest: Option<String>,
}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(name: &str) -> Result<Scenario, UnknownScenario> {
        let known = Scenario::ALL.into_iter().find(|scenario| scenario.name() == name);
        known.ok_or_else(|| UnknownScenario {
            found: name.to_owned(),
            nearest: nearest::name(name, Scenario::ALL.into_iter().map(Scenario::name)).map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Scenario;

    #[test]
    fn every_name_is_read_back() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        #[track_caller]
        fn check(name: &str, expected: &str) {
            assert_eq!(name.parse::<Scenario>().unwrap_err().to_string(), expected);
        }
        check("first-windows", "there is no scenario `first-windows`; did you mean `first-window`?");
        check("zzz", "there is no scenario `zzz`");
    }
}
