"""An example adapter: it lets hookproof ask an implementation for domains, templates, faults and time.

Name it in a target file and hookproof starts it:

    [fixtures]
    kind = "command"
    command = ["python3", "harness/examples/adapter/adapter.py"]

hookproof writes one JSON-RPC 2.0 request a line to its stdin and reads one response a line from
its stdout; whatever it says on stderr is shown with `--verbose`. It ends when its stdin ends.

To make it yours, copy this file and replace what touches the implementation: the part between
the two rulers below. Leave a method out that you cannot offer: hookproof then names it and
reports the rules that need it as not run. Nothing outside the rulers needs to change; it uses
`start`, `stop` and what `@method` offers, and nothing else of what stands between them.

This copy drives the implementation that hookproof's own tests use, which is one file in
`harness/tests/contrarian`. It conforms, but is contrary on purpose; do not copy its choices.
"""

import argparse
import inspect
import json
import pathlib
import sys

PROTOCOL = 1
METHODS = {}


# The last one stands for an Agency+ plan that its owner has cancelled, within the time still paid for. No rule needs
# it: leave it out if you cannot make such a domain, and refuse it like any plan that you do not know.
PLANS = ["starter", "pro", "agency", "agency_plus", "agency_plus_cancelled"]
EVENTS = ["render.succeeded", "render.failed"]
DATA_TYPES = ["text", "longtext", "number", "currency", "date", "datetime", "boolean", "image", "url", "email"]


class BadParams(Exception):
    """A parameter is missing, unknown or of another type."""

    def __init__(self, field, problem):
        super().__init__(f"{field}: {problem}")
        self.field = field


