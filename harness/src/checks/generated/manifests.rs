//! Generated manifests: every body of theirs is judged as the manifest says, whatever is deep, long, reordered or beside it.

use proptest::prelude::Strategy;
use serde_json::{Value, json};

use super::manifest_case::{ManifestCase, case};
use super::manifest_steps::{FITS, LACKS, MISMATCH, Meaning, SIGNED, Signature, Step, beside, steps};
use super::spelling::{exchanged, flipped};
use super::trial::{Property, gather, judge};
use crate::api::Api;
use crate::checks::craftkit::bodies::{CODE, REFUSED, is_refusal, refusals, turn_accepted, turn_refused};
use crate::checks::craftkit::input_errors::{field_errors, has_entry, is_list_of_texts, refused_for_its_data};
use crate::checks::craftkit::pipeline::{NO_ROUTE, render, taken};
use crate::checks::craftkit::{SIGNATURE, hook, is_accepted, same_refusal, sign, success, turn_into_refusal};
use crate::checks::judge::{Judge, Seen, actual, craftkit_error, not_success};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, GeneratedCase, Signed};
use crate::gather::{Gather, Stop, Template};
use crate::target::http::Request;
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// Requests sent at a time.
const AT_A_TIME: usize = 16;

/// Status of a refusal that another rule is about.
const UNPROCESSABLE: u16 = 422;

const ACCEPTED: &str = "craftkit.hook.accepted";
const REQUIRED: &str = "craftkit.input.required";
const OPTIONAL: &str = "craftkit.input.optional";
const TYPE: &str = "craftkit.input.wrong-type";
const DOT_PATH: &str = "craftkit.input.dot-path";
const DOTTED: &str = "craftkit.input.dotted-literal";
const LOOP: &str = "craftkit.input.loop";
const NO_ARRAY: &str = "craftkit.input.loop-not-array";
const ITEM: &str = "craftkit.input.loop-item";
const ERRORS: &str = "craftkit.input.field-errors";
const UNKNOWN: &str = "craftkit.input.unknown-stripped";
const NESTED: &str = "craftkit.input.unknown-nested";
const FLAT: &str = "craftkit.input.flat";
const COERCION: &str = "craftkit.input.coercion";
const FORMATS: &str = "craftkit.input.formats";
const DEFAULT: &str = "craftkit.input.loop-default";
const RAW_BODY: &str = "craftkit.signature.raw-body";
const TAMPERED: &str = "craftkit.signature.tampered";
const SAME: &str = "craftkit.pipeline.same-validation";

/// The check.
pub(super) const MANIFESTS: Check = Check {
    id: Manifests::CHECK,
    rules: &[
        ACCEPTED, RAW_BODY, TAMPERED, REQUIRED, OPTIONAL, TYPE, DOT_PATH, DOTTED, LOOP, NO_ARRAY, ITEM, ERRORS,
        UNKNOWN, NESTED, FLAT, COERCION, FORMATS, DEFAULT, SAME,
    ],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]).generated(),
    gather: |g| Box::pin(gather::<Manifests>(g)),
    judge: |evidence| judge::<Manifests>(&MANIFESTS, evidence),
    sabotages: SABOTAGES,
};

