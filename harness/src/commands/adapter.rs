//! `hookproof adapter check`.

use std::fmt::Write as _;
use std::sync::Arc;

use super::check::{TargetChoice, open_target};
use super::{complain, complain_for_adapter, print};
use crate::adapter::{self, Account, Outcome};
use crate::cli::AdapterCheckArgs;
use crate::exit::Exit;
use crate::report::terminal::printable;
use crate::runner::Interrupt;

/// Tries every method of a target's fixtures.
pub async fn run(args: &AdapterCheckArgs, interrupt: Interrupt) -> Exit {
    let choice = TargetChoice { target: args.target.clone(), owned: args.i_own_this_target, verbose: args.verbose };
    let target = match open_target(&choice.settings(), &choice, &interrupt).await {
        Ok(target) => target,
        Err(error) => {
            let exit = error.exit();
            return complain(&error, exit);
        }
    };
    let (account, secrets) = adapter::try_all(&target, &interrupt).await;
    print(&render(&target.name, &account));
    let fixtures = Arc::clone(&target.world.fixtures);
    target.close().await;
    complain_for_adapter(&fixtures.adapter_said(), &secrets);
    let signal = *interrupt.borrow();
    if let Some(signal) = signal {
        print("interrupted: the other methods were not tried\n");
        return Exit::Signal(signal.0);
    }
    exit_of(&account)
}

fn render(target: &str, account: &Account) -> String {
    let mut text = format!("hookproof adapter check: target {target}\n\n");
    for (method, outcome) in account {
        let said = match outcome {
            Outcome::Works => "works".to_owned(),
            Outcome::Missing => "not offered; rules that need it will not be run".to_owned(),
            Outcome::Untried(why) => format!("not tried: {}", printable(why)),
            Outcome::Wrong(why) => format!("WRONG: {}", printable(why)),
        };
        writeln!(text, "  {:20} {said}", method.name()).expect("writing to a string does not fail");
    }
    let wrong = account.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Wrong(_))).count();
    let works = account.iter().filter(|(_, outcome)| *outcome == Outcome::Works).count();
    writeln!(text, "\n{works} of {} methods work, {wrong} are wrong", account.len())
        .expect("writing to a string does not fail");
    text
}

fn exit_of(account: &Account) -> Exit {
    let any = |wanted: fn(&Outcome) -> bool| account.iter().any(|(_, outcome)| wanted(outcome));
    if any(|outcome| matches!(outcome, Outcome::Wrong(_))) {
        Exit::Fails
    } else if any(|outcome| matches!(outcome, Outcome::Missing | Outcome::Untried(_))) {
        Exit::Incomplete
    } else {
        Exit::Holds
    }
}
