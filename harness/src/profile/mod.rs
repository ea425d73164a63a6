//! What a target really does, where it is described rather than judged.
//!
//! A probe is a check without rules: it gathers evidence like any other, and what it says is a pure function of that evidence, so that
//! `verify` can work it out again from a stored report. It can turn nothing red.

pub mod limiter;
pub mod limiter_probe;
mod models;
pub mod observe;

use crate::checks::Check;
use crate::report::CheckReport;
use limiter::Fingerprint;

/// Every probe.
pub const PROBES: &[Check] = &[limiter_probe::LIMITER];

/// The probes that belong to a run with these rules in scope.
pub fn probes_for<'a>(rules: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'static Check> {
    let limits = rules.into_iter().any(|rule| rule.starts_with("rndrkit.rate."));
    PROBES.iter().filter(move |_| limits)
}

/// The limiter that a run saw; `None` if nobody looked.
pub fn limiter_of(checks: &[CheckReport]) -> Option<Fingerprint> {
    let probe = checks.iter().find(|check| check.id == limiter_probe::LIMITER.id)?;
    Some(match &probe.stopped {
        Some(stopped) => Fingerprint::unknown(stopped.reason.clone()),
        None => limiter::classify(&probe.evidence),
    })
}
