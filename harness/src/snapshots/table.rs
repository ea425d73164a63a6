//! Which answers are under review: for each rule at most one, and the step of a check that brings it about.
//!
//! The checks send these requests anyway, so a comparison costs none.

use crate::checks::rndrkit::LIMIT;

/// An answer under review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shot {
    /// The rule that demands it; names the file.
    pub rule: &'static str,
    /// The check that brings it about.
    pub check: &'static str,
    /// The step of that check.
    pub step: &'static str,
    /// How many exchanges of that step come before it.
    pub after: usize,
}

impl Shot {
    /// The file, from the folder of the set: `api/rule.snap`.
    pub fn file(&self) -> String {
        let api = self.rule.split('.').next().unwrap_or_default();
        format!("{api}/{}.snap", self.rule)
    }
}

const fn shot(rule: &'static str, check: &'static str, step: &'static str) -> Shot {
    Shot { rule, check, step, after: 0 }
}

/// Every answer under review, in the catalogue's order.
#[rustfmt::skip] // One answer, one line: a table.
pub const SHOTS: &[Shot] = &[
    shot("rndrkit.auth.header-missing", "rndrkit/auth/credentials", "missing"),
    shot("rndrkit.auth.scheme-not-bearer", "rndrkit/auth/credentials", "basic"),
    shot("rndrkit.auth.token-empty", "rndrkit/auth/credentials", "empty"),
    shot("rndrkit.auth.token-unknown", "rndrkit/auth/credentials", "unknown"),
    shot("rndrkit.auth.token-foreign", "rndrkit/auth/credentials", "foreign"),
    shot("rndrkit.auth.token-revoked", "rndrkit/auth/token-revoked", "revoked"),
    shot("rndrkit.selective.accepted", "rndrkit/selective/examples", "example"),
    shot("rndrkit.selective.pages-queued", "rndrkit/selective/counts", "three"),
    shot("rndrkit.selective.root-path", "rndrkit/selective/counts", "root"),
    shot("rndrkit.selective.over-twenty", "rndrkit/selective/over-twenty", "twenty-one"),
    shot("rndrkit.full.accepted", "rndrkit/full/answer", "full"),
    shot("rndrkit.body.empty", "rndrkit/body/nothing-asked", "empty"),
    shot("rndrkit.body.empty-object", "rndrkit/body/nothing-asked", "empty-object"),
    shot("rndrkit.body.all-false", "rndrkit/body/nothing-asked", "all-false"),
    shot("rndrkit.body.all-false-with-urls", "rndrkit/body/nothing-asked", "all-false-with-urls"),
    shot("rndrkit.body.urls-not-array", "rndrkit/body/urls-of-another-type", "string"),
    shot("rndrkit.body.urls-empty", "rndrkit/body/urls-of-another-type", "no-entry"),
    shot("rndrkit.body.malformed-json", "rndrkit/body/malformed-json", "cut"),
    shot("rndrkit.paths.none-valid", "rndrkit/paths/invalid", "none-of-several"),
    shot("rndrkit.paths.leading-space", "rndrkit/paths/invalid", "leading-space"),
    shot("rndrkit.paths.mixed", "rndrkit/paths/invalid", "mixed"),
    shot("rndrkit.paths.non-string", "rndrkit/paths/non-string", "alone"),
    shot("rndrkit.domain.inactive", "rndrkit/domain/created-inactive", "inactive"),
    shot("rndrkit.plan.starter", "rndrkit/plan/below", "starter"),
    shot("rndrkit.plan.pro", "rndrkit/plan/below", "pro"),
    shot("rndrkit.plan.agency", "rndrkit/plan/agency", "agency"),
    Shot { after: LIMIT, ..shot("rndrkit.rate.exceeded-response", "rndrkit/rate/count", "burst") },
    shot("rndrkit.rate.before-validation", "rndrkit/rate/count", "beyond-body"),
    shot("rndrkit.quota.reached", "rndrkit/quota/reached", "at"),
    shot("rndrkit.quota.below-limit", "rndrkit/quota/reached", "below"),
    shot("rndrkit.quota.full-refresh", "rndrkit/quota/reached", "at-full"),
    shot("craftkit.hook.accepted", "craftkit/hook/answer", "example"),
    shot("craftkit.token.unknown", "craftkit/token/unknown", "unknown"),
    shot("craftkit.token.not-an-id", "craftkit/token/not-an-id", "slug"),
    shot("craftkit.signature.valid", "craftkit/signature/accepted", "signed"),
    shot("craftkit.signature.mismatch", "craftkit/signature/refused", "mismatch/random"),
    shot("craftkit.signature.malformed", "craftkit/signature/refused", "malformed/half"),
    shot("craftkit.signature.base64", "craftkit/signature/refused", "base64/standard"),
    shot("craftkit.signature.raw-body", "craftkit/signature/body", "otherwise/spaced"),
    shot("craftkit.signature.tampered", "craftkit/signature/body", "tampered/number"),
    shot("craftkit.signature.per-template", "craftkit/signature/refused", "per-template/other-project"),
    shot("craftkit.signature.enforced", "craftkit/signature/accepted", "enforced/unsigned"),
    shot("craftkit.signature.prefix", "craftkit/signature/refused", "prefix"),
    shot("craftkit.json.malformed", "craftkit/json/bodies", "malformed/cut"),
    shot("craftkit.json.empty", "craftkit/json/bodies", "empty"),
    shot("craftkit.json.non-object", "craftkit/json/bodies", "non-object/array"),
    shot("craftkit.input.required", "craftkit/input/presence", "lacks/title"),
    shot("craftkit.input.wrong-type", "craftkit/input/types", "word/number"),
    shot("craftkit.input.dot-path", "craftkit/input/dot-path", "lacks/order.shipping.country"),
    shot("craftkit.input.dotted-literal", "craftkit/input/dot-path", "dotted"),
    shot("craftkit.input.loop-not-array", "craftkit/input/loops", "object/rows"),
    shot("craftkit.input.loop-item", "craftkit/input/loops", "wrong-type/middle"),
    shot("craftkit.input.field-errors", "craftkit/input/field-errors", "wrong/order.total"),
    shot("craftkit.input.all-offenders", "craftkit/input/field-errors", "several"),
    shot("craftkit.input.flat", "craftkit/input/unknown", "wrapped"),
    shot("craftkit.input.formats", "craftkit/input/types", "word/email"),
    shot("craftkit.input.loop-cap", "craftkit/input/loop-cap", "above"),
    shot("craftkit.version.unpublished", "craftkit/version/unpublished", "unpublished"),
    shot("craftkit.queue.unavailable", "craftkit/queue/outage", "during"),
    shot("craftkit.queue.recovers", "craftkit/queue/outage", "retried"),
    shot("craftkit.poll.requires-key", "craftkit/poll/keys", "no-key"),
    shot("craftkit.poll.own-key", "craftkit/poll/keys", "end"),
    shot("craftkit.poll.foreign-key", "craftkit/poll/keys", "foreign-key"),
];

