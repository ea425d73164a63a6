//! What will be sent, decided before anything is sent.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::scenario::Scenario;
use crate::schedule;
use crate::world::Power;

/// The documented numbers that plans are laid around. This crate knows no rules: its caller says them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests a domain is served in a window.
    pub requests: usize,
    /// A window's length.
    pub window_ms: u64,
    /// How near to a window's end answers are left open.
    pub tolerance_ms: u64,
    /// Tokens a domain can have.
    pub tokens: usize,
}

/// How much load; what is absent has a default that fits the scenario. Volleys have a pace of their own: there `rate` and `duration` mean
/// nothing ([`Scenario::is_timed`]).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Size {
    /// Requests due a second. Not together with `users` alone: see there.
    pub rate: Option<f64>,
    /// Users. With no rate they send one request after the other as fast as they can (a closed loop, whose latencies hide waiting);
    /// with a rate they only bound concurrency.
    pub users: Option<usize>,
    /// How long requests are due; with `count`, whichever ends first.
    pub duration: Option<Duration>,
    /// Requests in all.
    pub count: Option<usize>,
    /// Domains.
    pub domains: Option<usize>,
    /// Tokens for each domain.
    pub tokens: Option<usize>,
    /// How requests that have a rate follow one another.
    pub arrivals: Arrivals,
}

/// How requests follow one another at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arrivals {
    /// At equal distances.
    #[default]
    Constant,
    /// At random, as independent senders would (exponential distances).
    Poisson,
}

/// Everything that will be sent, in order. A pure function of scenario, size, seed and limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What it is a plan for.
    pub scenario: Scenario,
    /// Its steps; each begins when the one before has ended.
    pub steps: Vec<Step>,
    /// Users that carry it out: at least as many as its largest volley has requests.
    pub users: usize,
    /// What must exist.
    pub needs: Needs,
    /// Requests of one domain that must really have been under way at one instant; none where the scenario does not depend on it.
    pub overlap: Option<usize>,
    /// No request is begun later than this after the run's begin; none: until the plan is done.
    pub duration: Option<Duration>,
    hash: PlanHash,
}

/// A part of a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// All at once: released together once every sender is connected and ready. An empty one lets all users meet.
    Volley(Vec<Slot>),
    /// Each at its time, by whichever user is free.
    Stream(Vec<Slot>),
}

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slot {
    /// Its number in the plan.
    pub index: usize,
    /// When, in nanoseconds from the step's begin; none: as soon as a user is free.
    pub due_ns: Option<u64>,
    /// What.
    pub job: Job,
}

/// What a slot does. Domains, tokens and templates are indices into [`Grounds`](crate::grounds::Grounds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// A refresh request.
    Refresh {
        /// The domain.
        domain: usize,
        /// Its token.
        token: usize,
        /// The body.
        body: RefreshBody,
        /// Whether it belongs to a flood, and is told apart from the others in the results.
        flood: bool,
    },
    /// A call of the inbound hook. If it is accepted, its render is polled until it has ended.
    Render {
        /// The template.
        template: usize,
        /// The form.
        form: RenderForm,
    },
    /// The clock is moved.
    Advance {
        /// By how much.
        ms: u64,
    },
    /// The queue goes down or comes back.
    Queue {
        /// Whether it is up from then on.
        available: bool,
    },
    /// A token is revoked.
    Revoke {
        /// The domain.
        domain: usize,
        /// Its token.
        token: usize,
    },
}

/// The body of a refresh request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshBody {
    /// Known paths of the domain that no other request names.
    Paths {
        /// The first path's index.
        first: usize,
        /// How many.
        count: usize,
    },
    /// Neither paths nor `all`.
    Missing,
    /// Paths none of which is one.
    NoPath,
}

/// How a render is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenderForm {
    /// Valid, and signed.
    Signed,
    /// Valid, without a signature.
    Unsigned,
    /// Valid, with the signature of another valid body.
    Tampered,
    /// Signed, with a body that the manifest refuses.
    Invalid,
}

