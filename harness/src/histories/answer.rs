//! What an answer to a refresh proves about the limits. Pure.

use scenarios::history::Outcome;

use crate::audit::Kind;

/// The text of the limit's refusal begins so; behind it stands the limit.
const RATE_ERROR: &str = "Rate limit exceeded";
/// The text of the quota's refusal.
const QUOTA_ERROR: &str = "Monthly render limit reached";
/// The texts of refusals for an invalid body.
const INVALID_ERRORS: [&str; 2] = ["Provide \"urls\" array or \"all\": true", "No valid URL paths (must start with /)"];

/// An answer to a refresh, or its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200.
    Served,
    /// 429 by the limit.
    Refused,
    /// 429 with the error of somebody else, who stands in front.
    Foreign,
    /// 400 with a documented error. The documents say that it counts; whether in every order of checks is not said.
    Invalid,
    /// 403 by the quota.
    QuotaRefused,
    /// Any other answer that ends the request.
    Other,
    /// An answer of somebody who gave up waiting, or none: the request may still be under way.
    Open,
}

/// Whose verdict: what must hold, or what should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// Only what the documents leave no doubt of is held against the server.
    Must,
    /// Documented refusals for invalid bodies surely count, too.
    Should,
}

impl Answer {
    /// Reads an outcome; none: the operation never ended.
    pub(super) fn of<T: AsRef<str>>(outcome: Option<&Outcome<T>>) -> Answer {
        let Some(outcome) = outcome else { return Answer::Open };
        let error = outcome.error.as_ref().map(AsRef::as_ref);
        match outcome.status {
            None => Answer::Open,
            Some(200) => Answer::Served,
            // Who recorded no error has the status only; it is taken at its word.
            Some(429) if error.is_none_or(|error| error.starts_with(RATE_ERROR)) => Answer::Refused,
            Some(429) => Answer::Foreign,
            Some(400) if error.is_some_and(|error| INVALID_ERRORS.contains(&error)) => Answer::Invalid,
            Some(403) if error == Some(QUOTA_ERROR) => Answer::QuotaRefused,
            // A time limit, the client's absence, or a gateway: what stands behind may go on.
            Some(408 | 499 | 502 | 503 | 504) => Answer::Open,
            Some(_) => Answer::Other,
        }
    }

    /// What it proves about the rate limit, if it came at `end`.
    pub(super) fn kind(self, view: View, end: Option<i64>) -> Kind {
        let Some(end) = end else { return Kind::Perhaps { until: None } };
        match (self, view) {
            (Answer::Served, _) | (Answer::Invalid, View::Should) => Kind::Counted,
            (Answer::Refused, _) => Kind::Refused,
            (Answer::Foreign | Answer::Invalid | Answer::QuotaRefused | Answer::Other, _) => {
                Kind::Perhaps { until: Some(end) }
            }
            (Answer::Open, _) => Kind::Perhaps { until: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 9;

    #[track_caller]
    fn check(status: Option<u16>, error: Option<&str>, must: Kind, should: Kind) {
        let outcome = Outcome { status, error: error.map(str::to_owned), ..Outcome::at(9) };
        let answer = Answer::of(Some(&outcome));
        let found = (answer.kind(View::Must, Some(END)), answer.kind(View::Should, Some(END)));
        assert_eq!(found, (must, should), "{status:?} {error:?}");
    }

    #[test]
    fn only_what_was_served_surely_counts_and_only_the_limits_429_is_its_refusal() {
        let (counted, refused) = (Kind::Counted, Kind::Refused);
        let (ended, open) = (Kind::Perhaps { until: Some(END) }, Kind::Perhaps { until: None });
        check(Some(200), None, counted, counted);
        check(Some(429), None, refused, refused);
        check(Some(429), Some("Rate limit exceeded (10 requests/hour)"), refused, refused);
        check(Some(429), Some("slow down"), ended, ended);
        check(Some(400), Some(INVALID_ERRORS[0]), ended, counted);
        check(Some(400), Some(INVALID_ERRORS[1]), ended, counted);
        check(Some(400), Some("something else"), ended, ended);
        check(Some(401), Some("Invalid token"), ended, ended);
        check(Some(403), Some(QUOTA_ERROR), ended, ended);
        check(Some(500), None, ended, ended);
        check(Some(503), None, open, open);
        check(None, None, open, open);
        assert_eq!(Answer::of(None::<&Outcome>).kind(View::Must, None), open);
    }
}