const SABOTAGES: &[Sabotage] = &[
    Sabotage {
        defect: "refuses a body for its spelling",
        turns_red: &[ACCEPTED],
        apply: |evidence| {
            refuse(evidence, "respelled", |_, name| name.starts_with("respelled") && !name.contains("signed"))
        },
    },
    Sabotage {
        defect: "signs what it has parsed",
        turns_red: &[RAW_BODY],
        apply: |evidence| {
            refuse(evidence, "a respelled and signed body", |_, name| name.starts_with("respelled-signed"))
        },
    },
    Sabotage {
        defect: "takes a changed text for the signed one",
        turns_red: &[TAMPERED],
        apply: |evidence| accept(evidence, |step| matches!(step.meaning, Meaning::Forged { rule: TAMPERED, .. })),
    },
    Sabotage {
        defect: "misses one required scalar",
        turns_red: &[REQUIRED],
        apply: |evidence| accept_fault(evidence, REQUIRED),
    },
    Sabotage {
        defect: "demands what is optional",
        turns_red: &[OPTIONAL],
        apply: |evidence| refuse(evidence, "left out", |case, name| name == FITS && rule_of_fitting(case) == OPTIONAL),
    },
    Sabotage {
        defect: "takes an object for a scalar",
        turns_red: &[TYPE],
        apply: |evidence| accept_fault(evidence, TYPE),
    },
    Sabotage {
        defect: "does not look into one of its groups",
        turns_red: &[DOT_PATH],
        apply: |evidence| accept_fault(evidence, DOT_PATH),
    },
    Sabotage {
        defect: "takes a dotted key for a path",
        turns_red: &[DOTTED],
        apply: |evidence| accept_fault(evidence, DOTTED),
    },
    Sabotage {
        defect: "refuses long loops",
        turns_red: &[LOOP],
        apply: |evidence| refuse(evidence, "rows1", |case, name| name == FITS && rule_of_fitting(case) == LOOP),
    },
    Sabotage {
        defect: "takes a text for a loop",
        turns_red: &[NO_ARRAY],
        apply: |evidence| accept_fault(evidence, NO_ARRAY),
    },
    Sabotage { defect: "skips an item", turns_red: &[ITEM], apply: |evidence| accept_fault(evidence, ITEM) },
    Sabotage {
        defect: "names another field than the one at fault",
        turns_red: &[ERRORS],
        apply: |evidence| {
            let label = step_of(evidence, |_, step| matches!(step.meaning, Meaning::Refused { offender: Some(_), .. }));
            turn_refused(evidence, &label, "data");
        },
    },
    Sabotage {
        defect: "refuses unknown keys",
        turns_red: &[UNKNOWN],
        apply: |evidence| {
            refuse(evidence, "campaign", |_, name| name.starts_with("unknown-") && !name.contains("lacks"))
        },
    },
    Sabotage {
        defect: "refuses unknown keys in groups",
        turns_red: &[NESTED],
        apply: |evidence| refuse(evidence, "campaign", |_, name| name.starts_with("nested-")),
    },
    Sabotage { defect: "unwraps `data`", turns_red: &[FLAT], apply: |evidence| accept_fault(evidence, FLAT) },
    Sabotage {
        defect: "refuses numbers written as texts",
        turns_red: &[COERCION],
        apply: |evidence| refuse(evidence, "field1", |_, name| name.starts_with("coerced-")),
    },
    Sabotage {
        defect: "takes any text for a date",
        turns_red: &[FORMATS],
        apply: |evidence| accept_fault(evidence, FORMATS),
    },
    Sabotage {
        defect: "demands a row",
        turns_red: &[DEFAULT],
        apply: |evidence| refuse(evidence, "rows1", |_, name| name.starts_with("loop-empty-")),
    },
    Sabotage {
        defect: "judges by other rules on the render route",
        turns_red: &[SAME],
        apply: |evidence| refuse(evidence, "data", |_, name| name.starts_with("rendered-") && name.ends_with("-0")),
    },
];

/// The label of the first step of that sort; for sabotages.
fn step_of(evidence: &Evidence, sort: impl Fn(&ManifestCase, &Step) -> bool) -> String {
    let labels = evidence.cases.iter().filter_map(|kept| {
        let case: ManifestCase = serde_json::from_value(kept.case.clone()).ok()?;
        let step = steps(&case).into_iter().find(|step| sort(&case, step))?;
        Some(format!("{}/{}", kept.label, step.name))
    });
    labels.into_iter().next().expect("a run generates steps of every sort")
}

fn refuse(evidence: &mut Evidence, field: &str, sort: impl Fn(&ManifestCase, &str) -> bool) {
    let label = step_of(evidence, |case, step| sort(case, &step.name));
    if label.contains("signed") {
        turn_into_refusal(evidence, &label, 401, "invalid_signature");
    } else {
        turn_refused(evidence, &label, field);
    }
}

fn accept(evidence: &mut Evidence, sort: impl Fn(&Step) -> bool) {
    let label = step_of(evidence, |_, step| sort(step));
    turn_accepted(evidence, &label);
}

fn accept_fault(evidence: &mut Evidence, about: &str) {
    let label = step_of(evidence, |case, step| {
        let is_fault = matches!(step.meaning, Meaning::Refused { rule, .. } if rule == about);
        // What the render route is compared with would turn that rule red as well.
        let compared =
            |other: &Step| matches!(&other.meaning, Meaning::Agrees { step: by_hook } if *by_hook == step.name);
        step.name.starts_with("fault-") && is_fault && !steps(case).iter().any(compared)
    });
    turn_accepted(evidence, &label);
}

/// What holds for every manifest.
pub(super) struct Manifests;

impl Property for Manifests {
    type Case = ManifestCase;

    const CHECK: &'static str = "craftkit/generated/manifests";

    fn strategy() -> impl Strategy<Value = ManifestCase> {
        case()
    }

