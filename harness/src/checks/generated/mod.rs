//! Checks that try generated cases, between the documents' examples.
//!
//! A property holds for every case; the contract alone says so. Its check draws cases from a seed, tries them at the target and judges
//! them; of what fails it looks for the smallest, and that one alone stays in the evidence. Each failure is one of a rule that examples
//! are judged by as well, so a target that lacks what these checks need is not less judged, only less often.

mod draw;
mod hooks;
mod manifest_case;
mod manifest_steps;
mod manifests;
mod path_list;
mod paths;
mod patience;
mod refresh_steps;
mod refreshes;
mod rounds;
mod script;
mod spelling;
mod trial;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checks::Check;
pub use script::{case_at, script};

/// Cases of each property, unless the user says otherwise.
pub const DEFAULT_CASES: u32 = 48;

/// The checks with generated cases.
pub const CHECKS: &[Check] = &[paths::PATHS, manifests::MANIFESTS, refreshes::REFRESHES, hooks::HOOKS];

/// A case that failed in an earlier run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptCase {
    /// The check that tries it.
    pub check: String,
    /// The case, in the form of the check's property.
    pub case: Value,
}

/// Looks whether a case has the form of a property.
type Understands = fn(&Value) -> Result<(), serde_json::Error>;

impl KeptCase {
    /// Looks whether a check of this version can try it.
    ///
    /// # Errors
    /// What was expected and what was found.
    pub fn validate(&self) -> Result<(), String> {
        let forms: [(&str, Understands); 4] = [
            (paths::PATHS.id, paths::understands),
            (manifests::MANIFESTS.id, manifests::understands),
            (refreshes::REFRESHES.id, refreshes::understands),
            (hooks::HOOKS.id, hooks::understands),
        ];
        let Some((id, understands)) = forms.into_iter().find(|(id, _)| *id == self.check) else {
            let known = forms.map(|(id, _)| id).join(", ");
            return Err(format!("expected a case of one of the checks {known}, found one of `{}`", self.check));
        };
        understands(&self.case).map_err(|error| format!("expected a case of {id}, found: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kept_case_that_no_check_can_try_is_refused() {
        let case = json!({"others": [], "plain": 3, "root": false, "style": "page", "at": 0});
        let kept = |check: &str, case: &Value| KeptCase { check: check.to_owned(), case: case.clone() }.validate();
        assert_eq!(kept("rndrkit/generated/paths", &case), Ok(()));
        assert!(kept("rndrkit/generated/path", &case).is_err_and(|why| why.contains("rndrkit/generated/paths")));
        assert!(kept("rndrkit/generated/paths", &json!({"plain": -1})).is_err());
    }
}
