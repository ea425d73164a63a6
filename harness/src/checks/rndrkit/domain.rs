//! Domains that may not refresh: inactive ones, and those whose plan has no webhooks.

use serde_json::json;

use super::{as_refused_in, text, valid};
use crate::api::Api;
use crate::checks::judge::{Judge, not_success, rndrkit_error, status};
use crate::checks::{Check, Needs, Sabotage};
use crate::evidence::{Evidence, Exchange};
use crate::gather::{DomainWish, Gather, Stop};
use crate::target::protocol::Method;
use crate::verdict::Finding;

/// The checks of this topic.
pub const CHECKS: &[Check] = &[CREATED_INACTIVE, DEACTIVATED, PLANS_BELOW, PLAN_AGENCY];

const ACCEPTED: u16 = 200;
const FORBIDDEN: u16 = 403;

const CREATED_INACTIVE: Check = Check {
    id: "rndrkit/domain/created-inactive",
    rules: &["rndrkit.domain.inactive"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_created_inactive(g)),
    judge: judge_created_inactive,
    sabotages: &[
        Sabotage {
            defect: "serves inactive domains",
            turns_red: &["rndrkit.domain.inactive"],
            apply: |evidence| evidence.answer("inactive", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "hides that the domain is inactive behind a 401",
            turns_red: &["rndrkit.domain.inactive"],
            apply: |evidence| evidence.answer("inactive", 401, &json!({"error": text::TOKEN})),
        },
        Sabotage {
            defect: "answers with another text",
            turns_red: &["rndrkit.domain.inactive"],
            apply: |evidence| evidence.answer("inactive", FORBIDDEN, &json!({"error": "Domain inactive"})),
        },
    ],
};

async fn gather_created_inactive(g: &mut Gather) -> Result<(), Stop> {
    let mut active = g.domain(DomainWish::default()).await?;
    let mut inactive = g.domain(DomainWish::default().with("active", false)).await?;
    g.send(valid("control", &mut active)).await;
    g.send(valid("inactive", &mut inactive)).await;
    Ok(())
}

fn judge_created_inactive(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let documented = rndrkit_error(FORBIDDEN, text::INACTIVE);
    judge.rule("rndrkit.domain.inactive").control("control").expects("inactive", &[documented]);
    judge.findings()
}

const DEACTIVATED: Check = Check {
    id: "rndrkit/domain/deactivated",
    rules: &["rndrkit.domain.inactive"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate, Method::DomainUpdate]),
    gather: |g| Box::pin(gather_deactivated(g)),
    judge: judge_deactivated,
    sabotages: &[
        Sabotage {
            defect: "looks at the domain's state only when a token is first used",
            turns_red: &["rndrkit.domain.inactive"],
            apply: |evidence| evidence.answer("deactivated", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "never serves a domain again that was inactive once",
            turns_red: &["rndrkit.domain.inactive"],
            apply: |evidence| evidence.answer("reactivated", FORBIDDEN, &json!({"error": text::INACTIVE})),
        },
    ],
};

async fn gather_deactivated(g: &mut Gather) -> Result<(), Stop> {
    let mut domain = g.domain(DomainWish::default()).await?;
    g.send(valid("before", &mut domain)).await;
    g.update_domain(&domain, json!({"active": false})).await?;
    let request = valid("deactivated", &mut domain);
    g.settled_sparingly(request, |exchange: &Exchange| !exchange.is(ACCEPTED)).await;
    g.update_domain(&domain, json!({"active": true})).await?;
    let request = valid("reactivated", &mut domain);
    g.settled_sparingly(request, |exchange: &Exchange| exchange.is(ACCEPTED)).await;
    Ok(())
}

fn judge_deactivated(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let rule = "rndrkit.domain.inactive";
    let documented = rndrkit_error(FORBIDDEN, text::INACTIVE);
    judge.rule(rule).control("before").expects("deactivated", &[documented]);
    let again = judge.rule(rule).should_part().control("before").control_fits("deactivated", &not_success());
    again.expects("reactivated", &[status(ACCEPTED)]);
    judge.findings()
}

const PLANS_BELOW: Check = Check {
    id: "rndrkit/plan/below",
    rules: &["rndrkit.plan.starter", "rndrkit.plan.pro"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_plans_below(g)),
    judge: judge_plans_below,
    sabotages: &[
        Sabotage {
            defect: "serves the lowest plan",
            turns_red: &["rndrkit.plan.starter"],
            apply: |evidence| evidence.answer("starter", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "words the refusal otherwise, whatever the plan",
            turns_red: &["rndrkit.plan.starter"],
            apply: |evidence| {
                for step in ["starter", "pro"] {
                    evidence.answer(step, FORBIDDEN, &json!({"error": "Webhook refresh requires Agency plan"}));
                }
            },
        },
        Sabotage {
            defect: "serves every paid plan",
            turns_red: &["rndrkit.plan.pro"],
            apply: |evidence| evidence.answer("pro", ACCEPTED, &json!({"message": text::QUEUED})),
        },
        Sabotage {
            defect: "asks for payment",
            turns_red: &["rndrkit.plan.pro"],
            apply: |evidence| evidence.answer("pro", 402, &json!({"error": text::PLAN})),
        },
    ],
};

async fn gather_plans_below(g: &mut Gather) -> Result<(), Stop> {
    for (label, plan) in [("control", "agency_plus"), ("starter", "starter"), ("pro", "pro")] {
        let mut domain = g.domain(DomainWish::default().plan(plan)).await?;
        g.send(valid(label, &mut domain)).await;
    }
    Ok(())
}

fn judge_plans_below(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let documented = rndrkit_error(FORBIDDEN, text::PLAN);
    judge.rule("rndrkit.plan.starter").control("control").expects("starter", &[documented]);
    let as_starter = as_refused_in(&judge, "starter", "the same refusal as for `Starter`");
    let documented = rndrkit_error(FORBIDDEN, text::PLAN);
    judge.rule("rndrkit.plan.pro").control("control").expects("pro", &[documented, as_starter]);
    judge.findings()
}

const PLAN_AGENCY: Check = Check {
    id: "rndrkit/plan/agency",
    rules: &["rndrkit.plan.agency"],
    needs: Needs::fixtures(Api::Rndrkit, &[Method::DomainCreate]),
    gather: |g| Box::pin(gather_plan_agency(g)),
    judge: judge_plan_agency,
    sabotages: &[Sabotage {
        defect: "takes `Agency+` for `Agency` and above",
        turns_red: &["rndrkit.plan.agency"],
        apply: |evidence| evidence.answer("agency", ACCEPTED, &json!({"message": text::QUEUED})),
    }],
};

async fn gather_plan_agency(g: &mut Gather) -> Result<(), Stop> {
    for (label, plan) in [("control", "agency_plus"), ("starter", "starter"), ("agency", "agency")] {
        let mut domain = g.domain(DomainWish::default().plan(plan)).await?;
        g.send(valid(label, &mut domain)).await;
    }
    Ok(())
}

fn judge_plan_agency(evidence: &Evidence) -> Vec<Finding> {
    let mut judge = Judge::new(evidence);
    let as_starter = as_refused_in(&judge, "starter", "the same refusal as for `Starter`");
    let documented = rndrkit_error(FORBIDDEN, text::PLAN);
    judge.rule("rndrkit.plan.agency").control("control").expects("agency", &[documented, as_starter]);
    judge.findings()
}
