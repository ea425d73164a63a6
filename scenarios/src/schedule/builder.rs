//! Collects a plan's slots, and knows how sizes are read.

use std::fmt::Display;
use std::time::Duration;

use super::random::Dice;
use crate::plan::{Arrivals, Job, Limits, Needs, Plan, RefreshBody, Size, SizeError, Slot, Step};
use crate::scenario::Scenario;
use crate::world::Power;

/// More than a generator of this kind can carry.
const USERS_MAX: usize = 1_000;
const DOMAINS_MAX: usize = 10_000;
const REQUESTS_MAX: usize = 1_000_000;
const RATE_MAX: f64 = 100_000.0;

/// Requests of a closed loop that is bounded by time alone.
const CLOSED_COUNT: usize = 20_000;

/// Users of a closed loop that says nothing about them, and the fewest of an open one.
const USERS: usize = 16;

/// A user is free again this soon, or else the next request finds another: twice what a slow answer takes.
const ANSWER_TIME: Duration = Duration::from_millis(250);

const NS_PER_S: f64 = 1_000_000_000.0;

/// A plan that is being laid out.
pub(super) struct Builder {
    pub(super) limits: Limits,
    pub(super) dice: Dice,
    scenario: Scenario,
    size: Size,
    steps: Vec<Step>,
    slots: usize,
    users: usize,
    needs: Needs,
    overlap: Option<usize>,
    duration: Option<Duration>,
    /// Paths that each domain has used up.
    paths: Vec<usize>,
}

/// When the requests of a stream are due, and how many users it takes.
pub(super) struct Stream {
    pub(super) dues: Vec<Option<u64>>,
    pub(super) users: usize,
}

impl Stream {
    /// When the `index`th of `count` is due that are spread evenly over the stream.
    pub(super) fn due_within(&self, index: usize, count: usize) -> Option<u64> {
        let end = self.dues.last().copied().flatten()?;
        Some((end as f64 * (index as f64 + 0.5) / count as f64) as u64)
    }
}

impl Builder {
    pub(super) fn new(scenario: Scenario, size: &Size, seed: u64, limits: Limits) -> Result<Builder, SizeError> {
        let builder = Builder {
            limits,
            dice: Dice::new(seed, scenario),
            scenario,
            size: *size,
            steps: Vec::new(),
            slots: 0,
            users: 1,
            needs: Needs::default(),
            overlap: None,
            duration: None,
            paths: Vec::new(),
        };
        if let Some(rate) = size.rate.filter(|rate| !(*rate > 0.0 && *rate <= RATE_MAX)) {
            return Err(builder.wrong("rate", &format!("above 0 and at most {RATE_MAX} a second"), rate));
        }
        for (what, given, most) in [
            ("users", size.users, USERS_MAX),
            ("count", size.count, REQUESTS_MAX),
            ("domains", size.domains, DOMAINS_MAX),
            ("tokens", size.tokens, limits.tokens),
        ] {
            if let Some(given) = given.filter(|given| *given == 0 || *given > most) {
                return Err(builder.wrong(what, &format!("from 1 to {most}"), given));
            }
        }
        if size.duration.is_some_and(|duration| duration.is_zero()) {
            return Err(builder.wrong("duration", "longer than nothing", "0s"));
        }
        Ok(builder)
    }

    pub(super) fn wrong(&self, what: &'static str, expected: &str, found: impl Display) -> SizeError {
        SizeError { scenario: self.scenario, what, expected: expected.to_owned(), found: found.to_string() }
    }

    pub(super) fn domains(&mut self, default: usize) -> Result<usize, SizeError> {
        self.needs.domains = self.size.domains.unwrap_or(default);
        self.paths = vec![0; self.needs.domains];
        Ok(self.needs.domains)
    }

    pub(super) fn tokens(&mut self, default: usize) -> Result<usize, SizeError> {
        self.needs.tokens = self.size.tokens.unwrap_or(default.min(self.limits.tokens));
        Ok(self.needs.tokens)
    }

    pub(super) fn templates(&mut self, count: usize, enforcing: usize) {
        self.needs.templates = count;
        self.needs.enforcing = enforcing;
    }

    pub(super) fn renders_left(&mut self, left: u64) {
        self.needs.renders_left = Some(left);
    }

    pub(super) fn drives_clock(&mut self) {
        self.needs.powers.insert(Power::Advance);
        self.needs.manual_clock = true;
    }

    pub(super) fn takes_queue_down(&mut self) {
        self.needs.powers.insert(Power::Queue);
    }

    pub(super) fn revokes(&mut self) {
        self.needs.powers.insert(Power::Revoke);
    }

    /// Requests of one volley, when there are `volleys` of them: some times the limit if nothing else is said. More than the limit must really be
    /// under way together.
    pub(super) fn volley_size(&mut self, times: usize, volleys: usize) -> Result<usize, SizeError> {
        let fewest = self.limits.requests + 1;
        self.overlap = Some(fewest);
        if let Some(users) = self.size.users.filter(|users| *users < fewest) {
            return Err(self.wrong("users", &format!("at least {fewest}, to go beyond the limit at once"), users));
        }
        let wanted = match (self.size.count, self.size.users) {
            (Some(count), _) => count.div_ceil(volleys.max(1)),
            (None, Some(users)) => users,
            (None, None) => times * self.limits.requests,
        };
        if wanted < fewest {
            let expected =
                format!("at least {}, to go beyond the limit in each of {volleys} volleys", fewest * volleys);
            return Err(self.wrong("count", &expected, self.size.count.unwrap_or_default()));
        }
        Ok(wanted.min(self.size.users.unwrap_or(USERS_MAX)))
    }

