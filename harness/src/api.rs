//! The APIs that can be judged. Adding one starts here: the compiler lists the places that must know it.

use serde::{Deserialize, Serialize};

/// One documented API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// RndrKit's webhook refresh.
    Rndrkit,
    /// CraftKit's inbound render hook.
    Craftkit,
}

impl Api {
    /// Every API, in the order of the catalogue.
    pub const ALL: [Api; 2] = [Api::Rndrkit, Api::Craftkit];

    /// The name used in rule ids, in the target file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Api::Rndrkit => "rndrkit",
            Api::Craftkit => "craftkit",
        }
    }

    /// The status of an accepted request.
    pub fn accepted_status(self) -> u16 {
        match self {
            Api::Rndrkit => 200,
            Api::Craftkit => 202,
        }
    }
}
