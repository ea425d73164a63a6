//! Tokens of a domain: whether one serves after it was revoked. Pure.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;
use scenarios::history::Name;

use super::answer::Answer;
use super::audited::{AuditLevel, Judged};
use super::operation::{Found, Placed, Role};

/// Which tokens were revoked, and which served afterwards.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// By the tokens' own names.
    revoked: BTreeMap<Box<str>, Revoked>,
    used: FxHashMap<Name, Used>,
}

/// A token that somebody revoked.
#[derive(Debug)]
struct Revoked {
    token: Name,
    /// From when on it is surely revoked, and by which operation.
    from: (i64, u64),
}

/// What a token was used for.
#[derive(Debug)]
struct Used {
    /// The latest start of a request that was answered.
    answered: i64,
    /// The latest of one that was served, with its name.
    served: Option<(i64, u64)>,
}

impl Tokens {
    /// A request was sent with a token.
    pub(super) fn used(&mut self, token: Option<Name>, placed: &Placed, answer: Answer) {
        let Some(token) = token.filter(|_| answer != Answer::Open) else { return };
        let start = placed.time.real().start;
        let used = self.used.entry(token).or_insert(Used { answered: start, served: None });
        used.answered = start.max(used.answered);
        if answer == Answer::Served && used.served.is_none_or(|(latest, _)| latest < start) {
            used.served = Some((start, placed.id));
        }
    }

    /// A token is surely revoked from an instant on, by an operation.
    pub(super) fn revoked(&mut self, token: Name, called: &str, from: i64, id: u64) {
        let known = self.revoked.entry(called.into()).or_insert(Revoked { token, from: (from, id) });
        known.from = (from, id).min(known.from);
    }

    /// What was found, once all has come. Changes may take as long as `settle` to be seen.
    pub(super) fn finish(self, settle: i64) -> (Judged, Vec<Found>) {
        let used = |revoked: &Revoked| self.used.get(&revoked.token);
        let judged =
            self.revoked.values().any(|revoked| used(revoked).is_some_and(|used| used.answered > revoked.from.0));
        let found: Vec<Found> = self.revoked.iter().filter_map(|(token, revoked)| {
            let (start, served) = used(revoked)?.served?;
            let (from, revocation) = revoked.from;
            (start > from).then(|| Found {
                rule: "rndrkit.auth.token-revoked",
                level: AuditLevel::Must,
                kind: "revoked-token-served",
                explanation: format!(
                    "#{served} was served with the token `{token}`, which #{revocation} had revoked more than {settle_ms} ms before it was sent.",
                    settle_ms = settle / 1_000_000
                ),
                proof: true,
                facts: vec![(revocation, Role::Shown), (served, Role::Counted)],
                spans: Vec::new(),
                on_judged_axis: false,
                origin: None,
            })
        }).collect();
        let state = match (judged, found.is_empty()) {
            (_, false) => Judged::Inconsistent,
            (true, true) => Judged::Consistent,
            (false, true) => Judged::NotConcerned,
        };
        (state, found)
    }
}
