//! What all users of a run share, and the run from its begin to its end.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::attack::{self, Reporter, Work};
use crate::cpu::CpuTime;
use crate::gate::{Gate, SentAway};
use crate::history::{Action, Invocation, Outcome, Recorder};
use crate::live::Live;
use crate::outcome::{Honesty, Run};
use crate::plan::{Job, Plan, Step};
use crate::run::{GATE_TIME, LoadError, Order, Stopwatch};
use crate::server_clock::ServerClock;
use crate::totals::Totals;
use crate::user::User;
use crate::wire::{self, Wire};
use crate::world::WorldError;

/// How often the last completions are handed over, and what is due is counted.
const TICK: Duration = Duration::from_millis(20);

/// What a run may take besides its schedule and its requests.
const SLACK: Duration = Duration::from_secs(30);

/// How long accepted renders are polled after everything else is done.
pub(crate) const POLL_TIME: Duration = Duration::from_secs(5);

/// What all users of a run share.
pub(crate) struct Crew {
    pub(crate) order: Order,
    pub(crate) wire: Wire,
    pub(crate) clock: Option<ServerClock>,
    pub(crate) gate: Gate,
    /// The next slot of each step that is a stream.
    pub(crate) next: Vec<AtomicUsize>,
    /// When each step began, on the stopwatch; 0: not yet.
    begun: Vec<AtomicU64>,
    /// Accepted requests of each domain.
    pub(crate) served: Vec<AtomicU64>,
    totals: Mutex<Totals>,
    failure: Mutex<Option<LoadError>>,
    /// Whether the queue was taken down and not brought back.
    queue_down: Mutex<bool>,
}

impl Work for Crew {
    fn work<'a>(&'a self, number: usize, reporter: Reporter<'a>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let mut user = User::new(self, number, reporter);
            if let Err(error) = user.work().await {
                self.fail(error);
            }
            let totals = user.into_totals();
            self.totals.lock().unwrap_or_else(PoisonError::into_inner).add(totals);
        })
    }
}

impl Crew {
    pub(crate) fn plan(&self) -> &Plan {
        &self.order.plan
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.order.recorder
    }

    pub(crate) fn stopwatch(&self) -> Stopwatch {
        self.order.stopwatch
    }

    pub(crate) fn live(&self) -> &Live {
        &self.order.live
    }

    /// Ends the run because of an error; the first one is told.
    pub(crate) fn fail(&self, error: LoadError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.order.stop.set();
    }

    /// When a step began.
    pub(crate) fn step_begun_ns(&self, step: usize) -> u64 {
        self.begun[step].load(Ordering::Acquire)
    }

    /// When no request is begun any more.
    pub(crate) fn deadline_ns(&self) -> u64 {
        let duration = self.plan().duration.map(|duration| duration.as_nanos() as u64);
        duration.map_or(u64::MAX, |duration| self.step_begun_ns(0).saturating_add(duration))
    }

    /// Waits until every user is ready for a step. Whatever they have posted is then with the operating system.
    ///
    /// # Errors
    /// False if the run is stopped.
    pub(crate) async fn meet(&self, step: usize) -> Result<bool, LoadError> {
        let opening = || {
            if let Err(error) = self.recorder().hand_over_all() {
                self.fail(error.into());
            }
            self.begun[step].store(self.stopwatch().now_ns().max(1), Ordering::Release);
        };
        // Others may still be waiting for an answer and for a connection, each as long as may be.
        let patience = GATE_TIME.saturating_add(self.order.request_time.saturating_mul(2));
        match self.gate.pass(&self.order.stop, patience, opening).await {
            Ok(()) => Ok(true),
            Err(SentAway::Stopped) => Ok(false),
            Err(SentAway::Alone { ready }) => Err(LoadError::Gate { ready, users: self.plan().users }),
        }
    }

    /// Changes the world, and says so in the history.
    pub(crate) async fn control(&self, job: Job, due_ns: Option<u64>) -> Result<(), LoadError> {
        let action = wire::action(job, &self.order.grounds);
        let invocation = Invocation {
            action: action.clone(),
            due_ns,
            start_ns: self.stopwatch().now_ns(),
            server_start_ms: self.clock.as_ref().map(ServerClock::least_ms),
        };
        let (ticket, place) = self.recorder().post_invoked(invocation)?;
        self.recorder().hand_over(place)?;
        self.change(&action).await?;
        let server_end_ms = self.clock.as_ref().map(ServerClock::most_ms);
        let outcome = Outcome { server_end_ms, ..Outcome::at(self.stopwatch().now_ns()) };
        self.recorder().post_completed(ticket, &outcome)?;
        Ok(())
    }

    async fn change(&self, action: &Action) -> Result<(), WorldError> {
        let world = self.order.world.as_ref();
        match action {
            Action::Advance { ms } => match &self.clock {
                Some(clock) => clock.advance(world, *ms).await,
                None => world.advance(*ms).await.map(|_| ()),
            },
            Action::Queue { available } => {
                if !available {
                    *self.queue_down.lock().unwrap_or_else(PoisonError::into_inner) = true;
                }
                world.set_queue(*available).await?;
                *self.queue_down.lock().unwrap_or_else(PoisonError::into_inner) = !available;
                Ok(())
            }
            Action::Revoke { domain, token } => world.revoke(domain, token).await,
            Action::Refresh { .. } | Action::Render { .. } | Action::Poll { .. } | Action::Quota { .. } => Ok(()),
        }
    }

    /// Keeps the counters of what is due, and the history, up to date.
    async fn tick(&self) {
        loop {
            tokio::time::sleep(TICK).await;
            if let Err(error) = self.recorder().hand_over_all() {
                self.fail(error.into());
            }
            self.order.live.due.store(self.due(), Ordering::Relaxed);
        }
    }

