//! What every store has to do; the same tests run on each.

use std::sync::Arc;

use serde_json::json;
use uuid::Uuid;

use super::records::{
    Delivery, DeliveryState, Domain, Plan, Refresh, Render, RenderStatus, Subscription, Template, Token, Usage,
    Version, Write,
};
use super::{Read, SharedStore, Store, StoreError, Transaction, View, memory, read, sqlite, transact};
use crate::craftkit::manifest::Manifest;
use crate::secret::{Digest, Secret, digest};

/// Transactions that may wait; more than any test submits at once.
pub(super) const PENDING: usize = 1024;

pub(super) async fn write(store: &SharedStore, writes: Vec<Write>) {
    transact(&**store, move |_| Ok(((), writes.clone()))).await.expect("written");
}

#[track_caller]
pub(super) fn see<T>(store: &SharedStore, look: impl FnMut(&dyn View) -> Read<T>) -> T {
    read(&**store, look).expect("read")
}

pub(super) fn domain(name: &str) -> Domain {
    Domain {
        name: name.to_owned(),
        plan: Plan::AgencyPlus,
        active: true,
        monthly_render_limit: Some(7),
        usage: Usage { renders_used: 2, period_start: 5 },
        created_at: 5,
    }
}

pub(super) fn token(id: &str, domain: &str) -> Token {
    Token { id: id.to_owned(), domain: domain.to_owned(), revoked: false }
}

/// The hash of the token with this id.
pub(super) fn digest_of(id: &str) -> Digest {
    digest(id.as_bytes())
}

fn insert_domain(name: &str, paths: &[&str]) -> Write {
    let known_paths = paths.iter().map(ToString::to_string).collect();
    Write::InsertDomain { domain: domain(name), known_paths }
}

fn insert_token(id: &str, domain: &str) -> Write {
    Write::InsertToken { token: token(id, domain), hash: digest_of(id) }
}

fn manifest(key: &str) -> Arc<Manifest> {
    let value = json!({
        "variables": [{"key": key, "label": "A", "dataType": "text", "required": true}],
        "loops": [],
    });
    Arc::new(Manifest::parse(&value).expect("a manifest"))
}

fn template(slug: &str, current: Option<Version>) -> Template {
    Template {
        id: Uuid::new_v4(),
        slug: slug.to_owned(),
        project: "p".to_owned(),
        token_hash: digest(slug.as_bytes()),
        secret: Secret::new("s"),
        require_signature: false,
        current,
        revision: 0,
    }
}

pub(super) fn render(number: u128, key: Option<&str>) -> Render {
    Render {
        id: Uuid::from_u128(number),
        project: "p".to_owned(),
        template_id: Uuid::from_u128(9),
        slug: "a".to_owned(),
        version: 3,
        status: RenderStatus::Queued,
        data: r#"{"a":"ü"}"#.into(),
        idempotency_key: key.map(str::to_owned),
        created_at: 11,
        completed_at: None,
    }
}

async fn domains_are_kept_changed_and_removed(store: SharedStore) {
    write(&store, vec![insert_domain("a", &["/b", "/a"]), insert_domain("b", &[])]).await;
    assert_eq!(see(&store, |view| view.domain("a")), Some(domain("a")));
    assert_eq!(see(&store, |view| view.domain("c")), None);
    assert_eq!(see(&store, |view| view.known_paths("a")), ["/b", "/a"]);
    assert!(see(&store, |view| view.known_paths("b")).is_empty());
    let changed = Domain {
        plan: Plan::Pro,
        active: false,
        monthly_render_limit: None,
        usage: Usage { renders_used: 3, period_start: 6 },
        ..domain("a")
    };
    write(&store, vec![Write::UpdateDomain(changed.clone())]).await;
    assert_eq!(see(&store, |view| view.domain("a")), Some(changed.clone()));
    let usage = Usage { renders_used: 9, period_start: 8 };
    write(&store, vec![Write::SetUsage { domain: "a".to_owned(), usage }]).await;
    assert_eq!(see(&store, |view| view.domain("a")), Some(Domain { usage, ..changed }));
    write(&store, vec![insert_token("t", "a"), Write::DeleteDomain("a".to_owned())]).await;
    assert_eq!(see(&store, |view| view.domain("a")), None);
    assert_eq!(see(&store, |view| view.token(&digest(b"t"))), None);
    assert_eq!(see(&store, |view| view.domain("b")), Some(domain("b")));
}

