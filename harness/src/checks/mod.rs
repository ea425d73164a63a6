//! Checks: each gathers evidence about a few rules, judges it, and carries the defects that must turn it red.
//!
//! To add one, write it in the file of its topic and put it into that file's list; selection, help, reports and the account of
//! rules without a check follow from the lists.

pub mod craftkit;
pub mod generated;
pub mod judge;
mod never_issued;
pub mod rndrkit;

use std::pin::Pin;

use crate::api::Api;
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The future of a gather step.
pub type Gathering<'a> = Pin<Box<dyn Future<Output = Result<(), Stop>> + Send + 'a>>;

/// One check.
pub struct Check {
    /// Stable name, `api/topic/what`.
    pub id: &'static str,
    /// The rules it judges; each gets at least one finding from every run.
    pub rules: &'static [&'static str],
    /// What must exist.
    pub needs: Needs,
    /// Asks for fixtures, sends requests, waits. Judges nothing.
    pub gather: for<'a> fn(&'a mut Gather) -> Gathering<'a>,
    /// Reads cleaned evidence only. Pure.
    pub judge: fn(&Evidence) -> Vec<Finding>,
    /// Defects, each a small change to the evidence of a good run; every rule is turned red by at least one.
    pub sabotages: &'static [Sabotage],
}

/// What a check needs.
pub struct Needs {
    /// The API it talks to.
    pub api: Api,
    /// Methods of the fixture protocol.
    pub methods: &'static [Method],
    /// The target's time that passes during the check, in milliseconds; with a system clock it is really waited for.
    pub moments_ms: u64,
    /// It changes the whole server: it runs after all others, alone.
    pub exclusive: bool,
    /// It adds to what other checks judge of the same rules: where its needs are not met, they stand without it.
    pub extra: bool,
    /// It tries generated cases, so that `--cases 0` leaves it out.
    pub generated: bool,
}

impl Needs {
    /// Fixture methods only; no passing of time, no exclusivity.
    pub const fn fixtures(api: Api, methods: &'static [Method]) -> Needs {
        Needs { api, methods, moments_ms: 0, exclusive: false, extra: false, generated: false }
    }

    /// As [`Needs::fixtures`], and the target's time passes.
    pub const fn passing(self, moments_ms: u64) -> Needs {
        Needs { moments_ms, ..self }
    }

    /// As before, but the rules are judged without it where this cannot be had.
    pub const fn if_possible(self) -> Needs {
        Needs { extra: true, ..self }
    }

    /// As [`Needs::if_possible`], with cases that are generated.
    pub const fn generated(self) -> Needs {
        Needs { extra: true, generated: true, ..self }
    }

    /// As before, and the whole server is needed.
    pub const fn alone(self) -> Needs {
        Needs { exclusive: true, ..self }
    }
}

/// A defect as it would show in evidence.
pub struct Sabotage {
    /// What a server with this defect does.
    pub defect: &'static str,
    /// The rules that this check must then find broken; no others.
    pub turns_red: &'static [&'static str],
    /// Changes the evidence of a good run.
    pub apply: fn(&mut Evidence),
}

/// Every check, in the order of the catalogue; those with generated cases last.
pub fn all() -> impl Iterator<Item = &'static Check> {
    rndrkit::TOPICS.iter().chain(craftkit::TOPICS).copied().flatten().chain(generated::CHECKS)
}
