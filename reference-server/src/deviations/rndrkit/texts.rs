//! Wrong texts of refusals.

use std::sync::Arc;

use hyper::StatusCode;

use crate::deviations::Deviation;
use crate::http::Answer;
use crate::parts::{ErrorWriter, Parts};
use crate::{craftkit, rndrkit};

/// The deviations of this topic.
pub(super) const DEVIATIONS: &[Deviation] = &[HEADER_MISSING];

const HEADER_MISSING: Deviation = Deviation {
    name: "header-missing-text",
    defect: "a missing Authorization header is answered with another text",
    why: "a gateway in front answers it in its own words",
    turns_red: &["rndrkit.auth.header-missing"],
    consequences: &[],
    change: |parts| {
        let errors = Arc::new(HeaderMissing(parts.errors.clone()));
        Parts { errors, ..parts }
    },
};

struct HeaderMissing(Arc<dyn ErrorWriter>);

impl ErrorWriter for HeaderMissing {
    fn refresh(&self, refusal: &rndrkit::wire::Refusal) -> Answer {
        match refusal {
            rndrkit::wire::Refusal::NoBearer => Answer::fixed(StatusCode::UNAUTHORIZED, r#"{"error":"Unauthorized"}"#),
            _ => self.0.refresh(refusal),
        }
    }

    fn render(&self, refusal: &craftkit::wire::Refusal) -> Answer {
        self.0.render(refusal)
    }
}
