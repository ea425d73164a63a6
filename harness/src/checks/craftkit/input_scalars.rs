//! Scalars of a manifest: required and optional ones, and where in a body they are read.

use serde_json::{Value, json};

use super::bodies::{
    CODE, REFUSED, is_refusal, manifest, refusals, send_bodies, send_control, turn_accepted, turn_refused, unmarked,
    with, without,
};
use super::{expect_acceptance, variable};
use crate::api::Api;
use crate::checks::judge::{Judge, Seen, craftkit_error, outcome, refused};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::Evidence;
use crate::gather::{Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[PRESENCE, DOT_PATH, EMPTY_MANIFEST];

/// The status that many validators answer with and that this API does not.
const UNPROCESSABLE: u16 = 422;

const FITS: &str = "craftkit.hook.accepted";

const PRESENCE: Check = Check {
    id: "craftkit/input/presence",
    rules: &[FITS, "craftkit.input.required", "craftkit.input.optional", "craftkit.input.not-422"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_presence(g)),
    judge: judge_presence,
    sabotages: &[
        Sabotage {
            defect: "takes zero for a number that is missing",
            turns_red: &[FITS],
            apply: |evidence| turn_refused(evidence, "zero/amount", "amount"),
        },
        Sabotage {
            defect: "takes false for a boolean that is missing",
            turns_red: &[FITS],
            apply: |evidence| turn_refused(evidence, "false/paid", "paid"),
        },
        Sabotage {
            defect: "renders without a required text",
            turns_red: &["craftkit.input.required"],
            apply: |evidence| turn_accepted(evidence, "lacks/title"),
        },
        Sabotage {
            defect: "takes a missing boolean for false",
            turns_red: &["craftkit.input.required"],
            apply: |evidence| turn_accepted(evidence, "lacks/paid"),
        },
        Sabotage {
            defect: "takes a missing number for zero",
            turns_red: &["craftkit.input.required"],
            apply: |evidence| turn_accepted(evidence, "lacks/amount"),
        },
        Sabotage {
            defect: "does not look at the manifest's last variable",
            turns_red: &["craftkit.input.required"],
            apply: |evidence| turn_accepted(evidence, "lacks/summary"),
        },
        Sabotage {
            defect: "answers a missing scalar with the code of broken JSON",
            turns_red: &["craftkit.input.required"],
            apply: |evidence| evidence.answer("lacks/title", REFUSED, &json!({"error": {"code": "invalid_json"}})),
        },
        Sabotage {
            defect: "fails at a missing scalar instead of refusing the body",
            turns_red: &["craftkit.input.required"],
            apply: |evidence| evidence.answer("lacks/price", 500, &json!({"error": {"code": "internal"}})),
        },
        Sabotage {
            defect: "takes every scalar for required",
            turns_red: &["craftkit.input.optional"],
            apply: |evidence| turn_refused(evidence, "lacks-optional/nickname", "nickname"),
        },
        Sabotage {
            defect: "takes a scalar for required unless the manifest says it is not",
            turns_red: &["craftkit.input.optional"],
            apply: |evidence| turn_refused(evidence, "lacks-optional/age", "age"),
        },
        Sabotage {
            defect: "answers a body that fails the manifest with 422",
            turns_red: &["craftkit.input.not-422"],
            apply: |evidence| {
                for step in MISSING.iter().chain(&["wrong/amount"]) {
                    evidence.edit(step, |exchange| {
                        exchange.response.as_mut().expect("a good run has an answer").status = UNPROCESSABLE;
                    });
                }
            },
        },
        Sabotage {
            defect: "answers a wrong type alone with 422",
            turns_red: &["craftkit.input.not-422"],
            apply: |evidence| evidence.answer("wrong/amount", UNPROCESSABLE, &json!({"error": {"code": CODE}})),
        },
    ],
};

/// Steps that lack one required scalar each: the first, one of each kind in between, the last.
const MISSING: [&str; 5] = ["lacks/title", "lacks/amount", "lacks/paid", "lacks/price", "lacks/summary"];

/// Required scalars with values that are easily taken for none.
const FALSY: [&str; 2] = ["zero/amount", "false/paid"];

/// Steps that lack scalars which need not be there.
const LEFT_OUT: [&str; 3] = ["lacks-optional/nickname", "lacks-optional/age", "lacks-optional/both"];

async fn gather_presence(g: &mut Gather) -> Result<(), Stop> {
    let variables = [
        variable("title", "text", true),
        variable("amount", "number", true),
        variable("nickname", "text", false),
        variable("paid", "boolean", true),
        variable("price", "currency", true),
        unmarked("age", "number"),
        variable("summary", "longtext", true),
    ];
    let template = g.template(&manifest(&variables, &[]), json!({})).await?;
    let body = json!({
        "title": "Spring sale", "amount": 3, "nickname": "Ada", "paid": true, "price": 9.99, "age": 36,
        "summary": "Everything must go",
    });
    send_control(g, "control", &template, &body).await;
    let cases = [
        ("lacks/title", without(&body, "/title")),
        ("lacks/amount", without(&body, "/amount")),
        ("lacks/paid", without(&body, "/paid")),
        ("lacks/price", without(&body, "/price")),
        ("lacks/summary", without(&body, "/summary")),
        ("wrong/amount", with(&body, "/amount", json!("abc"))),
        ("zero/amount", with(&body, "/amount", json!(0))),
        ("false/paid", with(&body, "/paid", json!(false))),
        ("lacks-optional/nickname", without(&body, "/nickname")),
        ("lacks-optional/age", without(&body, "/age")),
        ("lacks-optional/both", without(&without(&body, "/age"), "/nickname")),
    ];
    send_bodies(g, &template, &cases).await;
    Ok(())
}

fn judge_presence(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    for step in MISSING {
        // With 422 the body was refused for the right reason; that it should have been 400 is the other rule's concern.
        let unprocessable = craftkit_error(UNPROCESSABLE, CODE);
        let acceptable = [craftkit_error(REFUSED, CODE), unprocessable];
        judge.rule("craftkit.input.required").control("control").expects(step, &acceptable);
    }
    for step in FALSY {
        expect_acceptance(&mut judge, FITS, step, "control");
    }
    for step in LEFT_OUT {
        expect_acceptance(&mut judge, "craftkit.input.optional", step, "control");
    }
    for step in MISSING.iter().chain(&["wrong/amount"]) {
        judge_status(&mut judge, step);
    }
    judge.findings()
}

fn judge_status(judge: &mut Judge<'_>, step: &str) {
    let refused = judge.one(step).is_some_and(|seen: Seen<'_>| seen.exchange.response.as_ref().is_some_and(is_refusal));
    let otherwise = format!("`{step}` was not refused, so it has no status of a refusal");
    let acceptable = outcome("400 (a refusal with another status than 422 is judged by other rules)", |response| {
        is_refusal(response) && response.status != UNPROCESSABLE
    });
    judge.rule("craftkit.input.not-422").control("control").provided(refused, otherwise).expects(step, &[acceptable]);
}

const DOT_PATH: Check = Check {
    id: "craftkit/input/dot-path",
    rules: &["craftkit.input.dot-path", "craftkit.input.dotted-literal"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_dot_path(g)),
    judge: judge_dot_path,
    sabotages: &[
        Sabotage {
            defect: "looks for dotted keys at the top level only",
            turns_red: &["craftkit.input.dot-path"],
            apply: |evidence| turn_refused(evidence, "nested", "customer.name"),
        },
        Sabotage {
            defect: "reads groups, but does not miss what is not in them",
            turns_red: &["craftkit.input.dot-path"],
            apply: |evidence| turn_accepted(evidence, "lacks/customer.name"),
        },
        Sabotage {
            defect: "descends five levels and no further",
            turns_red: &["craftkit.input.dot-path"],
            apply: |evidence| turn_accepted(evidence, "lacks/one.two.three.four.five.six"),
        },
        Sabotage {
            defect: "finds a scalar by the last part of its key anywhere",
            turns_red: &["craftkit.input.dot-path"],
            apply: |evidence| turn_accepted(evidence, "misplaced"),
        },
        Sabotage {
            defect: "checks types at the top level only",
            turns_red: &["craftkit.input.dot-path"],
            apply: |evidence| turn_accepted(evidence, "wrong/order.lines.count"),
        },
        Sabotage {
            defect: "takes a key spelled with the dot for the nested scalar",
            turns_red: &["craftkit.input.dotted-literal"],
            apply: |evidence| turn_accepted(evidence, "dotted"),
        },
    ],
};

/// Steps that lack the required scalar of one depth each, two to six.
const DEPTHS: [&str; 5] = [
    "lacks/customer.name",
    "lacks/order.shipping.country",
    "lacks/order.shipping.address.street",
    "lacks/site.page.block.line.word",
    "lacks/one.two.three.four.five.six",
];

async fn gather_dot_path(g: &mut Gather) -> Result<(), Stop> {
    let flat = g.template(&manifest(&[variable("title", "text", true)], &[]), json!({})).await?;
    let variables = [
        variable("title", "text", true),
        variable("count", "number", false),
        variable("customer.name", "text", true),
        variable("order.shipping.country", "text", true),
        variable("order.lines.count", "number", false),
        variable("order.shipping.address.street", "text", true),
        variable("site.page.block.line.word", "text", true),
        variable("one.two.three.four.five.six", "text", true),
    ];
    let nested = g.template(&manifest(&variables, &[]), json!({})).await?;
    let body = nested_body();
    send_control(g, "flat", &flat, &json!({"title": "Spring sale"})).await;
    send_control(g, "nested", &nested, &body).await;
    let mut cases = vec![
        ("lacks/title", without(&body, "/title")),
        ("wrong/count", with(&body, "/count", json!("abc"))),
        ("wrong/order.lines.count", with(&body, "/order/lines/count", json!("abc"))),
        ("misplaced", with(&without(&body, "/customer/name"), "/name", json!("Acme Corp"))),
        ("dotted", with(&without(&body, "/customer/name"), "/customer.name", json!("Acme Corp"))),
    ];
    for step in DEPTHS {
        let key = step.trim_start_matches("lacks");
        cases.push((step, without(&body, &key.replace('.', "/"))));
    }
    send_bodies(g, &nested, &cases).await;
    Ok(())
}

fn nested_body() -> Value {
    json!({
        "title": "Spring sale",
        "count": 1,
        "customer": {"name": "Acme Corp"},
        "order": {"shipping": {"country": "NL", "address": {"street": "Dam"}}, "lines": {"count": 2}},
        "site": {"page": {"block": {"line": {"word": "hello"}}}},
        "one": {"two": {"three": {"four": {"five": {"six": "deep"}}}}},
    })
}

fn judge_dot_path(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "craftkit.input.dot-path";
    expect_acceptance(&mut judge, rule, "nested", "flat");
    // What a target does not even refuse at the top level is the concern of the rules about that.
    for step in DEPTHS.iter().chain(&["misplaced"]) {
        let acceptable = refusals(&judge, "lacks/title");
        judge.rule(rule).control("nested").control_fits("lacks/title", &refused()).expects(step, &acceptable);
    }
    let acceptable = refusals(&judge, "lacks/title");
    judge
        .rule(rule)
        .control("nested")
        .control_fits("wrong/count", &refused())
        .expects("wrong/order.lines.count", &acceptable);
    let acceptable = refusals(&judge, "lacks/title");
    judge
        .rule("craftkit.input.dotted-literal")
        .control("nested")
        .control_fits("lacks/customer.name", &refused())
        .expects("dotted", &acceptable);
    judge.findings()
}

const EMPTY_MANIFEST: Check = Check {
    id: "craftkit/input/empty-manifest",
    rules: &["craftkit.input.empty-manifest"],
    needs: Needs::fixtures(Api::Craftkit, &[Method::TemplateCreate]),
    gather: |g| Box::pin(gather_empty_manifest(g)),
    judge: judge_empty_manifest,
    sabotages: &[Sabotage {
        defect: "refuses an empty body object even where nothing is asked for",
        turns_red: &["craftkit.input.empty-manifest"],
        apply: |evidence| turn_refused(evidence, "empty", "data"),
    }],
};

async fn gather_empty_manifest(g: &mut Gather) -> Result<(), Stop> {
    let asking = g.template(&manifest(&[variable("title", "text", true)], &[]), json!({})).await?;
    let empty = g.template(&manifest(&[], &[]), json!({})).await?;
    send_control(g, "control", &asking, &json!({"title": "Spring sale"})).await;
    send_control(g, "empty", &empty, &json!({})).await;
    Ok(())
}

fn judge_empty_manifest(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    expect_acceptance(&mut judge, "craftkit.input.empty-manifest", "empty", "control");
    judge.findings()
}
