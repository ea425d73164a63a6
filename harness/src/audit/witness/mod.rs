//! Why a history is wrong, in as few answers as possible.
//!
//! Forgetting an answer only ever makes more histories possible: a request that counted becomes one that may have, a refusal
//! disappears. So what is still contradictory after everything else was forgotten needs nothing else, and the smallest
//! such set is found by asking the judge again and again.

mod phrase;
pub(crate) mod quota;
pub(crate) mod rate;
mod smallest;

use super::Request;
use phrase::Part;
pub(crate) use phrase::Phrase;

/// Answers that contradict each other, whatever happened to all other requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// What kind of contradiction it is.
    pub shape: Shape,
    /// The answers (only [`super::Kind::Counted`] and [`super::Kind::Refused`]), by start. None of them can be left out.
    /// Empty for [`Shape::Distant`] only.
    pub facts: Vec<Request>,
    /// Other requests that counted or may have counted around them, by start; for a timeline.
    pub context: Vec<Request>,
    /// Between which instants the window that matters can have opened, by time; for a timeline. Empty where it depends.
    pub openings: Vec<(i64, i64)>,
    /// Whether [`Witness::sentence`] alone proves the contradiction to a reader who checks its numbers. Otherwise the facts
    /// do, but only the search can tell.
    pub proof: bool,
    parts: Vec<Part>,
}

/// What kind of contradiction it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// Refused, though no window that could contain it can have been full.
    NeedlessRefusal,
    /// More served than any placement of windows allows.
    OverAdmission,
    /// Refused, and served so soon after that no full window can have ended in between.
    LateRefusal,
    /// Two refusals that neither one window nor two explain.
    TwoRefusals,
    /// Several answers together.
    Mixed,
    /// More accepted in one period than its budget.
    OverBudget,
    /// Refused for the quota, though it cannot have been used up.
    NeedlessQuotaRefusal,
    /// Several answers about the quota together.
    MixedQuota,
    /// It needs answers from further back than a monitor remembers; judging the whole history at once tells them.
    Distant,
}

impl Shape {
    /// Its name, in lower case with hyphens.
    pub fn name(self) -> &'static str {
        match self {
            Shape::NeedlessRefusal => "needless-refusal",
            Shape::OverAdmission => "over-admission",
            Shape::LateRefusal => "late-refusal",
            Shape::TwoRefusals => "two-refusals",
            Shape::Mixed => "mixed",
            Shape::OverBudget => "over-budget",
            Shape::NeedlessQuotaRefusal => "needless-quota-refusal",
            Shape::MixedQuota => "mixed-quota",
            Shape::Distant => "distant",
        }
    }
}

impl Witness {
    /// The explanation in plain words, of one or more lines; `show` renders an instant.
    pub fn sentence(&self, show: impl Fn(i64) -> String) -> String {
        let shown = |part: &Part| match part {
            Part::Words(words) => words.clone(),
            Part::Instant(instant) => show(*instant),
        };
        self.parts.iter().map(shown).collect()
    }
}