    /// Requests that are due by now.
    fn due(&self) -> u64 {
        let mut due = 0;
        for (step, begun) in self.plan().steps.iter().zip(&self.begun) {
            let begun = begun.load(Ordering::Acquire);
            if begun == 0 {
                break;
            }
            let passed = self.stopwatch().now_ns() - begun;
            due += match step {
                Step::Volley(slots) => slots.len(),
                Step::Stream(slots) => slots.partition_point(|slot| slot.due_ns.is_some_and(|due| due <= passed)),
            };
        }
        due as u64
    }

    /// The longest that carrying the plan out may take.
    fn time_max(&self) -> Duration {
        let streams = self.plan().steps.iter().map(|step| step.slots().last().and_then(|slot| slot.due_ns));
        let scheduled = Duration::from_nanos(streams.flatten().sum());
        let volleys = self.plan().steps.len() as u32;
        // A user's slots one after the other, each as slow as it may be: for a closed loop this is long, and all that can be said.
        let each = self.plan().slots().count().div_ceil(self.plan().users) as u32 + volleys + 2;
        // With a time of its own a loop is over soon after it, however many slots are left.
        let each = if self.plan().duration.is_some() { volleys + 2 } else { each };
        let scheduled = scheduled.saturating_add(self.plan().duration.unwrap_or_default());
        let requests = self.order.request_time.saturating_mul(each);
        scheduled.saturating_add(requests).saturating_add(POLL_TIME).saturating_add(GATE_TIME).saturating_add(SLACK)
    }
}

/// Carries an order out.
pub(crate) async fn run(order: Order) -> Result<Run, LoadError> {
    let wire = Wire::new(&order.plan, &order.grounds)?;
    if let Some(power) = order.plan.needs.powers.iter().find(|power| !order.world.can(**power)) {
        return Err(WorldError::Unsupported(*power).into());
    }
    let clock = match order.plan.needs.manual_clock {
        true => Some(ServerClock::read(order.world.as_ref()).await?),
        false => None,
    };
    let steps = order.plan.steps.len();
    let host = order.grounds.rndrkit.as_ref().or(order.grounds.craftkit.as_ref());
    let host = host.map(|site| site.base_url.origin().ascii_serialization()).unwrap_or_default();
    order.live.begin(order.plan.requests());
    let (users, stalls_before) = (order.plan.users, order.recorder.stalls());
    let crew = Arc::new(Crew {
        gate: Gate::new(users),
        next: (0..steps).map(|_| AtomicUsize::new(0)).collect(),
        begun: (0..steps).map(|_| AtomicU64::new(0)).collect(),
        served: order.grounds.domains.iter().map(|_| AtomicU64::new(0)).collect(),
        totals: Mutex::default(),
        failure: Mutex::new(None),
        queue_down: Mutex::new(false),
        order,
        wire,
        clock,
    });
    let cpu = CpuTime::now();
    let ticking = tokio::spawn({
        let crew = Arc::clone(&crew);
        async move { crew.tick().await }
    });
    let work: Arc<dyn Work> = Arc::clone(&crew) as Arc<dyn Work>;
    let attacked = attack::attack(&host, users, work, &crew.order.stop, crew.time_max()).await;
    ticking.abort();
    let cpu_share = cpu.and_then(|cpu| cpu.share_since());
    let restored = restore_queue(&crew).await;
    let handed = crew.recorder().hand_over_all();
    if let Some(error) = crew.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    let goose_total = attacked?;
    restored?;
    handed?;
    Ok(conclude(&crew, goose_total, stalls_before, cpu_share))
}

/// Whatever happened: the queue is not left down.
async fn restore_queue(crew: &Crew) -> Result<(), LoadError> {
    let down = *crew.queue_down.lock().unwrap_or_else(PoisonError::into_inner);
    if down { crew.control(Job::Queue { available: true }, None).await } else { Ok(()) }
}

fn conclude(crew: &Crew, goose_total: u64, stalls_before: u64, cpu_share: Option<f64>) -> Run {
    let totals = std::mem::take(&mut *crew.totals.lock().unwrap_or_else(PoisonError::into_inner));
    let plan = crew.plan();
    let planned = plan.requests() as u64;
    let begun_ns = crew.begun.first().map_or(0, |begun| begun.load(Ordering::Acquire));
    let closed = plan.slots().any(|slot| slot.due_ns.is_none()) && plan.duration.is_some();
    let interrupted = crew.order.stop.is_set();
    let unbegun = planned.saturating_sub(totals.begun);
    let worst = crew.served.iter().map(|served| served.load(Ordering::Relaxed)).enumerate();
    let worst = worst.max_by_key(|(index, served)| (*served, std::cmp::Reverse(*index)));
    let worst = worst.filter(|(_, served)| *served > 0);
    Run {
        scenario: plan.scenario,
        plan: plan.hash(),
        elapsed: Duration::from_nanos(totals.last_end_ns.saturating_sub(begun_ns)),
        honesty: Honesty {
            planned: if closed { totals.begun } else { planned },
            sent: totals.begun - totals.unsent(),
            dropped: if closed { 0 } else { unbegun },
            unsent: totals.unsent(),
            late: totals.late,
            users: plan.users,
            cpu_share,
            recorder_stalls: crew.recorder().stalls() - stalls_before,
            overlap: plan.overlap.map(|needed| totals.overlap(plan, needed)),
            goose_total: Some(goose_total),
            history_total: totals.recorded,
        },
        worst_domain: worst.map(|(index, served)| (crew.order.grounds.domains[index].name.clone(), served)),
        charges_at_once: totals.charges_at_once(plan),
        surprises: totals.surprises(),
        operations: totals.operations,
        interrupted,
    }
}
