//! Failures as annotations of a GitHub job: workflow commands on stdout.

use super::Report;

/// One line for each new failure, for a rule that could not be judged although it counts, and for a stale known failure.
pub fn annotations(report: &Report) -> String {
    let mut text = String::new();
    for rule in &report.rules {
        let level = if report.is_new_failure(rule) {
            "error"
        } else if rule.status.is_red() || report.is_open(rule) {
            "warning"
        } else {
            continue;
        };
        let said = format!("{} ({}): {}", rule.status.name(), rule.level, rule.reason);
        text.push_str(&command(level, &rule.id, &said));
    }
    for known in report.known_failures.iter().filter(|known| known.state.is_failure()) {
        text.push_str(&command("error", &known.entry.rule, &super::terminal::stale_words(known)));
    }
    text
}

fn command(level: &str, title: &str, message: &str) -> String {
    format!("::{level} title={}::{}\n", property(title), data(message))
}

/// Escapes the data of a workflow command.
fn data(text: &str) -> String {
    super::terminal::printable(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_cannot_add_a_command_of_its_own() {
        let line = command("error", "a,b:c", "x\n::set-output name=y::z %");
        assert_eq!(line, "::error title=a%2Cb%3Ac::x\\u{a}::set-output name=y::z %25\n");
    }
}