/// What must exist before a plan can be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// Fresh domains.
    pub domains: usize,
    /// Tokens of each domain.
    pub tokens: usize,
    /// Renders each domain has left; none: no limit.
    pub renders_left: Option<u64>,
    /// How many known paths each domain has ([`path`](crate::grounds::path)).
    pub paths: usize,
    /// Fresh, published templates.
    pub templates: usize,
    /// So many of them, the last ones, refuse requests without a signature.
    pub enforcing: usize,
    /// What the [`World`](crate::world::World) must be able to do.
    pub powers: BTreeSet<Power>,
    /// Whether the target's clock must be driven and nothing else.
    pub manual_clock: bool,
}

/// Tells plans apart: equal for equal plans, on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanHash([u8; 8]);

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A size that makes no plan.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{scenario}: {what} must be {expected}, not {found}")]
pub struct SizeError {
    /// The scenario.
    pub scenario: Scenario,
    /// The field of [`Size`].
    pub what: &'static str,
    /// What would do.
    pub expected: String,
    /// What was given.
    pub found: String,
}

/// Which APIs the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apis {
    /// RndrKit.
    pub rndrkit: bool,
    /// CraftKit.
    pub craftkit: bool,
}

impl Plan {
    /// Lays out what `scenario` does at this size. The same arguments give the same plan, with the same [`Plan::hash`].
    ///
    /// # Errors
    /// A size at which the scenario proves nothing, or that no machine could send.
    pub fn new(scenario: Scenario, size: &Size, seed: u64, limits: &Limits, apis: Apis) -> Result<Plan, SizeError> {
        let mut plan = schedule::lay_out(scenario, size, seed, limits, apis)?;
        plan.hash = plan.hashed();
        Ok(plan)
    }

    /// The part of worker `index` of `of`: its slots are those with a number ≡ `index`, and the first worker alone changes the world. The
    /// parts of all workers are the plan, and their hash is the plan's.
    pub fn stripe(mut self, index: usize, of: usize) -> Plan {
        for step in &mut self.steps {
            step.slots_mut().retain(|slot| if slot.job.is_control() { index == 0 } else { slot.index % of == index });
        }
        self
    }

    /// Which plan this is.
    pub fn hash(&self) -> PlanHash {
        self.hash
    }

    /// Requests it sends; polls that follow are not among them.
    pub fn requests(&self) -> usize {
        self.slots().filter(|slot| !slot.job.is_control()).count()
    }

    /// All slots, in order.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.steps.iter().flat_map(Step::slots)
    }

    pub(crate) fn unhashed(
        scenario: Scenario,
        steps: Vec<Step>,
        users: usize,
        needs: Needs,
        overlap: Option<usize>,
        duration: Option<Duration>,
    ) -> Plan {
        Plan { scenario, steps, users, needs, overlap, duration, hash: PlanHash([0; 8]) }
    }

    fn hashed(&self) -> PlanHash {
        let mut digest = Sha256::new();
        digest.update(self.scenario.name());
        for step in &self.steps {
            digest.update(match step {
                Step::Volley(_) => b"volley",
                Step::Stream(_) => b"stream",
            });
            for slot in step.slots() {
                // `Debug` of plain data: fixed by the types above, and the same everywhere.
                digest.update(format!("{slot:?}"));
            }
        }
        let digest = digest.finalize();
        let mut short = [0; 8];
        short.copy_from_slice(&digest[..8]);
        PlanHash(short)
    }
}

impl Step {
    /// Its slots, in order.
    pub fn slots(&self) -> &[Slot] {
        match self {
            Step::Volley(slots) | Step::Stream(slots) => slots,
        }
    }

    fn slots_mut(&mut self) -> &mut Vec<Slot> {
        match self {
            Step::Volley(slots) | Step::Stream(slots) => slots,
        }
    }
}

impl Job {
    /// Whether it changes the world rather than sending a request to an API.
    pub fn is_control(self) -> bool {
        matches!(self, Job::Advance { .. } | Job::Queue { .. } | Job::Revoke { .. })
    }
}