class Refused(Exception):
    """A wish that makes sense and cannot be granted; `reason` is one word for programs."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


def method(name, **kinds):
    """Offers a function as a method of the protocol, with its parameters and what each must be.

    A parameter without a default value is required. One that the caller leaves out is not passed.
    """

    def offer(function):
        METHODS[name] = (function, kinds)
        return function

    return offer


def require(holds, field, expected):
    if not holds:
        raise BadParams(field, f"expected {expected}")


def text(field, value):
    require(isinstance(value, str), field, "a string")


def flag(field, value):
    require(isinstance(value, bool), field, "true or false")


def count(field, value):
    require(isinstance(value, int) and not isinstance(value, bool) and value >= 0, field, "a whole number from 0 up")


def count_or_null(field, value):
    if value is not None:
        count(field, value)


def items(field, value, kind):
    require(isinstance(value, list), field, "a list")
    for position, item in enumerate(value):
        kind(f"{field}[{position}]", item)


def texts(field, value):
    items(field, value, text)


def one_of(choices):
    return lambda field, value: require(value in choices, field, f"one of {', '.join(choices)}")


def events(field, value):
    items(field, value, one_of(EVENTS))


def web_url(field, value):
    text(field, value)
    require(value.startswith(("http://", "https://")), field, "an http or https URL")


def version_1(field, value):
    require(value == PROTOCOL, field, f"{PROTOCOL}, the version that this adapter speaks")


def manifest_like(field, value):
    require(isinstance(value, dict), field, "an object")
    items(f"{field}.variables", value.get("variables", []), variable)
    items(f"{field}.loops", value.get("loops", []), loop)


def variable(field, value):
    require(isinstance(value, dict), field, "an object")
    text(f"{field}.key", value.get("key"))
    one_of(DATA_TYPES)(f"{field}.dataType", value.get("dataType"))


def loop(field, value):
    require(isinstance(value, dict), field, "an object")
    text(f"{field}.key", value.get("key"))
    require("." not in value["key"], f"{field}.key", "a key without a dot")
    items(f"{field}.itemFields", value.get("itemFields"), variable)


# ------------------------------------------------------------------------------------------
# What touches the implementation. Raise Refused(reason, message) for a wish that makes sense
# and cannot be granted: "token_limit" for a sixth token, "not_found" for what is not there.

target = None


def start():
    """Starts the implementation. Instead, yours may run already, elsewhere on this machine."""
    global target
    options = argparse.ArgumentParser(description="An example adapter for hookproof.")
    options.add_argument("--variant", choices=["a", "b"], default="a")
    variant = options.parse_args().variant
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "contrarian"))
    import implementation

    # What it raises where it refuses has the same form; from here on it raises ours.
    implementation.Refused = Refused
    target = implementation.Implementation(variant)
    target.start()


def stop():
    """Ends what `start` began, when hookproof is done."""
    target.stop()


@method("hello", protocol=version_1)
def hello(protocol):
    """Says who is there, which methods work, how the clock moves, and where the APIs are.

    "manual" promises `clock.advance`; with "system", hookproof waits in real time instead.
    Leave `rndrkit` or `craftkit` out if you have only one of the APIs.
    """
    return {
        "protocol": PROTOCOL,
        "implementation": {"name": "contrarian", "version": "1.0.0"},
        "methods": list(METHODS),
        "clock": "manual",
        "rndrkit": {"base_url": target.origin},
        "craftkit": {"base_url": target.origin + target.hooks.prefix},
    }


@method(
    "domain.create",
    plan=one_of(PLANS),
    active=flag,
    monthly_render_limit=count_or_null,
    renders_used=count,
    known_paths=texts,
    tokens=count,
)
def create_domain(
    plan="agency_plus",
    active=True,
    monthly_render_limit=None,
    renders_used=0,
    known_paths=(),
    tokens=1,
):
    """Makes a new domain that nobody else uses. A render limit of null stands for none."""
    domain, made = target.refresh.create_domain(
        plan, active, monthly_render_limit, renders_used, known_paths, tokens
    )
    return {
        "domain": domain.name,
        "tokens": [{"id": token.identity, "token": token.value} for token in made],
    }


@method(
    "domain.update",
    domain=text,
    plan=one_of(PLANS),
    active=flag,
    monthly_render_limit=count_or_null,
    renders_used=count,
)
def update_domain(domain, **changes):
    """Changes what is given and nothing else; here null is a value, and absent is not."""
    ours = {"monthly_render_limit": "limit", "renders_used": "used"}
    target.refresh.update_domain(domain, {ours.get(name, name): value for name, value in changes.items()})
    return {}


@method("domain.inspect", domain=text)
def inspect_domain(domain):
    """Reads a domain's state. `tokens` are the live ones, without their values."""
    state = target.refresh.inspect_domain(domain)
    return {
        "domain": state["domain"],
        "plan": state["plan"],
        "active": state["active"],
        "monthly_render_limit": state["limit"],
        "renders_used": state["used"],
        "queued_paths": state["queued"],
        "tokens": [{"id": identity} for identity in state["tokens"]],
    }


@method("domain.delete", domain=text)
def delete_domain(domain):
    target.refresh.delete_domain(domain)
    return {}


@method("token.create", domain=text)
def create_token(domain):
    """Makes a token the way your users do: the limit of five is what gets tested."""
    token = target.refresh.create_token(domain)
    return {"id": token.identity, "token": token.value}


@method("token.revoke", domain=text, id=text)
def revoke_token(domain, id):
    target.refresh.revoke_token(domain, id)
    return {}


@method("template.create", manifest=manifest_like, published=flag, require_signature=flag, project=text)
def create_template(manifest, published=True, require_signature=False, project=None):
    """Makes a template in a project that is there, or in a new one."""
    template, api_key = target.hooks.create_template(manifest, published, require_signature, project)
    return {
        "template_id": str(template.number),
        "slug": template.slug,
        "inbound_token": template.token,
        "inbound_secret": template.secret,
        "project": template.project,
        "api_key": api_key,
    }