async fn tokens_are_found_by_hash_and_stay_once_revoked(store: SharedStore) {
    let writes = vec![insert_domain("a", &[]), insert_token("t2", "a"), insert_token("t1", "a")];
    write(&store, writes).await;
    let found = see(&store, |view| view.token(&digest(b"t1")));
    assert_eq!(found, Some((token("t1", "a"), domain("a"))));
    assert_eq!(see(&store, |view| view.token(&digest(b"t3"))), None);
    write(&store, vec![Write::RevokeToken("t2".to_owned())]).await;
    let revoked = Token { revoked: true, ..token("t2", "a") };
    assert_eq!(see(&store, |view| view.tokens("a")), [revoked, token("t1", "a")]);
}

async fn windows_and_the_clock_keep_their_last_value(store: SharedStore) {
    assert_eq!(see(&store, |view| view.window("k")), None);
    let put = |state: &[i64]| Write::PutWindow { key: "k".to_owned(), state: state.to_vec() };
    write(&store, vec![put(&[1, -2])]).await;
    write(&store, vec![put(&[i64::MIN, i64::MAX, 0])]).await;
    let kept = Some(vec![i64::MIN, i64::MAX, 0]);
    assert_eq!(see(&store, |view| view.window("k")), kept);
    write(&store, vec![Write::DeleteWindow("k".to_owned())]).await;
    assert_eq!(see(&store, |view| view.window("k")), None);
    assert_eq!(see(&store, |view| view.clock()), None);
    write(&store, vec![Write::SetClock(5)]).await;
    write(&store, vec![Write::SetClock(6)]).await;
    assert_eq!(see(&store, |view| view.clock()), Some(6));
}

/// What a decision sees, which may be more than was committed, is what everybody sees once it is.
async fn decisions_see_what_was_written_before(store: SharedStore) {
    type Seen = (Option<(Token, Domain)>, Option<Vec<i64>>, Option<u64>);
    let one = template("one", None);
    let id = one.id;
    let look = move |view: &dyn View| -> Read<Seen> {
        Ok((view.token(&digest(b"t"))?, view.window("a")?, view.revision(id)?))
    };
    let usage = Usage { renders_used: 9, period_start: 8 };
    let version = Version { number: 1, manifest: manifest("a") };
    let window = |state: i64| Write::PutWindow { key: "a".to_owned(), state: vec![state] };
    let steps = vec![
        vec![insert_domain("a", &[]), insert_token("t", "a"), window(1)],
        vec![Write::InsertTemplate { template: one, draft: manifest("a") }],
        vec![window(2), Write::SetUsage { domain: "a".to_owned(), usage }],
        vec![Write::PublishVersion { template: id, version }],
        vec![Write::UpdateDomain(Domain { active: false, ..domain("a") })],
        vec![Write::DeleteWindow("a".to_owned()), Write::RevokeToken("t".to_owned())],
        vec![Write::SetRequireSignature { template: id, required: true }],
        vec![window(3), Write::DeleteDomain("a".to_owned()), Write::DeleteTemplate(id)],
        vec![insert_domain("a", &[]), insert_token("t", "a")],
    ];
    for step in steps {
        write(&store, step.clone()).await;
        let decided = transact(&*store, move |view| Ok((look(view)?, Vec::new()))).await.expect("a decision");
        assert_eq!(decided, see(&store, look), "after {step:?}");
    }
}

async fn accepted_paths_come_back_in_order(store: SharedStore) {
    let refresh = |domain: &str, paths: &[&str]| {
        Write::AppendRefresh(Refresh {
            domain: domain.to_owned(),
            accepted_at: 1,
            full: false,
            paths: paths.iter().map(ToString::to_string).collect(),
        })
    };
    write(&store, vec![insert_domain("a", &[]), insert_domain("b", &[])]).await;
    write(&store, vec![refresh("a", &["/2", "/1"]), refresh("b", &["/x"])]).await;
    write(&store, vec![refresh("a", &["/1"])]).await;
    assert_eq!(see(&store, |view| view.queued_paths("a")), ["/2", "/1", "/1"]);
    write(&store, vec![Write::DeleteDomain("a".to_owned()), insert_domain("a", &[]), refresh("a", &["/3"])]).await;
    assert_eq!(see(&store, |view| view.queued_paths("a")), ["/3"]);
    assert_eq!(see(&store, |view| view.queued_paths("b")), ["/x"]);
}

