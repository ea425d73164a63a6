//! Whatever the order of changes, and wherever the file was folded, closed or lost its process in between, the
//! store on a file shows what the one in memory shows.

use std::path::Path;

use proptest::prelude::*;
use uuid::Uuid;

use super::contract::{PENDING, digest_of, domain, see, token, write};
use super::records::{Refresh, Render, RenderStatus, Usage, Write};
use super::{SharedStore, memory, sqlite};

/// Hosts, windows, idempotency keys: so few that they meet.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// What happens to both stores.
#[derive(Debug, Clone)]
enum Step {
    /// Removes the domain if it is there, and makes it anew with a token.
    RemakeDomain(usize),
    Window(usize, i64),
    /// Goes to the table at once, so everything before is folded.
    ForgetWindow(usize),
    Usage(usize, u64),
    Refresh(usize, u8),
    /// A refresh that is counted, charged and queued, as a decision makes one.
    WholeRefresh(usize, i64),
    /// A render, with an idempotency key if that is free.
    Render(Option<usize>),
    Lease,
    /// One of the renders that are not finished.
    Finish(prop::sample::Index),
    /// The file is closed and opened.
    Reopen,
    /// The file is opened as a `kill -9` leaves it.
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES.len();
    let step = prop_oneof![
        2 => name.clone().prop_map(Step::RemakeDomain),
        3 => (name.clone(), any::<i64>()).prop_map(|(key, state)| Step::Window(key, state)),
        1 => name.clone().prop_map(Step::ForgetWindow),
        2 => (name.clone(), 0..100_u64).prop_map(|(domain, used)| Step::Usage(domain, used)),
        3 => (name.clone(), any::<u8>()).prop_map(|(domain, path)| Step::Refresh(domain, path)),
        3 => (name.clone(), any::<i64>()).prop_map(|(domain, state)| Step::WholeRefresh(domain, state)),
        5 => prop::option::of(name).prop_map(Step::Render),
        2 => Just(Step::Lease),
        3 => any::<prop::sample::Index>().prop_map(Step::Finish),
        1 => Just(Step::Reopen),
        2 => Just(Step::Kill),
    ];
    prop::collection::vec(step, 1..30)
}

/// What the steps so far have made, as far as later ones depend on it.
#[derive(Default)]
struct Made {
    renders: Vec<Uuid>,
    unfinished: Vec<Uuid>,
    keys: Vec<String>,
}

impl Made {
    fn writes(&mut self, step: &Step) -> Vec<Write> {
        let name = |place: &usize| NAMES[*place].to_owned();
        let refresh = |place: &usize, path: String| {
            let domain = name(place);
            Write::AppendRefresh(Refresh { domain, accepted_at: 7, full: false, paths: vec![path] })
        };
        let usage = |place: &usize, renders_used| Write::SetUsage {
            domain: name(place),
            usage: Usage { renders_used, period_start: 3 },
        };
        match step {
            Step::RemakeDomain(place) => {
                let made = Write::InsertDomain { domain: domain(&name(place)), known_paths: Vec::new() };
                let token = token(&name(place), &name(place));
                let hash = digest_of(&token.id);
                vec![Write::DeleteDomain(name(place)), made, Write::InsertToken { token, hash }]
            }
            Step::Window(key, state) => vec![Write::PutWindow { key: name(key), state: vec![*state] }],
            Step::ForgetWindow(key) => vec![Write::DeleteWindow(name(key))],
            Step::Usage(place, used) => vec![usage(place, *used)],
            Step::Refresh(place, path) => vec![refresh(place, format!("/{path}"))],
            Step::WholeRefresh(place, state) => {
                let counted = Write::PutWindow { key: name(place), state: vec![*state, 1] };
                vec![counted, usage(place, state.unsigned_abs() / 2), refresh(place, format!("/{state}"))]
            }
            Step::Render(key) => vec![Write::InsertRender(self.render(key.map(|key| NAMES[key].to_owned())))],
            Step::Lease => match self.unfinished.last() {
                Some(last) => vec![Write::LeaseRenders { up_to: *last, real_now: 0, until: 100 }],
                None => Vec::new(),
            },
            Step::Finish(_) if self.unfinished.is_empty() => Vec::new(),
            Step::Finish(which) => {
                let id = self.unfinished.remove(which.index(self.unfinished.len()));
                vec![Write::FinishRender { id, status: RenderStatus::Succeeded, completed_at: 9 }]
            }
            // Whoever opens a file ends the leases of the process before.
            Step::Reopen | Step::Kill => vec![Write::ReleaseLeases],
        }
    }

    fn render(&mut self, key: Option<String>) -> Render {
        let id = Uuid::from_u128(self.renders.len() as u128 + 1);
        self.renders.push(id);
        self.unfinished.push(id);
        let idempotency_key = key.filter(|key| !self.keys.contains(key));
        self.keys.extend(idempotency_key.clone());
        Render {
            id,
            project: "p".to_owned(),
            template_id: Uuid::from_u128(9),
            slug: "s".to_owned(),
            version: 2,
            status: RenderStatus::Queued,
            data: r#"{"a":"ü\n"}"#.into(),
            idempotency_key,
            created_at: 5,
            completed_at: None,
        }
    }
}

#[track_caller]
fn check_alike(file: &SharedStore, memory: &SharedStore, made: &Made, after: &Step) {
    for name in NAMES {
        let both = |store| see(store, |view| Ok((view.domain(name)?, view.window(name)?, view.queued_paths(name)?)));
        assert_eq!(both(file), both(memory), "{name} after {after:?}");
        let both = |store| see(store, |view| Ok((view.token(&digest_of(name))?, view.render_by_key("p", name)?)));
        assert_eq!(both(file), both(memory), "{name} after {after:?}");
    }
    for id in &made.renders {
        let both = |store| see(store, |view| view.render(*id));
        assert_eq!(both(file), both(memory), "after {after:?}");
    }
    for real_now in [0, 100] {
        let both = |store| see(store, |view| Ok((view.waiting_renders(real_now, 3)?, view.queue_length()?)));
        assert_eq!(both(file), both(memory), "after {after:?}");
    }
}

/// Opens a store on what is on the disk now, as if its process had ended that instant.
async fn copy(from: &Path, to: &Path) -> SharedStore {
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(name(from), name(to)).expect("copied");
    }
    sqlite::open(to, PENDING).await.expect("opened")
}

async fn close(store: SharedStore) {
    tokio::task::spawn_blocking(move || store.close()).await.expect("closed");
}

async fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut path = folder.path().join("0.db");
    let mut file = sqlite::open(&path, PENDING).await.expect("opened");
    let memory = memory::shared();
    let mut made = Made::default();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Reopen => {
                close(file).await;
                file = sqlite::open(&path, PENDING).await.expect("opened");
            }
            Step::Kill => {
                let next = folder.path().join(format!("{}.db", number + 1));
                let survivor = copy(&path, &next).await;
                close(file).await;
                (path, file) = (next, survivor);
            }
            _ => {}
        }
        let writes = made.writes(step);
        write(&file, writes.clone()).await;
        write(&memory, writes).await;
        check_alike(&file, &memory, &made, step);
    }
    close(file).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_store_on_a_file_shows_what_one_in_memory_shows(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(run(steps));
    }
}
