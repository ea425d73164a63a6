//! One whole run of the suite on the built-in reference, and nothing else.
//!
//! It stands apart from the other tests so that `cargo mutants` can make the suite a judge of its own: a change of
//! the reference's rules that this test lets pass is one that no check notices.

use std::time::Duration;

use hookproof::runner::open::{self, RunSettings};
use hookproof::runner::select::{Narrowing, select};
use hookproof::runner::{self, Pace};
use hookproof::verdict::Status;
use reference_server::Parts;

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_keeps_every_rule() {
    // A mutant that never answers shall not hold up the others for longer than this.
    const RUN_TIME_MAX: Duration = Duration::from_secs(60);
    let settings = RunSettings { settle: Duration::from_millis(500), ..RunSettings::default() };
    let target = open::builtin(Parts::reference(), settings).await.expect("the reference starts");
    let selection = select(&Narrowing::default(), &runner::apis(&target.world)).expect("nothing is narrowed");
    let never = tokio::sync::watch::channel(None).1;
    let pace = Pace { patience: Duration::ZERO, run_time: RUN_TIME_MAX };
    let run = runner::run(&target.world, &selection, pace, &never, |_| {}).await;
    target.close().await;

    let mut broken = Vec::new();
    for result in &run.results {
        broken.extend(result.defect.iter().map(|defect| format!("{}: {defect}", result.check.id)));
        let kept = |status| matches!(status, Status::Pass | Status::NotApplicable);
        let lost = result.findings.iter().filter(|finding| !kept(finding.status));
        broken.extend(lost.map(|finding| format!("{} is {}: {}", finding.rule, finding.status.name(), finding.actual)));
    }
    assert!(run.interrupted.is_none(), "the run ended early");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