    async fn try_cases(g: &mut Gather, cases: &[(String, ManifestCase)]) -> Result<(), Stop> {
        let (mut firsts, mut others) = (Vec::new(), Vec::new());
        for (label, case) in cases {
            let template = g.template(&case.manifest(&beside(case)), json!({})).await?;
            g.label_last_call(format!("{label}/template"));
            let kept = serde_json::to_value(case).expect("a case has only text keys");
            g.keep_case(GeneratedCase { label: label.clone(), case: kept, control: None, stands_for: 0 });
            for step in steps(case) {
                let is_first = step.name == FITS;
                let request = request(&format!("{label}/{}", step.name), &template, step);
                if is_first { firsts.push(request) } else { others.push(request) }
            }
        }
        // A template that was just made may not be known yet.
        for requests in firsts.chunks(AT_A_TIME) {
            g.settled_together(requests, |exchange| !exchange.is(404) && !exchange.is(409)).await;
        }
        for requests in others.chunks(AT_A_TIME) {
            g.send_together(requests).await;
        }
        Ok(())
    }

    fn judge(evidence: &Evidence, label: &str, case: &ManifestCase, _control: &str) -> Vec<Finding> {
        let mut judge = Judge::new(evidence);
        let of_case = Steps { label, case };
        for step in steps(case) {
            let Some(seen) = judge.one(&of_case.label_of(&step.name)) else { continue };
            let fits = step.name == FITS || of_case.is_accepted(&judge, FITS);
            if fits {
                of_case.judge_step(&mut judge, &step, seen);
            }
        }
        judge.findings()
    }
}

fn request(label: &str, template: &Template, step: Step) -> Request {
    if step.renders {
        let body: Value = serde_json::from_str(&step.body).unwrap_or_default();
        return render(label, template, &body["data"]);
    }
    let own_key = template.inbound_secret.expose();
    let (key, over) = match &step.signature {
        Signature::None => return hook(label, template, step.body),
        Signature::Honest => (own_key, step.body.as_bytes()),
        Signature::Over(original) => (own_key, original.as_bytes()),
        Signature::OtherKey => ("another key", step.body.as_bytes()),
        Signature::Replaced(_) | Signature::Exchanged => (own_key, step.body.as_bytes()),
    };
    let honest = sign(key.as_bytes(), over);
    let (digest, change) = match step.signature {
        Signature::Replaced(number) => (flipped(&honest, number), "one digit replaced by another"),
        Signature::Exchanged => (exchanged(&honest), "two neighbouring digits exchanged"),
        Signature::None | Signature::Honest | Signature::Over(_) | Signature::OtherKey => (honest, "none"),
    };
    let said = Signed {
        key: if key == own_key { format!("inbound-secret:{}", template.name) } else { key.to_owned() },
        over: if over == step.body.as_bytes() { "the body as sent" } else { "the body before it was changed" }
            .to_owned(),
        change: change.to_owned(),
    };
    let mut request = hook(label, template, step.body).header(SIGNATURE, digest);
    request.signed = Some(said);
    request
}

/// The rule that a fitting body is about, by what is in it: the smallest case that is refused has little else.
fn rule_of_fitting(case: &ManifestCase) -> &'static str {
    if case.leaves_something_out() {
        OPTIONAL
    } else if !case.loops.is_empty() {
        LOOP
    } else if case.keyed().any(|(_, scalar)| scalar.is_nested()) {
        DOT_PATH
    } else {
        ACCEPTED
    }
}

/// The steps of one case in evidence.
struct Steps<'c> {
    label: &'c str,
    case: &'c ManifestCase,
}

