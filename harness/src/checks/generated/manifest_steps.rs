//! The requests of one generated manifest, each with what it means: one body that fits, and others that differ from it in one thing.
//! Pure: gathering and judging work them out alike.

use serde_json::{Map, Value, json};

use super::manifest_case::{
    Beside, Fault, Kind, ManifestCase, Rows, Sort, TITLE, Variation, field_name, loop_name, pointer,
};
use super::spelling::{flipped, spelled};
use crate::checks::craftkit::bodies::{with, without};

/// The step of the body that fits.
pub(super) const FITS: &str = "fits";
/// The step of the plainest fault: the title is missing.
pub(super) const LACKS: &str = "lacks-title";
/// The step of a fitting body with its signature.
pub(super) const SIGNED: &str = "signed";
/// The step of a fitting body with a digest under another key.
pub(super) const MISMATCH: &str = "mismatch";

/// With more rows than this, only faults are tried: the bodies are long.
const ROWS_VARIED_MAX: usize = 25;

/// One request of a case.
pub(super) struct Step {
    /// Its name within the case.
    pub(super) name: String,
    /// The bytes sent.
    pub(super) body: String,
    /// How it is signed.
    pub(super) signature: Signature,
    /// It goes to the render route.
    pub(super) renders: bool,
    /// What its answer shows.
    pub(super) meaning: Meaning,
}

/// How a request is signed.
pub(super) enum Signature {
    None,
    /// Over the body as sent.
    Honest,
    /// Over other bytes.
    Over(String),
    /// With another key.
    OtherKey,
    /// Over the body as sent, with one digit replaced.
    Replaced(usize),
    /// Over the body as sent, with two digits exchanged.
    Exchanged,
}

