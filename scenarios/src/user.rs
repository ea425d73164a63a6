//! One user: takes slots, sends what they say, records what comes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::answer::{self, Said};
use crate::attack::Reporter;
use crate::crew::{Crew, POLL_TIME};
use crate::history::{Action, Invocation, Outcome, Place, Ticket};
use crate::outcome::{LATE_NS, Operation, Tally};
use crate::plan::{Job, Slot, Step};
use crate::run::LoadError;
use crate::scenario::Scenario;
use crate::send::{Answer, Failure, Line, Request};
use crate::server_clock::ServerClock;
use crate::totals::Totals;
use crate::wire;

/// Between two polls of one render: at first, and at last.
const POLL_GAP: Duration = Duration::from_millis(2);
const POLL_GAP_MAX: Duration = Duration::from_millis(100);

/// One of the crew.
pub(crate) struct User<'c> {
    crew: &'c Crew,
    number: usize,
    reporter: Reporter<'c>,
    rndrkit: Option<Line<'c>>,
    craftkit: Option<Line<'c>>,
    totals: Totals,
    /// Accepted renders that have not been seen to end.
    renders: Vec<Render>,
}

/// An accepted render.
struct Render {
    template: usize,
    id: String,
    poll: String,
}

/// A request that is recorded as invoked.
struct Invoked {
    ticket: Ticket,
    place: Place,
    request: Request,
}