impl Steps<'_> {
    fn label_of(&self, step: &str) -> String {
        format!("{}/{step}", self.label)
    }

    fn is_accepted(&self, judge: &Judge<'_>, step: &str) -> bool {
        judge.one(&self.label_of(step)).is_some_and(|seen| is_accepted(seen.exchange))
    }

    fn is_refused(&self, judge: &Judge<'_>, step: &str) -> bool {
        let response = judge.one(&self.label_of(step)).and_then(|seen| seen.exchange.response.as_ref());
        response.is_some_and(is_refusal)
    }

    fn judge_step<'a>(&self, judge: &mut Judge<'a>, step: &Step, seen: Seen<'a>) {
        match &step.meaning {
            Meaning::Fits => judge.rule(rule_of_fitting(self.case)).expects_of(seen, &[success()]),
            Meaning::Control => {}
            Meaning::Refused { rule, should_part, base, offender, own_base } => {
                // What is tolerated in the plainest place says nothing about a special one.
                let bases = std::iter::once(*base).filter(|base| *base != step.name).chain(own_base.as_deref());
                if bases.into_iter().all(|base| self.is_refused(judge, base)) {
                    self.judge_refusal(judge, rule, *should_part, seen);
                    self.judge_entry(judge, offender.as_deref(), seen);
                }
            }
            Meaning::Accepted { rule, controls } => {
                if controls.iter().all(|control| self.is_accepted(judge, control)) {
                    judge.rule(rule).expects_of(seen, &[success()]);
                }
            }
            Meaning::Forged { rule, exact } => {
                if !self.is_accepted(judge, SIGNED) || !self.is_refused(judge, MISMATCH) {
                    return;
                }
                let refusal = [craftkit_error(401, "invalid_signature"), same_refusal(judge, &self.label_of(MISMATCH))];
                let acceptable = if *exact { &refusal[..] } else { &[not_success()] };
                judge.rule(rule).expects_of(seen, acceptable);
            }
            Meaning::Agrees { step: by_hook } => self.judge_agreement(judge, by_hook, step, seen),
        }
    }

    fn judge_refusal<'a>(&self, judge: &mut Judge<'a>, rule: &'static str, should_part: bool, seen: Seen<'a>) {
        let mut acceptable: Vec<_> = refusals(judge, &self.label_of(LACKS)).into();
        if rule == REQUIRED {
            // How the plainest refusal reads is what this rule is about; its status has a rule of its own.
            acceptable = vec![craftkit_error(REFUSED, CODE), craftkit_error(UNPROCESSABLE, CODE)];
        }
        let about = judge.rule(rule);
        let about = if should_part { about.should_part() } else { about };
        about.expects_of(seen, &acceptable);
    }

    fn judge_entry<'a>(&self, judge: &mut Judge<'a>, offender: Option<&str>, seen: Seen<'a>) {
        let Some(offender) = offender.filter(|_| refused_for_its_data(Some(seen))) else { return };
        let fields = field_errors(seen);
        let holds = fields.is_some_and(|fields| has_entry(&fields, offender) && fields.values().all(is_list_of_texts));
        let expected = format!("`issues.fieldErrors` as an object of arrays of strings with an entry `{offender}`");
        judge.rule(ERRORS).that(holds, expected, actual(seen.exchange), Some(seen.at));
    }

    fn judge_agreement<'a>(&self, judge: &mut Judge<'a>, by_hook: &str, step: &Step, seen: Seen<'a>) {
        if let Some(status) = seen.exchange.status().filter(|status| NO_ROUTE.contains(status)) {
            let why = format!("the render route answered {status}: the target does not offer it");
            return judge.rule(SAME).not_applicable(why);
        }
        let hook = judge.one(&self.label_of(by_hook));
        let fits = step.name.ends_with("-0");
        let renders_fitting = self.is_accepted(judge, &format!("{}-0", step.name.trim_end_matches("-1")));
        let (Some(hooked), Some(rendered)) = (taken(hook), taken(Some(seen))) else { return };
        if !fits && !renders_fitting {
            return;
        }
        let found = hook.map_or("no answer".to_owned(), |hook| actual(hook.exchange));
        let verb = if hooked { "accepts" } else { "refuses" };
        let both = format!("hook: {found}; render route: {}", actual(seen.exchange));
        let expected = format!("the render route {verb} the same data as the hook does");
        judge.rule(SAME).that(hooked == rendered, expected, both, Some(seen.at));
    }
}

/// True if a kept case can be tried.
pub(super) fn understands(case: &Value) -> Result<(), serde_json::Error> {
    serde_json::from_value::<ManifestCase>(case.clone()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::*;

    proptest! {
        #[test]
        fn bodies_are_short_enough_for_any_limit(case in case()) {
            const BODY_MAX: usize = 60 * 1024;
            let steps = steps(&case);
            assert!(steps.iter().all(|step| step.body.len() < BODY_MAX));
        }

        #[test]
        fn a_case_means_the_same_once_it_was_kept(case in case()) {
            let kept = serde_json::to_value(&case).expect("a case has only text keys");
            assert_eq!(serde_json::from_value::<ManifestCase>(kept).ok(), Some(case));
        }

        #[test]
        fn no_two_steps_have_one_name_and_every_fault_changes_the_body(case in case()) {
            let steps = steps(&case);
            let names: std::collections::BTreeSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            assert_eq!(names.len(), steps.len());
            for step in steps.iter().filter(|step| matches!(step.meaning, Meaning::Refused { .. })) {
                assert_ne!(&step.body, &steps[0].body, "{}", step.name);
            }
        }
    }
}
