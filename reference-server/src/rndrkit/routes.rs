//! The refresh route: reads the request, lets the rules decide inside one transaction, replies.

use std::sync::Arc;

use hyper::header;

use super::rules::{Command, State, attempt};
use super::wire::Asked;
use crate::clock::Millis;
use crate::http::{Answer, Inbound};
use crate::parts::Parts;
use crate::server::App;
use crate::store::{Read, View, transact};

/// Answers `POST /api/webhook/refresh`.
pub(crate) async fn refresh(app: &Arc<App>, request: &Inbound) -> Answer {
    let command = Command {
        bearer: request.bearer().map(<[u8]>::to_vec),
        asked: app.parts.refresh_rules.read(request.header(&header::CONTENT_TYPE), &request.body),
        connection: request.connection,
    };
    if command.bearer.is_none() {
        // Nothing to look up and nothing to store: no need for the writer.
        let now = app.clock.now();
        let rules = &app.parts.refresh_rules;
        let decision = rules.decide(&app.refresh_judges, &State::default(), &command, now);
        if decision.writes.is_empty() {
            return reply(app, decision.reply);
        }
    }
    let deciding = app.clone();
    let decided = transact(&*app.store, move |view| {
        // Inside the transaction, so that no later request is decided at an earlier moment.
        let now = deciding.clock.now();
        let state = load(view, &deciding.parts, &command, now)?;
        let rules = &deciding.parts.refresh_rules;
        let decision = rules.decide(&deciding.refresh_judges, &state, &command, now);
        Ok((decision.reply, decision.writes))
    });
    match decided.await {
        Ok(outcome) => reply(app, outcome),
        Err(error) => app.store_failed(request, &error),
    }
}

fn reply(app: &App, outcome: Result<super::wire::Accepted, super::wire::Refusal>) -> Answer {
    match outcome {
        Ok(accepted) => accepted.answer(),
        Err(refusal) => app.parts.errors.refresh(&refusal),
    }
}

fn load(view: &dyn View, parts: &Parts, command: &Command, now: Millis) -> Read<State> {
    let Some(bearer) = &command.bearer else {
        return Ok(State::default());
    };
    let owner = parts.tokens.webhook(view, bearer)?;
    let Some((token, domain)) = &owner else {
        return Ok(State::default());
    };
    let window = view.window(&parts.limiter.key(&attempt(token, domain, command, now)))?;
    let known_paths = match &command.asked {
        Ok(Asked::Full) => view.known_paths(&domain.name)?,
        Ok(Asked::Paths(_)) | Err(_) => Vec::new(),
    };
    Ok(State { owner, window, known_paths })
}
