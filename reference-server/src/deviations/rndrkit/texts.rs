//! Refusals with a wrong text or status.

use hyper::StatusCode;

use super::wrap::refusing;
use crate::deviations::Deviation;
use crate::http::Answer;
use crate::parts::Parts;
use crate::rndrkit::wire::{Refusal, refuse};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[
    HEADER_MISSING_TEXT,
    HEADER_MISSING_STATUS,
    TOKEN_TEXT,
    TOKEN_STATUS,
    INACTIVE_TEXT,
    INACTIVE_STATUS,
    PLAN_TEXT,
    PLAN_STATUS,
    RATE_TEXT,
    RATE_STATUS,
    RATE_UNAVAILABLE,
    BODY_TEXT,
    BODY_STATUS,
    PATHS_TEXT,
    PATHS_STATUS,
    QUOTA_TEXT,
    QUOTA_STATUS,
];

const HEADER_MISSING_TEXT: Deviation = Deviation {
    name: "header-missing-text",
    defect: "answers a missing Authorization header with another text",
    why: "a gateway in front answers it in its own words",
    turns_red: &["rndrkit.auth.header-missing"],
    consequences: &[],
    change: |parts| worded(parts, Refusal::NoBearer, r#"{"error":"Unauthorized"}"#),
};

const HEADER_MISSING_STATUS: Deviation = Deviation {
    name: "header-missing-status",
    defect: "answers a missing Authorization header with 403",
    why: "the framework's bearer guard answers so by default",
    turns_red: &["rndrkit.auth.header-missing"],
    consequences: &[],
    change: |parts| with_status(parts, Refusal::NoBearer, StatusCode::FORBIDDEN),
};

const TOKEN_TEXT: Deviation = Deviation {
    name: "token-unknown-text",
    defect: "answers an unknown token with another text",
    why: "the text is written from memory",
    turns_red: &["rndrkit.auth.token-unknown"],
    consequences: &[],
    change: |parts| worded(parts, Refusal::UnknownToken, r#"{"error":"Invalid webhook token"}"#),
};

const TOKEN_STATUS: Deviation = Deviation {
    name: "token-unknown-status",
    defect: "answers an unknown token with 403",
    why: "a token that was sent is taken for authentication, a wrong one for a lack of permission",
    turns_red: &["rndrkit.auth.token-unknown"],
    consequences: &[],
    change: |parts| with_status(parts, Refusal::UnknownToken, StatusCode::FORBIDDEN),
};

const INACTIVE_TEXT: Deviation = Deviation {
    name: "inactive-text",
    defect: "answers for an inactive domain with another text",
    why: "the text is written from memory",
    turns_red: &["rndrkit.domain.inactive"],
    consequences: &[],
    change: |parts| worded(parts, Refusal::DomainInactive, r#"{"error":"Domain is inactive"}"#),
};

const INACTIVE_STATUS: Deviation = Deviation {
    name: "inactive-status",
    defect: "answers for an inactive domain with 404",
    why: "inactive domains are hidden from every query by a default filter",
    turns_red: &["rndrkit.domain.inactive"],
    consequences: &[],
    change: |parts| with_status(parts, Refusal::DomainInactive, StatusCode::NOT_FOUND),
};

const PLAN_TEXT: Deviation = Deviation {
    name: "plan-text",
    defect: "names another plan in the refusal of a plan without webhooks",
    why: "the plan was renamed and the text was not",
    turns_red: &["rndrkit.plan.starter"],
    consequences: &[],
    change: |parts| worded(parts, Refusal::PlanTooSmall, r#"{"error":"Webhook refresh requires Agency plan"}"#),
};

const PLAN_STATUS: Deviation = Deviation {
    name: "plan-status",
    defect: "answers for a plan without webhooks with 402",
    why: "what money would solve is answered with Payment Required",
    turns_red: &["rndrkit.plan.starter"],
    consequences: &[],
    change: |parts| with_status(parts, Refusal::PlanTooSmall, StatusCode::PAYMENT_REQUIRED),
};

const RATE_TEXT: Deviation = Deviation {
    name: "rate-text",
    defect: "answers beyond the hourly limit with another text",
    why: "the limiter's library has a default text",
    turns_red: &["rndrkit.rate.exceeded-response"],
    consequences: &[],
    change: |parts| worded(parts, Refusal::RateLimited, r#"{"error":"Too many requests, please try again later."}"#),
};

const RATE_STATUS: Deviation = Deviation {
    name: "rate-status",
    defect: "answers beyond the hourly limit with 403",
    why: "all limits of the product are answered alike, and the quota's comes with 403",
    turns_red: &["rndrkit.rate.exceeded-response"],
    consequences: &[],
    change: |parts| with_status(parts, Refusal::RateLimited, StatusCode::FORBIDDEN),
};

const RATE_UNAVAILABLE: Deviation = Deviation {
    name: "rate-unavailable",
    defect: "answers beyond the hourly limit with 503",
    why: "the proxy that limits answers so unless it is configured",
    turns_red: &["rndrkit.rate.exceeded-response"],
    consequences: &[],
    change: |parts| with_status(parts, Refusal::RateLimited, StatusCode::SERVICE_UNAVAILABLE),
};

const BODY_TEXT: Deviation = Deviation {
    name: "body-text",
    defect: "answers a body that asks for nothing with other quotation marks in the text",
    why: "the text was copied from a page that had made its quotes single ones",
    turns_red: &["rndrkit.body.empty"],
    consequences: &[],
    change: |parts| worded(parts, Refusal::NothingAsked, r#"{"error":"Provide 'urls' array or 'all': true"}"#),
};

const BODY_STATUS: Deviation = Deviation {
    name: "body-status",
    defect: "answers a body that asks for nothing with 422",
    why: "the framework's validation answers so by default",
    turns_red: &["rndrkit.body.empty"],
    consequences: &[],
    change: |parts| with_status(parts, Refusal::NothingAsked, StatusCode::UNPROCESSABLE_ENTITY),
};

const PATHS_TEXT: Deviation = Deviation {
    name: "paths-text",
    defect: "answers a list without a valid path with another text",
    why: "the part in brackets was left out",
    turns_red: &["rndrkit.paths.none-valid"],
    consequences: &[],
    change: |parts| worded(parts, Refusal::NoValidPath, r#"{"error":"No valid URL paths"}"#),
};

const PATHS_STATUS: Deviation = Deviation {
    name: "paths-status",
    defect: "answers a list without a valid path with 422",
    why: "the body can be read, so it is its content that cannot be processed",
    turns_red: &["rndrkit.paths.none-valid"],
    consequences: &[],
    change: |parts| with_status(parts, Refusal::NoValidPath, StatusCode::UNPROCESSABLE_ENTITY),
};

const QUOTA_TEXT: Deviation = Deviation {
    name: "quota-text",
    defect: "answers a used-up quota with another text",
    why: "the text is that of another endpoint of the product",
    turns_red: &["rndrkit.quota.reached"],
    consequences: &[],
    change: |parts| worded(parts, Refusal::QuotaReached, r#"{"error":"Render limit reached"}"#),
};

const QUOTA_STATUS: Deviation = Deviation {
    name: "quota-status",
    defect: "answers a used-up quota with 402",
    why: "what money would solve is answered with Payment Required",
    turns_red: &["rndrkit.quota.reached"],
    consequences: &[],
    change: |parts| with_status(parts, Refusal::QuotaReached, StatusCode::PAYMENT_REQUIRED),
};

/// The parts with one refusal of another text.
fn worded(parts: Parts, which: Refusal, body: &'static str) -> Parts {
    refusing(parts, move |refusal| (*refusal == which).then(|| Answer::fixed(refuse(refusal).status, body)))
}

/// The parts with one refusal of another status.
fn with_status(parts: Parts, which: Refusal, status: StatusCode) -> Parts {
    refusing(parts, move |refusal| (*refusal == which).then(|| Answer { status, ..refuse(refusal) }))
}
