use super::*;

const MINUTE_MS: u64 = 60_000;

fn at(minute: u64) -> Moment {
    Moment { advanced_ms: minute * MINUTE_MS, start_ns: 0, end_ns: 0 }
}

/// Feeds (minute, token, ask, status) to a domain with two tokens; the place of the first answer that is not acceptable.
fn first_wrong(counting: Counting, history: &[(u64, usize, Ask, u16)]) -> Option<usize> {
    let mut model = RefreshModel::new(ClockKind::Manual, counting, 1, 2);
    history.iter().position(|(minute, token, ask, status)| {
        model.answered((0, *token, *ask), *status, at(*minute), Seeing::Settled).is_err()
    })
}

fn served(times: usize, minute: u64) -> Vec<(u64, usize, Ask, u16)> {
    (0..times).map(|number| (minute, number % 2, Ask::Page, 200)).collect()
}

#[test]
fn ten_are_served_and_the_eleventh_is_not() {
    assert_eq!(first_wrong(Counting::Documented, &served(10, 0)), None);
    assert_eq!(first_wrong(Counting::Documented, &served(11, 0)), Some(10));
    assert_eq!(first_wrong(Counting::Documented, &[served(9, 0), vec![(0, 0, Ask::Page, 429)]].concat()), Some(9));
}

#[test]
fn the_window_ends_an_hour_after_its_first_request_whatever_was_refused() {
    let full = [served(10, 5), vec![(59, 0, Ask::Page, 429)]].concat();
    assert_eq!(first_wrong(Counting::Documented, &[full.clone(), served(10, 66)].concat()), None);
    assert_eq!(first_wrong(Counting::Documented, &[full.clone(), served(1, 64)].concat()), Some(11));
    // At the very end either answer will do.
    for status in [200, 429] {
        let edge = [full.clone(), vec![(65, 0, Ask::Page, status)]].concat();
        assert_eq!(first_wrong(Counting::Documented, &edge), None);
    }
    let refused_later = [full, vec![(66, 0, Ask::Page, 429)]].concat();
    assert_eq!(first_wrong(Counting::Documented, &refused_later), Some(11));
    assert_eq!(first_wrong(Counting::Extended, &refused_later), None);
}

#[test]
fn invalid_requests_count_and_other_ways_of_counting_are_told_apart() {
    let with = |ask: Ask| [vec![(0, 0, ask, 400)], served(10, 0)].concat();
    assert_eq!(first_wrong(Counting::Documented, &with(Ask::Nothing)), Some(10));
    assert_eq!(first_wrong(Counting::BodiesFree, &with(Ask::Nothing)), None);
    assert_eq!(first_wrong(Counting::PathsFree, &with(Ask::Nothing)), Some(10));
    assert_eq!(first_wrong(Counting::PathsFree, &with(Ask::NoPath)), None);
    assert_eq!(first_wrong(Counting::PerToken, &served(20, 0)), None);
    assert_eq!(first_wrong(Counting::PerToken, &served(21, 0)), Some(20));
}

/// The documents let a window reset an hour after its first request, and leave open whether a refused one is one of the ten.
#[test]
fn a_refused_request_may_begin_a_window_without_being_one_of_the_ten() {
    let mut model = RefreshModel::new(ClockKind::Manual, Counting::Documented, 1, 2);
    let mut answered =
        |minute: u64, status: u16| model.answered((0, 0, Ask::Page), status, at(minute), Seeing::Settled);
    let mut refused = RefreshModel::new(ClockKind::Manual, Counting::Documented, 1, 2);
    refused.set_plan(0, false);
    assert!(refused.answered((0, 0, Ask::Page), 403, at(0), Seeing::Settled).is_ok());
    refused.set_plan(0, true);
    let mut after = |minute: u64, status: u16| refused.answered((0, 0, Ask::Page), status, at(minute), Seeing::Settled);
    for _ in 0..10 {
        assert!(after(30, 200).is_ok());
        assert!(answered(30, 200).is_ok());
    }
    // An hour after the refused request, and well before one after the first that was served.
    assert!(after(61, 200).is_ok());
    assert!(answered(61, 200).is_err());
}

#[test]
fn what_a_refusal_costs_is_left_open() {
    for used in [9, 10] {
        let mut model = RefreshModel::new(ClockKind::Manual, Counting::Documented, 1, 2);
        model.revoke(0, 1);
        assert!(model.answered((0, 1, Ask::Page), 401, at(0), Seeing::Settled).is_ok());
        for _ in 0..used {
            assert!(model.answered((0, 0, Ask::Page), 200, at(0), Seeing::Settled).is_ok());
        }
        assert!(model.answered((0, 0, Ask::Page), 429, at(0), Seeing::Settled).is_ok(), "after {used}");
    }
}

#[test]
fn a_change_may_take_its_time_and_then_holds() {
    let mut model = RefreshModel::new(ClockKind::Manual, Counting::Documented, 1, 1);
    model.revoke(0, 0);
    assert!(model.clone().answered((0, 0, Ask::Page), 200, at(0), Seeing::Unsettled).is_ok());
    let wrong = model.answered((0, 0, Ask::Page), 200, at(0), Seeing::Settled);
    assert_eq!(wrong.map_err(|wrong| wrong.against), Err([Refreshed::Unauthorized].into()));
}

#[test]
fn of_two_errors_either_may_win() {
    let mut model = HookModel::new(&[false]);
    model.set_queue(false);
    for status in [409, 503, 400] {
        assert!(model.answered(0, Sent::Unfit, status, Seeing::Settled).is_ok(), "{status}");
    }
    for status in [202, 401, 500] {
        assert!(model.answered(0, Sent::Unfit, status, Seeing::Settled).is_err(), "{status}");
    }
    model.publish(0);
    model.set_queue(true);
    assert!(model.answered(0, Sent::Fitting, 202, Seeing::Settled).is_ok());
    model.enforce(0, true);
    assert!(model.answered(0, Sent::Fitting, 403, Seeing::Settled).is_ok());
    assert!(model.answered(0, Sent::Signed, 202, Seeing::Settled).is_ok());
}