async fn templates_change_version_and_revision(store: SharedStore) {
    let one = template("one", None);
    let first = Version { number: 1, manifest: manifest("a") };
    let insert = Write::InsertTemplate { template: one.clone(), draft: manifest("draft") };
    write(&store, vec![insert]).await;
    let by_token = |hash: Digest| see(&store, |view| view.template_by_token(&hash));
    assert_eq!(by_token(one.token_hash), Some(one.clone()));
    assert_eq!(by_token(digest(b"two")), None);
    assert_eq!(see(&store, |view| view.draft(one.id)), Some(manifest("draft")));
    let publish = Write::PublishVersion { template: one.id, version: first.clone() };
    let enforce = Write::SetRequireSignature { template: one.id, required: true };
    write(&store, vec![publish, enforce]).await;
    let expected = Template { current: Some(first.clone()), require_signature: true, revision: 2, ..one.clone() };
    assert_eq!(see(&store, |view| view.template("one")), Some(expected.clone()));
    assert_eq!(see(&store, |view| view.revision(one.id)), Some(2));
    let second = Version { number: 2, manifest: manifest("b") };
    let publish = Write::PublishVersion { template: one.id, version: second.clone() };
    assert_eq!(by_token(one.token_hash), Some(expected.clone()));
    write(&store, vec![publish]).await;
    let revised = by_token(one.token_hash).map(|found| (found.revision, found.current));
    assert_eq!(revised, Some((3, Some(second.clone()))));
    assert_eq!(see(&store, |view| view.version(&expected, 1)), Some(first));
    assert_eq!(see(&store, |view| view.version(&expected, 3)), None);
    let current = see(&store, |view| view.template("one")).and_then(|found| found.current);
    assert_eq!(current, Some(second));
    write(&store, vec![Write::DeleteTemplate(one.id)]).await;
    assert_eq!(see(&store, |view| view.template("one")), None);
    assert_eq!(by_token(one.token_hash), None);
    assert_eq!(see(&store, |view| view.revision(one.id)), None);
}

async fn a_template_may_be_published_from_the_start(store: SharedStore) {
    let version = Version { number: 1, manifest: manifest("a") };
    let one = template("one", Some(version));
    let insert = Write::InsertTemplate { template: one.clone(), draft: manifest("a") };
    let key = Write::InsertKey { project: "p".to_owned(), hash: digest(b"key") };
    write(&store, vec![insert, key]).await;
    assert_eq!(see(&store, |view| view.template("one")), Some(one));
    assert_eq!(see(&store, |view| view.project(&digest(b"key"))), Some("p".to_owned()));
    assert_eq!(see(&store, |view| view.project(&digest(b"other"))), None);
}

async fn renders_pass_the_queue_under_leases(store: SharedStore) {
    let (one, two) = (render(1, None), render(2, Some("again")));
    let inserts = vec![Write::InsertRender(two.clone()), Write::InsertRender(one.clone())];
    write(&store, inserts).await;
    assert_eq!(see(&store, |view| view.render(one.id)), Some(one.clone()));
    assert_eq!(see(&store, |view| view.render_by_key("p", "again")), Some(two.clone()));
    assert_eq!(see(&store, |view| view.render_by_key("q", "again")), None);
    let waiting = |real_now| -> Vec<Uuid> {
        let found = see(&store, |view| view.waiting_renders(real_now, 10));
        found.iter().map(|render| render.id).collect()
    };
    assert_eq!(waiting(0), [one.id, two.id]);
    assert_eq!(see(&store, |view| view.waiting_renders(0, 1)).len(), 1);
    let lease = |up_to: &Render, real_now, until| Write::LeaseRenders { up_to: up_to.id, real_now, until };
    write(&store, vec![lease(&one, 0, 100)]).await;
    assert_eq!(waiting(99), [two.id]);
    assert_eq!(waiting(100), [one.id, two.id]);
    // Whoever has a render keeps it.
    write(&store, vec![lease(&two, 99, 150)]).await;
    assert_eq!(waiting(100), [one.id]);
    let status = RenderStatus::Rendering;
    let leased = Render { status, ..one.clone() };
    assert_eq!(see(&store, |view| view.render(one.id)), Some(leased));
    write(&store, vec![Write::ReleaseLeases]).await;
    assert_eq!(see(&store, |view| view.render(one.id)), Some(one.clone()));
    assert_eq!(waiting(0), [one.id, two.id]);
    let status = RenderStatus::Succeeded;
    write(&store, vec![Write::FinishRender { id: one.id, status, completed_at: 13 }]).await;
    assert_eq!(waiting(1000), [two.id]);
    assert_eq!(see(&store, |view| view.queue_length()), 1);
    let done = Render { status, completed_at: Some(13), ..one.clone() };
    assert_eq!(see(&store, |view| view.render(one.id)), Some(done));
}

