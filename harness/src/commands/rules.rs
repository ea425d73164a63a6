//! `hookproof rules`.

use thiserror::Error;

use super::{complain, print};
use crate::catalogue;
use crate::cli::{RulesArgs, RulesFormat};
use crate::exit::Exit;
use crate::report::rules::{explain, explain_json, list, list_json};

#[derive(Debug, Error)]
#[error("expected the id of a rule, found `{id}`{hint}; `hookproof rules` lists them")]
struct UnknownRule {
    id: String,
    hint: String,
}

/// Lists the catalogue or explains one rule.
pub fn run(args: &RulesArgs) -> Exit {
    let text = match &args.id {
        None => match args.format {
            RulesFormat::Text => list(),
            RulesFormat::Json => format!("{:#}\n", list_json()),
        },
        Some(id) => match catalogue::find(id) {
            Some(rule) => match args.format {
                RulesFormat::Text => explain(rule),
                RulesFormat::Json => format!("{:#}\n", explain_json(rule)),
            },
            None => {
                let hint =
                    catalogue::nearest(id).map_or(String::new(), |nearest| format!(", did you mean `{nearest}`?"));
                return complain(&UnknownRule { id: id.clone(), hint }, Exit::Usage);
            }
        },
    };
    print(&text);
    Exit::Holds
}