impl<'c> User<'c> {
    pub(crate) fn new(crew: &'c Crew, number: usize, reporter: Reporter<'c>) -> User<'c> {
        let line = |door| Line::new(door, crew.stopwatch(), crew.order.request_time);
        User {
            rndrkit: crew.wire.rndrkit().map(line),
            craftkit: crew.wire.craftkit().map(line),
            crew,
            number,
            reporter,
            totals: Totals::default(),
            renders: Vec::new(),
        }
    }

    pub(crate) fn into_totals(self) -> Totals {
        self.totals
    }

    /// Takes part in every step.
    pub(crate) async fn work(&mut self) -> Result<(), LoadError> {
        for (index, step) in self.crew.plan().steps.iter().enumerate() {
            let go_on = match step {
                Step::Volley(slots) => self.volley(index, slots.get(self.number)).await?,
                Step::Stream(slots) => self.stream(index, slots).await?,
            };
            if !go_on {
                break;
            }
        }
        self.poll_to_their_ends().await
    }

    /// One slot together with the others': whatever can be done before, is. False if the run is stopped.
    async fn volley(&mut self, step: usize, slot: Option<&Slot>) -> Result<bool, LoadError> {
        let Some(slot) = slot else { return self.crew.meet(step).await };
        if slot.job.is_control() {
            let met = self.crew.meet(step).await?;
            if met {
                self.crew.control(slot.job, None).await?;
            }
            return Ok(met);
        }
        let connected = self.line(slot.job).connect().await;
        let invoked = match &connected {
            Ok(()) => Some(self.invoke(slot, None)?),
            Err(_) => None,
        };
        let met = self.crew.meet(step).await?;
        let due_ns = self.crew.step_begun_ns(step);
        match (invoked, connected) {
            (Some(invoked), _) if met => {
                self.crew.recorder().hand_over(invoked.place)?;
                self.exchange(slot, invoked, Some(due_ns), true).await?;
            }
            // Never sent, and the history says so.
            (Some(invoked), _) => self.close(invoked.ticket, "not sent")?,
            (None, Err(failure)) => self.unsent(slot.job, &failure),
            (None, Ok(())) => {}
        }
        Ok(met)
    }

    /// Slots of a stream, until there are no more.
    async fn stream(&mut self, step: usize, slots: &[Slot]) -> Result<bool, LoadError> {
        for line in [&mut self.rndrkit, &mut self.craftkit].into_iter().flatten() {
            // Only so that the first requests are not late: whether a connection comes about shows with the first request.
            let _ = line.connect().await;
        }
        if !self.crew.meet(step).await? {
            return Ok(false);
        }
        let begun_ns = self.crew.step_begun_ns(step);
        let deadline_ns = self.crew.deadline_ns();
        loop {
            let next = self.crew.next[step].fetch_add(1, Ordering::Relaxed);
            let Some(slot) = slots.get(next) else { return Ok(true) };
            let due_ns = slot.due_ns.map(|due| begun_ns + due);
            if !self.wait_until(due_ns).await {
                return Ok(false);
            }
            if self.crew.stopwatch().now_ns() >= deadline_ns {
                return Ok(true);
            }
            if slot.job.is_control() {
                self.crew.control(slot.job, due_ns).await?;
                continue;
            }
            if let Err(failure) = self.line(slot.job).connect().await {
                self.unsent(slot.job, &failure);
                continue;
            }
            let invoked = self.invoke(slot, due_ns)?;
            self.hand_over(invoked.place).await?;
            self.exchange(slot, invoked, due_ns, false).await?;
        }
    }

    /// False if the run is stopped before.
    async fn wait_until(&self, due_ns: Option<u64>) -> bool {
        let stop = &self.crew.order.stop;
        if let Some(due_ns) = due_ns.filter(|due_ns| *due_ns > self.crew.stopwatch().now_ns()) {
            tokio::select! {
                biased;
                () = stop.wait() => return false,
                () = tokio::time::sleep_until(self.crew.stopwatch().at(due_ns).into()) => {}
            }
        }
        !stop.is_set()
    }

    /// Lets others who are about to send post their lines, too, so that one write serves all.
    async fn hand_over(&self, place: Place) -> Result<(), LoadError> {
        tokio::task::yield_now().await;
        Ok(self.crew.recorder().hand_over(place)?)
    }

    fn line(&mut self, job: Job) -> &mut Line<'c> {
        let line = if matches!(job, Job::Render { .. }) { &mut self.craftkit } else { &mut self.rndrkit };
        line.as_mut().expect("a plan is carried out only where its APIs are")
    }

    /// Records that a slot's request is about to be sent.
    fn invoke(&mut self, slot: &Slot, due_ns: Option<u64>) -> Result<Invoked, LoadError> {
        let crew = self.crew;
        let request = match slot.job {
            Job::Render { template, form } => {
                crew.wire.render(template, &crew.order.grounds.templates[template], form, slot.index)
            }
            Job::Refresh { domain, token, body, .. } => crew.wire.refresh(domain, token, body),
            Job::Advance { .. } | Job::Queue { .. } | Job::Revoke { .. } => unreachable!("controls are not sent"),
        };
        let (ticket, place) = self.post(wire::action(slot.job, &crew.order.grounds), due_ns)?;
        Ok(Invoked { ticket, place, request })
    }

    fn post(&mut self, action: Action, due_ns: Option<u64>) -> Result<(Ticket, Place), LoadError> {
        // The clocks are read before the line is even written: early enough for any request.
        let server_start_ms = self.crew.clock.as_ref().map(ServerClock::least_ms);
        let start_ns = self.crew.stopwatch().now_ns();
        let invocation = Invocation { action, due_ns, start_ns, server_start_ms };
        let posted = self.crew.recorder().post_invoked(invocation)?;
        self.totals.recorded += 1;
        Ok(posted)
    }

    /// Sends a request whose invocation has been handed over, and records and counts what comes.
    async fn exchange(
        &mut self,
        slot: &Slot,
        invoked: Invoked,
        due_ns: Option<u64>,
        volley: bool,
    ) -> Result<(), LoadError> {
        let begun_ns = self.crew.stopwatch().now_ns();
        let live = self.crew.live();
        live.begun.fetch_add(1, Ordering::Relaxed);
        let lateness_ns = due_ns.map(|due_ns| begun_ns.saturating_sub(due_ns));
        live.lateness_ns.store(lateness_ns.unwrap_or(0), Ordering::Relaxed);
        self.totals.begun += 1;
        let sent = self.line(slot.job).send(invoked.request).await;
        if matches!(sent, Err(Failure::NotSent(_))) {
            self.totals.slots_unsent += 1;
        }
        let operation = wire::operation(slot.job);
        let number = invoked.ticket.number();
        let said = self.settle(operation, invoked.ticket, &sent, due_ns, begun_ns).await?;
        if lateness_ns.is_some_and(|late| late > LATE_NS) {
            self.totals.late += 1;
        }
        self.judge(slot, &sent, number, volley);
        if let (Job::Render { template, .. }, Ok(Answer { status: 202, .. })) = (slot.job, &sent)
            && let (Some(id), Some(poll)) = (said.id, said.poll_url.as_deref().and_then(answer::poll_path))
        {
            let render = Render { template, id, poll };
            // Once at once, under load, unless that would add to a load that is to be steady; the rest when everything has been sent.
            let later = self.crew.plan().scenario == Scenario::Steady;
            if later || !self.poll(&render).await? {
                self.renders.push(render);
            }
        }
        Ok(())
    }

    /// Records the outcome of a request, counts it, and tells goose.
    async fn settle(
        &mut self,
        operation: Operation,
        ticket: Ticket,
        sent: &Result<Answer, Failure>,
        due_ns: Option<u64>,
        begun_ns: u64,
    ) -> Result<Said, LoadError> {
        let crew = self.crew;
        let tally = self.totals.operations.entry(operation).or_default();
        let mut said = Said::default();
        let mut outcome = match sent {
            Ok(answer) => {
                said = answer::read(&answer.body);
                *tally.statuses.entry(answer.status).or_default() += 1;
                crew.live().answered(answer.status);
                Outcome { status: Some(answer.status), ..Outcome::at(answer.times.ended_ns) }
            }
            Err(failure) => {
                match failure {
                    Failure::NotSent(_) => tally.unsent += 1,
                    Failure::TimedOut | Failure::Lost(_) => {
                        tally.unknown += 1;
                        crew.live().unknown.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Outcome { error: Some(failure.word().to_owned()), ..Outcome::at(crew.stopwatch().now_ns()) }
            }
        };
        let clean = |text: &String| (crew.order.clean)(text);
        outcome.error = outcome.error.or(said.error.as_ref().map(clean));
        match operation {
            Operation::Render => outcome.id = said.id.as_ref().map(clean),
            Operation::Poll => outcome.render_status = said.status.as_ref().map(clean),
            Operation::Refresh | Operation::Flood => {}
        }
        outcome.server_end_ms = crew.clock.as_ref().map(ServerClock::most_ms);
        crew.recorder().post_completed(ticket, &outcome)?;
        if operation != Operation::Poll {
            crew.live().ended.fetch_add(1, Ordering::Relaxed);
        }
        let ended_ns = outcome.end_ns;
        self.totals.last_end_ns = self.totals.last_end_ns.max(ended_ns);
        let response_ns = ended_ns.saturating_sub(due_ns.unwrap_or(begun_ns));
        if !matches!(sent, Err(Failure::NotSent(_))) {
            count_latencies(tally, due_ns, begun_ns, ended_ns);
        }
        let status = sent.as_ref().ok().map(|answer| answer.status);
        self.reporter.report(operation.name(), Duration::from_nanos(response_ns), status.is_some(), status).await;
        Ok(said)
    }

    /// Looks at what came in view of what was sent.
    fn judge(&mut self, slot: &Slot, sent: &Result<Answer, Failure>, number: u64, volley: bool) {
        let crew = self.crew;
        let scenario = crew.plan().scenario;
        let enforcing = match slot.job {
            Job::Render { template, .. } => crew.order.grounds.templates[template].requires_signature,
            _ => false,
        };
        let good = match sent {
            Ok(answer) => wire::is_expected(scenario, slot.job, enforcing, answer.status),
            Err(_) => false,
        };
        if !good {
            let came = match sent {
                Ok(answer) => answer.status.to_string(),
                Err(failure) => failure.word().to_owned(),
            };
            let taken = matches!(sent, Ok(Answer { status: 200..=299, .. }));
            let accepted = taken && wire::must_be_refused(slot.job, enforcing);
            self.totals.operations.entry(wire::operation(slot.job)).or_default().errors += 1;
            self.totals.surprised(wire::title(slot.job), came, accepted, Some(number));
        }
        let (Job::Refresh { domain, .. }, Ok(answer)) = (slot.job, sent) else { return };
        if answer.status == 200 {
            let served = crew.served[domain].fetch_add(1, Ordering::Relaxed) + 1;
            crew.live().served(&crew.order.grounds.domains[domain].name, served);
        }
        if volley {
            self.totals.under_way.push((domain, answer.times.sent_ns, answer.times.first_byte_ns));
        }
        if domain == 0 && scenario == Scenario::QuotaDrain {
            self.totals.in_turn.insert(slot.index, answer.status);
        }
    }

    /// Polls a render once. True if there is nothing more to wait for.
    async fn poll(&mut self, render: &Render) -> Result<bool, LoadError> {
        let crew = self.crew;
        let Some(request) = crew.wire.poll(render.template, &render.poll) else { return Ok(true) };
        let Some(line) = &mut self.craftkit else { return Ok(true) };
        if line.connect().await.is_err() {
            return Ok(false);
        }
        let template = crew.order.grounds.templates[render.template].name.clone();
        let id = (crew.order.clean)(&render.id);
        let (ticket, place) = self.post(Action::Poll { template, token: None, id }, None)?;
        self.hand_over(place).await?;
        let begun_ns = crew.stopwatch().now_ns();
        let line = self.craftkit.as_mut().expect("it was there above");
        let sent = line.send(request).await;
        let number = ticket.number();
        let said = self.settle(Operation::Poll, ticket, &sent, None, begun_ns).await?;
        match sent {
            Ok(Answer { status: 200, .. }) => Ok(matches!(said.status.as_deref(), Some("succeeded" | "failed"))),
            other => {
                let came = match &other {
                    Ok(answer) => answer.status.to_string(),
                    Err(failure) => failure.word().to_owned(),
                };
                self.totals.operations.entry(Operation::Poll).or_default().errors += 1;
                self.totals.surprised("poll", came, false, Some(number));
                // What is not found is lost; anything else may pass.
                Ok(matches!(other, Ok(Answer { status: 400..=499, .. })))
            }
        }
    }

    /// Polls what has been accepted until each has ended, or time is over; each at least once, unless the run is stopped.
    async fn poll_to_their_ends(&mut self) -> Result<(), LoadError> {
        let mut deadline = None;
        let mut gap = POLL_GAP;
        let mut renders = std::mem::take(&mut self.renders);
        while !renders.is_empty() {
            let mut left = Vec::new();
            for render in renders {
                if self.crew.order.stop.is_set() {
                    return Ok(());
                }
                if !self.poll(&render).await? {
                    left.push(render);
                }
            }
            renders = left;
            if tokio::time::Instant::now() >= *deadline.get_or_insert_with(|| tokio::time::Instant::now() + POLL_TIME) {
                for _ in &renders {
                    self.totals.surprised("poll", format!("not ended within {POLL_TIME:?}"), false, None);
                }
                return Ok(());
            }
            tokio::time::sleep(gap).await;
            gap = (gap * 2).min(POLL_GAP_MAX);
        }
        Ok(())
    }

    /// Completes an operation of which nothing was sent.
    fn close(&mut self, ticket: Ticket, error: &str) -> Result<(), LoadError> {
        let outcome = Outcome { error: Some(error.to_owned()), ..Outcome::at(self.crew.stopwatch().now_ns()) };
        // Nothing of it was sent, nor told to goose.
        self.totals.recorded -= 1;
        Ok(self.crew.recorder().post_completed(ticket, &outcome)?)
    }

    /// Counts a request for which no connection came about.
    fn unsent(&mut self, job: Job, failure: &Failure) {
        let tally = self.totals.operations.entry(wire::operation(job)).or_default();
        tally.unsent += 1;
        tally.errors += 1;
        self.totals.begun += 1;
        self.totals.slots_unsent += 1;
        let came = match failure {
            Failure::NotSent(reason) => format!("{}: {reason}", failure.word()),
            Failure::TimedOut | Failure::Lost(_) => failure.word().to_owned(),
        };
        self.totals.surprised(wire::title(job), came, false, None);
        let live = self.crew.live();
        live.begun.fetch_add(1, Ordering::Relaxed);
        live.ended.fetch_add(1, Ordering::Relaxed);
    }
}

fn count_latencies(tally: &mut Tally, due_ns: Option<u64>, begun_ns: u64, ended_ns: u64) {
    tally.response.saturating_record(ended_ns.saturating_sub(due_ns.unwrap_or(begun_ns)));
    tally.service.saturating_record(ended_ns.saturating_sub(begun_ns));
    if let Some(due_ns) = due_ns {
        tally.lateness.saturating_record(begun_ns.saturating_sub(due_ns));
    }
}