/// What an answer shows.
pub(super) enum Meaning {
    /// Must be accepted; all else rests on it.
    Fits,
    /// Only compared with.
    Control,
    /// Is to be refused, if what stands at `base` is.
    Refused {
        rule: &'static str,
        should_part: bool,
        base: &'static str,
        offender: Option<String>,
        own_base: Option<String>,
    },
    /// Is to be accepted, if these steps are.
    Accepted { rule: &'static str, controls: Vec<String> },
    /// Its signature is of something else; `exact` if it can only be refused for that.
    Forged { rule: &'static str, exact: bool },
    /// The render route answers as the hook did at this step.
    Agrees { step: String },
}

/// What is done to the body at one place.
struct Planted {
    body: Value,
    rule: &'static str,
    should_part: bool,
    offender: Option<String>,
    /// The same thing at the top level, with the rule that is about it there.
    base: Option<(Value, Option<&'static str>)>,
}

/// The variables that the faults of a case need at the top level.
pub(super) fn beside(case: &ManifestCase) -> Vec<Beside> {
    let mut beside: Vec<Beside> = Vec::new();
    for fault in &case.faults {
        let found = match fault.sort {
            Sort::Lacks => lacking(case, fault).filter(|(key, _)| key.contains('.')).map(|(_, kind)| (kind, true)),
            Sort::ItemLacks => item_lacking(case, fault).map(|(_, _, kind)| (kind, true)),
            Sort::WrongType => typed(case, fault).filter(|(key, _)| key.contains('.')).map(|(_, kind)| (kind, false)),
            Sort::ItemWrongType => item_typed(case, fault).map(|(_, _, kind)| (kind, false)),
            Sort::BadFormat => Some((Kind::formed(fault.at), false)),
            Sort::NearType => Some((Kind::made(fault.at), false)),
            _ => None,
        };
        let needed = found.map(|(kind, required)| Beside { kind, required });
        beside.extend(needed.filter(|needed| !beside.contains(needed)));
    }
    beside
}

/// Every request of a case.
pub(super) fn steps(case: &ManifestCase) -> Vec<Step> {
    let beside = beside(case);
    let body = case.body(&beside);
    let mut steps = vec![plain(FITS, &body, Meaning::Fits)];
    steps.push(plain(LACKS, &without(&body, &pointer(TITLE)), refused("craftkit.input.required", Some(TITLE))));
    for (number, fault) in case.faults.iter().enumerate() {
        for how in 0..ways(fault) {
            let fault = Fault { how: fault.how + how, ..fault.clone() };
            let Some(planted) = planted(case, &fault, &body) else { continue };
            let own_base = planted.base.map(|(base, rule)| {
                let name = format!("base-{number}-{how}");
                steps.push(plain(&name, &base, rule.map_or(Meaning::Control, |rule| refused(rule, None))));
                name
            });
            let Planted { body, rule, should_part, offender, .. } = planted;
            let meaning = Meaning::Refused { rule, should_part, base: LACKS, offender, own_base };
            steps.push(plain(&format!("fault-{number}-{how}"), &body, meaning));
        }
    }
    if case.rows() <= ROWS_VARIED_MAX {
        for (number, variation) in case.variations.iter().enumerate() {
            vary(case, *variation, number, &body, &mut steps);
        }
    }
    steps
}

/// In how many ways a fault is planted, one after the other: what is no row or no list comes in more forms than few cases would show.
fn ways(fault: &Fault) -> usize {
    match fault.sort {
        Sort::NoObject | Sort::NoArray | Sort::BadFormat => 3,
        Sort::WrongType => 2,
        _ => 1,
    }
}

fn plain(name: &str, body: &Value, meaning: Meaning) -> Step {
    Step { name: name.to_owned(), body: body.to_string(), signature: Signature::None, renders: false, meaning }
}

fn refused(rule: &'static str, offender: Option<&str>) -> Meaning {
    Meaning::Refused { rule, should_part: false, base: LACKS, offender: offender.map(str::to_owned), own_base: None }
}

fn pick<T>(mut places: Vec<T>, at: usize) -> Option<T> {
    if places.is_empty() { None } else { Some(places.swap_remove(at % places.len())) }
}

/// A required variable, the title among them.
fn lacking(case: &ManifestCase, fault: &Fault) -> Option<(String, Kind)> {
    let required = case.keyed().filter(|(_, scalar)| scalar.required).map(|(key, scalar)| (key, scalar.kind));
    pick(required.collect(), fault.at)
}

/// Any variable.
fn typed(case: &ManifestCase, fault: &Fault) -> Option<(String, Kind)> {
    pick(case.keyed().map(|(key, scalar)| (key, scalar.kind)).collect(), fault.at)
}

/// A field of a loop: the loop, the pointer to it in one row, its type.
fn field_of(
    case: &ManifestCase,
    fault: &Fault,
    fits: impl Fn(&super::manifest_case::Scalar) -> bool,
) -> Option<(String, String, Kind)> {
    let of_loop = |(place, one): (usize, &Rows)| -> Vec<(String, String, Kind)> {
        let fields = one.fields.iter().enumerate().filter(|(_, scalar)| fits(scalar));
        let item = item_pointer(place, one, fault);
        fields.map(|(field, scalar)| (loop_name(place), format!("{item}/{}", field_name(field)), scalar.kind)).collect()
    };
    pick(case.loops.iter().enumerate().flat_map(of_loop).collect(), fault.at)
}

fn item_lacking(case: &ManifestCase, fault: &Fault) -> Option<(String, String, Kind)> {
    field_of(case, fault, |scalar| scalar.required)
}

fn item_typed(case: &ManifestCase, fault: &Fault) -> Option<(String, String, Kind)> {
    field_of(case, fault, |_| true)
}

fn item_pointer(place: usize, one: &Rows, fault: &Fault) -> String {
    let row = (one.rows.saturating_sub(1) * fault.row.min(100)).div_ceil(100);
    format!("/{}/{row}", loop_name(place))
}

fn top_of(key: &str) -> Option<String> {
    key.split('.').next().map(str::to_owned)
}

/// Plants a fault; `None` if the manifest has no place for it.
fn planted(case: &ManifestCase, fault: &Fault, body: &Value) -> Option<Planted> {
    let of = |rule: &'static str, body: Value, offender: Option<String>| Planted {
        body,
        rule,
        should_part: false,
        offender,
        base: None,
    };
    let beside = |kind: Kind, required: bool| pointer(&Beside { kind, required }.key());
    let lacks = |kind: Kind| Some((without(body, &beside(kind, true)), Some("craftkit.input.required")));
    let wrong =
        |kind: Kind| Some((with(body, &beside(kind, false), kind.wrong(fault.how)), Some("craftkit.input.wrong-type")));
    Some(match fault.sort {
        Sort::Lacks => {
            let (key, kind) = lacking(case, fault)?;
            let lacking = without(body, &pointer(&key));
            match key.contains('.') {
                true => Planted { base: lacks(kind), ..of("craftkit.input.dot-path", lacking, top_of(&key)) },
                false => of("craftkit.input.required", lacking, Some(key)),
            }
        }
        Sort::WrongType => {
            let (key, kind) = typed(case, fault)?;
            let wrongly = with(body, &pointer(&key), kind.wrong(fault.how));
            match key.contains('.') {
                true => Planted { base: wrong(kind), ..of("craftkit.input.dot-path", wrongly, top_of(&key)) },
                false => of("craftkit.input.wrong-type", wrongly, Some(key)),
            }
        }
        Sort::ItemLacks => {
            let (key, at, kind) = item_lacking(case, fault)?;
            Planted { base: lacks(kind), ..of("craftkit.input.loop-item", without(body, &at), Some(key)) }
        }
        Sort::ItemWrongType => {
            let (key, at, kind) = item_typed(case, fault)?;
            let wrongly = with(body, &at, kind.wrong(fault.how));
            Planted { base: wrong(kind), ..of("craftkit.input.loop-item", wrongly, Some(key)) }
        }
        Sort::NoObject => {
            let (place, one) = pick(case.loops.iter().enumerate().collect(), fault.at)?;
            let no_object = pick(vec![json!("Widget"), json!(["Widget", 1]), json!(1), json!(true)], fault.how)?;
            let at = item_pointer(place, one, fault);
            of("craftkit.input.loop-item", with(body, &at, no_object), Some(loop_name(place)))
        }
        Sort::NoArray => {
            let (place, _) = pick(case.loops.iter().enumerate().collect(), fault.at)?;
            let row = body[loop_name(place)][0].clone();
            let no_arrays = vec![row, json!("Widget"), json!(3), json!(true), json!(false), json!({})];
            let at = pointer(&loop_name(place));
            of("craftkit.input.loop-not-array", with(body, &at, pick(no_arrays, fault.how)?), Some(loop_name(place)))
        }
        Sort::Misplaced | Sort::Dotted => elsewhere(case, fault, body)?,
        Sort::Wrapped => of("craftkit.input.flat", json!({ "data": body }), None),
        Sort::BadFormat => {
            let kind = Kind::formed(fault.at);
            let value = kind.misformed(fault.how)?;
            of("craftkit.input.formats", with(body, &beside(kind, false), value), None)
        }
        Sort::NearType => {
            let kind = Kind::made(fault.at);
            let near = with(body, &beside(kind, false), kind.nearly()?);
            Planted { should_part: true, ..of("craftkit.input.wrong-type", near, None) }
        }
    })
}

/// Puts a scalar of a group to the top level, under its last name or under its whole key.
fn elsewhere(case: &ManifestCase, fault: &Fault, body: &Value) -> Option<Planted> {
    let nested = case.keyed().filter(|(key, scalar)| scalar.required && key.contains('.'));
    let key = pick(nested.map(|(key, _)| key).collect(), fault.at)?;
    let value = body.pointer(&pointer(&key))?.clone();
    let lacking = without(body, &pointer(&key));
    let (rule, name) = match fault.sort {
        Sort::Dotted => ("craftkit.input.dotted-literal", key.as_str()),
        _ => ("craftkit.input.dot-path", key.rsplit('.').next()?),
    };
    let body = with(&lacking, &format!("/{name}"), value);
    Some(Planted { body, rule, should_part: false, offender: None, base: Some((lacking, None)) })
}

/// Adds the steps of a variation; none if the case has nothing to vary so.
fn vary(case: &ManifestCase, variation: Variation, number: usize, body: &Value, steps: &mut Vec<Step>) {
    let accepted = |rule: &'static str| Meaning::Accepted { rule, controls: vec![FITS.to_owned()] };
    let name = |what: &str| format!("{what}-{number}");
    match variation {
        Variation::UnknownKeys(style) => {
            let rule = "craftkit.input.unknown-stripped";
            steps.push(plain(&name("unknown"), &with_unknown(body, style), accepted(rule)));
            let lacking = without(body, &pointer(TITLE));
            steps.push(plain(&name("unknown-lacks"), &with_unknown(&lacking, style), refused(rule, None)));
        }
        Variation::UnknownNested => {
            let mut nested = body.clone();
            if add_below(&mut nested) {
                steps.push(plain(&name("nested"), &nested, accepted("craftkit.input.unknown-nested")));
            }
        }
        Variation::Coerced => {
            let mut coerced = body.clone();
            let mut any = false;
            for (key, scalar) in case.keyed() {
                let coerces = matches!(scalar.kind, Kind::Number | Kind::Currency | Kind::Boolean);
                if let Some(value) = coerced.pointer_mut(&pointer(&key)).filter(|_| coerces) {
                    *value = Value::from(value.to_string());
                    any = true;
                }
            }
            if any {
                steps.push(plain(&name("coerced"), &coerced, accepted("craftkit.input.coercion")));
            }
        }
        Variation::LoopAbsent if !case.loops.is_empty() => {
            let absent = without(body, &pointer(&loop_name(0)));
            steps.push(plain(&name("loop-absent"), &absent, accepted("craftkit.input.loop-default")));
        }
        Variation::LoopEmpty if !case.loops.is_empty() => {
            let empty = with(body, &pointer(&loop_name(0)), json!([]));
            steps.push(plain(&name("loop-empty"), &empty, accepted("craftkit.input.loop-default")));
        }
        Variation::LoopAbsent | Variation::LoopEmpty => {}
        Variation::Respelled(seed) => respell(seed, number, body, steps),
        Variation::Tampered(seed) => tamper(seed, number, body, steps),
        Variation::Rendered => render(number, body, steps),
    }
}

/// The same body with another title, so that no two signed requests are alike.
fn titled(body: &Value, title: &str) -> Value {
    with(body, &pointer(TITLE), json!(title))
}

/// An honestly signed request and a wrongly signed one, without which nothing follows from other signatures. One pair is enough.
fn add_signed(body: &Value, steps: &mut Vec<Step>) {
    if steps.iter().any(|step| step.name == SIGNED) {
        return;
    }
    for (name, signature) in [(SIGNED, Signature::Honest), (MISMATCH, Signature::OtherKey)] {
        steps.push(Step { signature, ..plain(name, &titled(body, name), Meaning::Control) });
    }
}

fn respell(seed: usize, number: usize, body: &Value, steps: &mut Vec<Step>) {
    add_signed(body, steps);
    let name = |what: &str| format!("{what}-{number}");
    let step = |what: &str, signature: Signature, body: String, meaning: Meaning| Step {
        name: name(what),
        body,
        signature,
        renders: false,
        meaning,
    };
    let controls = vec![FITS.to_owned()];
    let unsigned = spelled(&titled(body, &format!("Stock {seed} unsigned")), seed);
    let meaning = Meaning::Accepted { rule: "craftkit.hook.accepted", controls };
    steps.push(step("respelled", Signature::None, unsigned, meaning));
    let sent = spelled(&titled(body, &format!("Stock {seed} signed")), seed);
    let controls = vec![FITS.to_owned(), name("respelled"), SIGNED.to_owned()];
    let meaning = Meaning::Accepted { rule: "craftkit.signature.raw-body", controls };
    steps.push(step("respelled-signed", Signature::Honest, sent, meaning));
    let otherwise = titled(body, &format!("Stock {seed} otherwise"));
    let (sent, over) = (spelled(&otherwise, seed), Signature::Over(otherwise.to_string()));
    let meaning = Meaning::Forged { rule: "craftkit.signature.raw-body", exact: true };
    steps.push(step("respelled-otherwise", over, sent, meaning));
}

fn tamper(seed: usize, number: usize, body: &Value, steps: &mut Vec<Step>) {
    add_signed(body, steps);
    let (rule, signature) = ("craftkit.signature.tampered", Signature::Over);
    let original = titled(body, &format!("Stock {seed} a")).to_string();
    let changed = titled(body, &format!("Stock {seed} b")).to_string();
    steps.push(Step {
        name: format!("tampered-text-{number}"),
        body: changed,
        signature: signature(original.clone()),
        renders: false,
        meaning: Meaning::Forged { rule, exact: true },
    });
    steps.push(Step {
        name: format!("tampered-byte-{number}"),
        body: flipped(&original, seed),
        signature: signature(original),
        renders: false,
        meaning: Meaning::Forged { rule, exact: false },
    });
    for (what, signature, exact) in
        [("replaced", Signature::Replaced(seed), true), ("exchanged", Signature::Exchanged, false)]
    {
        let body = titled(body, &format!("Stock {seed} {what}"));
        let name = format!("tampered-{what}-{number}");
        steps.push(Step { signature, ..plain(&name, &body, Meaning::Forged { rule, exact }) });
    }
}

/// What was sent to the hook goes to the render route: the body that fits, and the first that does not.
fn render(number: usize, body: &Value, steps: &mut Vec<Step>) {
    if steps.iter().any(|step| step.renders) {
        return;
    }
    let faulty = steps.iter().find(|step| step.name.starts_with("fault-"));
    let faulty = faulty.map(|step| (step.name.clone(), serde_json::from_str(&step.body).unwrap_or_default()));
    for (place, (step, data)) in [Some((FITS.to_owned(), body.clone())), faulty].into_iter().flatten().enumerate() {
        let body = json!({ "data": data });
        steps.push(Step {
            renders: true,
            ..plain(&format!("rendered-{number}-{place}"), &body, Meaning::Agrees { step })
        });
    }
}

/// The body with keys at its top level that no manifest has.
fn with_unknown(body: &Value, style: usize) -> Value {
    const MANY: usize = 25;
    let mut changed = body.as_object().cloned().unwrap_or_default();
    let unknown: Map<String, Value> = match style {
        0 => [("campaign".to_owned(), json!("spring")), ("note".to_owned(), Value::Null)].into_iter().collect(),
        1 => {
            [("campaign".to_owned(), body.clone()), ("extra".to_owned(), json!([1, {"a": "b"}]))].into_iter().collect()
        }
        _ => (0..MANY).map(|number| (format!("extra{number}"), json!(number))).collect(),
    };
    changed.extend(unknown);
    Value::Object(changed)
}

/// Adds a key to every group and item; false if there is none.
fn add_below(body: &mut Value) -> bool {
    let mut added = false;
    for value in body.as_object_mut().into_iter().flat_map(Map::values_mut) {
        added |= add_everywhere(value);
    }
    added
}

fn add_everywhere(value: &mut Value) -> bool {
    match value {
        Value::Object(entries) => {
            entries.values_mut().for_each(|inner| {
                add_everywhere(inner);
            });
            entries.insert("campaign".to_owned(), json!({"name": "spring"}));
            true
        }
        Value::Array(items) => {
            let mut added = false;
            for item in items {
                added |= add_everywhere(item);
            }
            added
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