    /// Tokens for a volley, each as often as the others, in a random order.
    pub(super) fn tokens_in_turn(&self, volley: usize, tokens: usize, number: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..volley).map(|index| index % tokens).collect();
        self.dice.shuffle(&format!("tokens {number} {}", self.slots), &mut order);
        order
    }

    /// A refresh of 1 to `most` new paths.
    pub(super) fn pages(&mut self, domain: usize, token: usize, most: usize) -> Job {
        let used = &mut self.paths[domain];
        let count = 1 + self.dice.below("pages", *used, most);
        let first = *used;
        *used += count;
        self.needs.paths = self.needs.paths.max(*used);
        Job::Refresh { domain, token, body: RefreshBody::Paths { first, count }, flood: false }
    }

    /// A refresh of one new path, as part of a flood.
    pub(super) fn flood(&mut self, domain: usize, token: usize) -> Job {
        match self.pages(domain, token, 1) {
            Job::Refresh { domain, token, body, .. } => Job::Refresh { domain, token, body, flood: true },
            other => other,
        }
    }

    /// Due times as the size's [`Arrivals`] say.
    pub(super) fn stream_as_sized(&mut self, rate: f64, ms: u64) -> Result<Stream, SizeError> {
        match self.size.arrivals {
            Arrivals::Constant => self.constant_stream(rate, ms),
            Arrivals::Poisson => self.poisson_stream(rate, ms),
        }
    }

    /// Due times at equal distances.
    pub(super) fn constant_stream(&mut self, rate: f64, ms: u64) -> Result<Stream, SizeError> {
        // From the number, not from the last one: nothing adds up.
        self.timed_stream(rate, ms, |_, index, period| index as f64 * period)
    }

    /// Due times at exponential distances.
    pub(super) fn poisson_stream(&mut self, rate: f64, ms: u64) -> Result<Stream, SizeError> {
        let mut at = 0.0;
        self.timed_stream(rate, ms, move |dice, index, period| {
            // Of 1 - p, which is never 0.
            at -= (1.0 - dice.part("gap", index)).ln() * period;
            at
        })
    }

    fn timed_stream(
        &mut self,
        rate: f64,
        ms: u64,
        mut due_s: impl FnMut(Dice, usize, f64) -> f64,
    ) -> Result<Stream, SizeError> {
        let Size { rate: given, users, duration, count, .. } = self.size;
        if given.is_none() && users.is_some() {
            self.duration = duration.or(count.is_none().then_some(Duration::from_millis(ms)));
            let dues = vec![None; count.unwrap_or(CLOSED_COUNT)];
            return Ok(Stream { dues, users: users.unwrap_or(USERS) });
        }
        let rate = given.unwrap_or(rate);
        let time = match (duration, count) {
            (None, Some(_)) => None,
            (duration, _) => Some(duration.unwrap_or(Duration::from_millis(ms)).as_secs_f64()),
        };
        let most = count.unwrap_or(REQUESTS_MAX);
        let mut dues = Vec::new();
        while dues.len() < most {
            let due = due_s(self.dice, dues.len(), 1.0 / rate);
            if time.is_some_and(|time| due >= time) {
                break;
            }
            dues.push(Some((due * NS_PER_S) as u64));
        }
        if dues.is_empty() {
            return Err(self.wrong("duration", "long enough for one request at this rate", format!("{duration:?}")));
        }
        if count.is_none() && dues.len() == REQUESTS_MAX {
            return Err(self.wrong("rate", &format!("such that at most {REQUESTS_MAX} requests are due"), rate));
        }
        let enough = (rate * ANSWER_TIME.as_secs_f64()).ceil() as usize;
        Ok(Stream { dues, users: users.unwrap_or(enough.clamp(USERS, USERS_MAX)) })
    }

    /// Adds a volley.
    pub(super) fn volley(&mut self, jobs: Vec<Job>) {
        self.users = self.users.max(jobs.len());
        let slots = self.numbered(jobs.into_iter().map(|job| (None, job)));
        self.steps.push(Step::Volley(slots));
    }

    /// Adds a refresh of one new path that overlaps no other request, in the history neither.
    ///
    /// A request of a volley is written down as soon as its user is free, while others still wait for their last answers. So the users meet
    /// without sending anything, before and after.
    pub(super) fn alone(&mut self, domain: usize, token: usize) {
        let job = self.pages(domain, token, 1);
        self.meeting();
        self.volley(vec![job]);
        self.meeting();
    }

    fn meeting(&mut self) {
        if self.steps.last().is_some_and(|step| !step.slots().is_empty()) {
            self.steps.push(Step::Volley(Vec::new()));
        }
    }

    /// Adds a stream, in the order of due times.
    pub(super) fn stream(&mut self, mut jobs: Vec<(Option<u64>, Job)>, users: usize) {
        self.users = self.users.max(users);
        // A stable sort: what is due together stays in order.
        jobs.sort_by_key(|(due, _)| *due);
        let slots = self.numbered(jobs.into_iter());
        self.steps.push(Step::Stream(slots));
    }

    fn numbered(&mut self, jobs: impl Iterator<Item = (Option<u64>, Job)>) -> Vec<Slot> {
        let first = self.slots;
        let slots: Vec<Slot> =
            jobs.enumerate().map(|(index, (due_ns, job))| Slot { index: first + index, due_ns, job }).collect();
        self.slots += slots.len();
        slots
    }

    pub(super) fn finish(self) -> Result<Plan, SizeError> {
        if self.slots > REQUESTS_MAX {
            let expected = format!("such that there are at most {REQUESTS_MAX} requests");
            return Err(self.wrong("count", &expected, self.slots));
        }
        Ok(Plan::unhashed(self.scenario, self.steps, self.users, self.needs, self.overlap, self.duration))
    }
}