async fn deliveries_are_due_leased_and_settled(store: SharedStore) {
    let to = Subscription {
        id: Uuid::from_u128(50),
        project: "p".to_owned(),
        url: "http://127.0.0.1:1/".to_owned(),
        secret: Secret::new("s"),
        events: vec!["render.failed".to_owned()],
    };
    let delivery = |number: u128, due_at| Delivery {
        id: Uuid::from_u128(number),
        subscription: to.id,
        url: to.url.clone(),
        secret: to.secret.clone(),
        event: "render.failed".to_owned(),
        body: "{}".to_owned(),
        attempts: 0,
        due_at,
        state: DeliveryState::Pending,
    };
    let (late, soon) = (delivery(1, 20), delivery(2, 10));
    let writes = vec![
        Write::InsertSubscription(to.clone()),
        Write::InsertDelivery(late.clone()),
        Write::InsertDelivery(soon.clone()),
    ];
    write(&store, writes).await;
    assert_eq!(see(&store, |view| view.subscriptions("p")), std::slice::from_ref(&to));
    assert!(see(&store, |view| view.subscriptions("q")).is_empty());
    let due = |now, real| see(&store, |view| view.due_deliveries(now, real, 10));
    assert!(due(9, 0).is_empty());
    assert_eq!(due(10, 0), std::slice::from_ref(&soon));
    assert_eq!(due(20, 0), [soon.clone(), late.clone()]);
    write(&store, vec![Write::LeaseDelivery { id: soon.id, until: 100 }]).await;
    assert_eq!(due(20, 99), std::slice::from_ref(&late));
    assert_eq!(see(&store, |view| view.next_due(99)), Some(20));
    assert_eq!(see(&store, |view| view.next_due(100)), Some(10));
    let state = DeliveryState::Pending;
    let retry = Write::UpdateDelivery { id: soon.id, attempts: 1, due_at: 30, state };
    write(&store, vec![retry]).await;
    let retried = Delivery { attempts: 1, due_at: 30, ..soon.clone() };
    assert_eq!(due(30, 0), [late.clone(), retried]);
    let state = DeliveryState::Abandoned;
    let end = |id| Write::UpdateDelivery { id, attempts: 6, due_at: 30, state };
    write(&store, vec![end(soon.id), end(late.id)]).await;
    assert!(due(1000, 1000).is_empty());
    assert_eq!(see(&store, |view| view.next_due(1000)), None);
}

async fn a_failed_decision_writes_nothing(store: SharedStore) {
    let failing = transact(&*store, |_| -> Read<((), Vec<Write>)> {
        Err(StoreError::Database { step: "test", cause: "on purpose".to_owned() })
    });
    assert!(matches!(failing.await, Err(StoreError::Database { step: "test", .. })));
    write(&store, vec![Write::SetClock(1)]).await;
    assert_eq!(see(&store, |view| view.clock()), Some(1));
}

async fn no_update_is_lost(store: SharedStore) {
    const TASKS: i64 = 300;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                transact(&*store, |view| {
                    let count = view.window("k")?.map_or(0, |state| state[0]) + 1;
                    Ok((count, vec![Write::PutWindow { key: "k".to_owned(), state: vec![count] }]))
                })
                .await
                .expect("counted")
            })
        })
        .collect();
    let mut counts = Vec::new();
    for task in tasks {
        counts.push(task.await.expect("no panic"));
        // What was acknowledged is visible to every later read.
        let seen = see(&store, |view| view.window("k")).map_or(0, |state| state[0]);
        assert!(counts.last().is_some_and(|count| *count <= seen));
    }
    counts.sort_unstable();
    assert_eq!(counts, (1..=TASKS).collect::<Vec<_>>());
}

async fn a_closed_store_says_so(store: SharedStore) {
    write(&store, vec![Write::SetClock(1)]).await;
    let closing = store.clone();
    tokio::task::spawn_blocking(move || closing.close()).await.expect("closed");
    let refused = transact(&*store, |_| Ok(((), vec![Write::SetClock(2)]))).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
}

