//! `hookproof rules`: the catalogue, one rule in full, and what is stated but not judged.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::catalogue::unjudged::UNJUDGED;
use crate::catalogue::{self, Rule};
use crate::checks;

/// The whole catalogue as text.
pub fn list() -> String {
    let mut text = String::new();
    for rule in catalogue::all() {
        writeln!(text, "{:6} {}", rule.level.name(), rule.id).expect("writing to a string");
    }
    writeln!(text, "\nStated in the documents, not judged:").expect("writing to a string");
    for statement in UNJUDGED {
        writeln!(text, "  {} ({})", statement.statement, statement.reason).expect("writing to a string");
    }
    text
}

/// One rule in full.
pub fn explain(rule: &Rule) -> String {
    let mut text = format!("{} ({})\n  demand  {}\n", rule.id, rule.level.name(), rule.demand);
    if let Some(part) = rule.should_part {
        writeln!(text, "  should  {part}").expect("writing to a string");
    }
    writeln!(text, "  source  {} ({})", rule.source.text, rule.source.kind.name()).expect("writing to a string");
    for check in judging(rule) {
        writeln!(text, "  check   {}", check.id).expect("writing to a string");
        for sabotage in check.sabotages.iter().filter(|sabotage| sabotage.turns_red.contains(&rule.id)) {
            writeln!(text, "          catches a server that {}", sabotage.defect).expect("writing to a string");
        }
    }
    if judging(rule).next().is_none() {
        writeln!(text, "  check   none yet").expect("writing to a string");
    }
    text
}

/// The whole catalogue as JSON.
pub fn list_json() -> Value {
    json!({
        "contract": super::CONTRACT,
        "rules": catalogue::all().map(explain_json).collect::<Vec<Value>>(),
        "not_judged": UNJUDGED
            .iter()
            .map(|statement| json!({"statement": statement.statement, "reason": statement.reason}))
            .collect::<Vec<Value>>(),
    })
}

/// One rule as JSON.
pub fn explain_json(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "level": rule.level.name(),
        "demand": rule.demand,
        "should_part": rule.should_part,
        "source": {"kind": rule.source.kind.name(), "text": rule.source.text},
        "checks": judging(rule).map(|check| check.id).collect::<Vec<&str>>(),
    })
}

fn judging(rule: &Rule) -> impl Iterator<Item = &'static checks::Check> {
    let id = rule.id;
    checks::all().filter(move |check| check.rules.contains(&id))
}