/// The answer under review for a rule.
pub fn of_rule(rule: &str) -> Option<&'static Shot> {
    SHOTS.iter().find(|shot| shot.rule == rule)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{catalogue, checks};

    /// Rules whose demand names a status or an error, and why no answer of theirs is kept.
    const ANSWERED_ELSEWHERE: [(&str, &str); 16] = [
        ("rndrkit.quota.counts-refreshes", "its 403 is that of rndrkit.quota.reached"),
        (
            "rndrkit.rate.counts-invalid-body",
            "its 400 and its 429 are those of rndrkit.body.empty-object and of the limit",
        ),
        (
            "rndrkit.rate.counts-invalid-paths",
            "its 400 and its 429 are those of rndrkit.paths.none-valid and of the limit",
        ),
        ("rndrkit.rate.window-not-extended", "its 429 is that of rndrkit.rate.exceeded-response"),
        ("rndrkit.rate.unauthenticated-free", "its 401 is that of rndrkit.auth.token-unknown"),
        ("rndrkit.success.closed", "it is about every accepted answer"),
        ("craftkit.hook.id", "its 202 is that of craftkit.hook.accepted"),
        ("craftkit.hook.status", "its 202 is that of craftkit.hook.accepted"),
        ("craftkit.hook.poll-url", "its 202 is that of craftkit.hook.accepted"),
        ("craftkit.hook.closed", "its 202 is that of craftkit.hook.accepted"),
        ("craftkit.signature.secret-as-text", "it applies only to secrets of some forms"),
        ("craftkit.input.optional", "its 202 is that of craftkit.hook.accepted"),
        ("craftkit.input.not-422", "its 400 is that of craftkit.input.required"),
        ("craftkit.version.published-later", "its 409 is that of craftkit.version.unpublished"),
        ("craftkit.queue.nothing-lost", "it is about renders that are still there"),
        ("craftkit.pipeline.same-validation", "it compares with another endpoint, whose answers no rule describes"),
    ];

    fn names_an_answer(rule: &catalogue::Rule) -> bool {
        let words: Vec<&str> = rule.demand.split(|character: char| !character.is_ascii_alphanumeric()).collect();
        ["200", "202", "400", "401", "403", "404", "409", "429", "503"].iter().any(|status| words.contains(status))
    }

    #[test]
    fn every_rule_that_names_an_answer_has_one_under_review_or_a_reason() {
        for rule in catalogue::all().filter(|rule| names_an_answer(rule)) {
            let excused = ANSWERED_ELSEWHERE.iter().any(|(id, _)| *id == rule.id);
            assert!(of_rule(rule.id).is_some() != excused, "{}: {}", rule.id, rule.demand);
        }
        for (id, _) in ANSWERED_ELSEWHERE {
            assert!(catalogue::find(id).is_some_and(names_an_answer), "{id} needs no reason");
        }
    }

    #[test]
    fn every_answer_comes_from_a_check_of_its_rule() {
        for shot in SHOTS {
            let check = checks::all().find(|check| check.id == shot.check);
            // Then a run that judges the rule has the answer, however narrow it is.
            assert!(check.is_some_and(|check| check.rules.contains(&shot.rule)), "{shot:?}");
        }
    }

    #[test]
    fn answers_stand_in_the_order_of_the_catalogue_and_each_rule_has_one() {
        let position = |shot: &Shot| catalogue::all().position(|rule| rule.id == shot.rule);
        assert!(SHOTS.iter().map(position).is_sorted());
        assert_eq!(SHOTS.iter().map(|shot| shot.rule).collect::<BTreeSet<&str>>().len(), SHOTS.len());
    }
}