/// A store on a file whose journal is never read: each transaction is folded into the tables before it ends.
struct Folded(SharedStore);

/// A transaction with a change of a table at its end, which folds all before it.
struct WithFold(Box<dyn Transaction>);

impl Transaction for WithFold {
    fn decide(&mut self, view: &dyn View) -> Read<Vec<Write>> {
        let mut writes = self.0.decide(view)?;
        writes.push(Write::DeleteWindow("no such window".to_owned()));
        Ok(writes)
    }

    fn finish(self: Box<Self>, outcome: Read<()>) {
        self.0.finish(outcome);
    }
}

impl Store for Folded {
    fn submit(&self, transaction: Box<dyn Transaction>) {
        self.0.submit(Box::new(WithFold(transaction)));
    }

    fn read(&self, look: &mut dyn FnMut(&dyn View) -> Read<()>) -> Read<()> {
        self.0.read(look)
    }

    fn close(&self) {
        self.0.close();
    }
}

async fn on_file(path: &std::path::Path) -> SharedStore {
    sqlite::open(path, PENDING).await.expect("opened")
}

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::memory::shared()).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = tempfile::tempdir().expect("a folder");
                super::$name(super::on_file(&folder.path().join("store.db")).await).await;
            })*
        }
        mod on_sqlite_folded {
            use std::sync::Arc;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let folder = tempfile::tempdir().expect("a folder");
                let file = super::on_file(&folder.path().join("store.db")).await;
                super::$name(Arc::new(super::Folded(file))).await;
            })*
        }
    };
}

contract!(
    domains_are_kept_changed_and_removed,
    tokens_are_found_by_hash_and_stay_once_revoked,
    windows_and_the_clock_keep_their_last_value,
    decisions_see_what_was_written_before,
    accepted_paths_come_back_in_order,
    templates_change_version_and_revision,
    a_template_may_be_published_from_the_start,
    renders_pass_the_queue_under_leases,
    deliveries_are_due_leased_and_settled,
    a_failed_decision_writes_nothing,
    no_update_is_lost,
    a_closed_store_says_so,
);

#[tokio::test]
async fn a_file_keeps_what_was_written_when_it_is_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = on_file(&path).await;
    write(&store, vec![insert_domain("a", &["/"]), Write::InsertRender(render(1, None))]).await;
    tokio::task::spawn_blocking(move || store.close()).await.expect("closed");
    let store = on_file(&path).await;
    assert_eq!(see(&store, |view| view.domain("a")), Some(domain("a")));
    assert_eq!(see(&store, |view| view.render(Uuid::from_u128(1))), Some(render(1, None)));
}

#[tokio::test]
async fn in_a_batch_only_the_culprit_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = on_file(&folder.path().join("store.db")).await;
    write(&store, vec![insert_domain("a", &[])]).await;
    let window = || Write::PutWindow { key: "k".to_owned(), state: vec![7] };
    let twice = transact(&*store, move |_| Ok(((), vec![window(), insert_domain("a", &[])])));
    let fine = transact(&*store, |_| Ok(((), vec![insert_domain("b", &[])])));
    let also = transact(&*store, |_| Ok(((), vec![insert_domain("c", &[])])));
    let (twice, fine, also) = tokio::join!(twice, fine, also);
    assert!(matches!(twice, Err(StoreError::Database { .. })), "{twice:?}");
    assert!(fine.is_ok() && also.is_ok());
    assert!(see(&store, |view| view.domain("b")).is_some());
    assert!(see(&store, |view| view.domain("c")).is_some());
    // What was rolled back is seen by no later decision.
    assert_eq!(transact(&*store, |view| Ok((view.window("k")?, Vec::new()))).await.expect("a decision"), None);
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let later = rusqlite::Connection::open(&path).expect("a file");
    later.pragma_update(None, "user_version", 99).expect("a version");
    let Err(error) = sqlite::open(&path, PENDING).await else {
        panic!("a file of a later version was opened");
    };
    assert!(error.to_string().contains("schema 99"), "{error}");
}

#[tokio::test]
async fn a_file_has_one_server_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let store = on_file(&path).await;
    let Err(error) = sqlite::open(&path, PENDING).await else {
        panic!("a file was opened twice");
    };
    assert!(error.to_string().contains("another server"), "{error}");
    tokio::task::spawn_blocking(move || store.close()).await.expect("closed");
    on_file(&path).await;
}