@method("template.update", slug=text, manifest=manifest_like, published=flag, require_signature=flag)
def update_template(slug, **changes):
    """A manifest publishes a new version, be it the first; `published: true` publishes the draft."""
    if changes.get("published") is False:
        raise BadParams("published", "a published template cannot be taken back")
    if "require_signature" in changes:
        changes["enforced"] = changes.pop("require_signature")
    target.hooks.update_template(slug, changes)
    return {}


@method("template.delete", slug=text)
def delete_template(slug):
    target.hooks.delete_template(slug)
    return {}


@method("render.inspect", id=text)
def inspect_render(id):
    """Reads a render as stored; `data` is what was kept of the request's body."""
    render = target.hooks.inspect_render(id)
    return {name: render[name] for name in ("id", "slug", "version", "status", "data")}


@method("subscription.create", project=text, url=web_url, events=events)
def create_subscription(project, url, events=()):
    """Sends a project's outgoing webhooks to a URL of hookproof's. No events: all of them."""
    subscription = target.hooks.subscribe(project, url, list(events))
    return {"id": subscription["id"], "secret": subscription["secret"]}


@method("queue.set", available=flag)
def set_queue(available):
    """Takes the render queue away or brings it back, for every template."""
    target.hooks.set_queue(available)
    return {}


@method("clock.advance", ms=count)
def advance_clock(ms):
    """Puts the whole implementation's clock forward. It may stand still or run on from there."""
    target.clock.advance(ms)
    return {"now": target.clock.text()}


# ------------------------------------------------------------------------------------------
# JSON-RPC 2.0, one message a line.

NOT_JSON = -32700
NOT_A_REQUEST = -32600
NO_SUCH_METHOD = -32601
BAD_PARAMS = -32602
BROKEN = -32603
REFUSED = -32000


def call(name, params):
    """Checks the parameters and runs the method."""
    function, kinds = METHODS[name]
    if not isinstance(params, dict):
        raise BadParams("params", "expected an object with named parameters")
    for field, value in params.items():
        if field not in kinds:
            raise BadParams(field, "unknown parameter")
        kinds[field](field, value)
    for field, parameter in inspect.signature(function).parameters.items():
        required = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if required and field not in params:
            raise BadParams(field, "missing")
    return function(**params)


def respond(line):
    """The response to one line, or None if none is due."""
    try:
        message = json.loads(line)
    except ValueError:
        return failure(None, NOT_JSON, "not JSON")
    if not isinstance(message, list):
        return respond_to_one(message)
    if not message:
        return failure(None, NOT_A_REQUEST, "an empty batch")
    return [response for response in map(respond_to_one, message) if response is not None] or None


def respond_to_one(message):
    if not isinstance(message, dict):
        return failure(None, NOT_A_REQUEST, "not an object")
    id, name, params = message.get("id"), message.get("method"), message.get("params", {})
    if message.get("jsonrpc") != "2.0" or not isinstance(name, str) or not isinstance(params, (dict, list)):
        return failure(id, NOT_A_REQUEST, "not a JSON-RPC 2.0 request")
    response = answer(id, name, params)
    return response if "id" in message else None


def answer(id, name, params):
    if name not in METHODS:
        return failure(id, NO_SUCH_METHOD, f"no method `{name}`")
    try:
        return {"jsonrpc": "2.0", "id": id, "result": call(name, params)}
    except BadParams as error:
        return failure(id, BAD_PARAMS, str(error), {"field": error.field})
    except Refused as error:
        return failure(id, REFUSED, str(error), {"reason": error.reason})
    except Exception as error:  # Whatever else goes wrong must reach hookproof as an answer, too.
        return failure(id, BROKEN, f"{type(error).__name__}: {error}")


def failure(id, code, message, data=None):
    error = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return {"jsonrpc": "2.0", "id": id, "error": error}


def main():
    start()
    try:
        for line in sys.stdin:
            if line.strip():
                response = respond(line)
                if response is not None:
                    # One line, at once: hookproof waits for it.
                    print(json.dumps(response), flush=True)
    finally:
        stop()


if __name__ == "__main__":
    main()
