"""A conforming implementation of both APIs that chooses otherwise wherever it may.

It keeps every `must` rule of `hookproof rules` and, on purpose, takes the unexpected side on
what the documents leave open and breaks the `should` rules. The suite must find no failure
in it: whoever gets one here would get one for a correct server of their own.

Some choices exclude each other, so there are two variants:

  a  strict and terse: validates first, refuses whatever is odd, flat error bodies, charges on
     acceptance and by the request, keeps connections open, has no delay anywhere.
  b  lenient and slow: validates last, takes nearly everything, nested error bodies, charges
     when a page is rendered, closes every connection, sees changes only after LAG seconds, bears
     only so many hooks a minute, has a clock that stands still between two moves.

A comment after a line names the rule or the open question it differs on, without the API's
name. Only Python's standard library is used; `harness/examples/adapter/adapter.py` drives it.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import http.server
import ipaddress
import json
import math
import queue
import re
import secrets
import threading
import time
import urllib.parse
import uuid

RATE_LIMIT = 10
WINDOW_MS = 3_600_000
PATHS_MAX = 20
TOKENS_MAX = 5
BODY_MAX = {"a": 64 * 1024, "b": 8 * 1024 * 1024}
HEADER_MAX = 1024
LAG = 0.3
HOOKS_MAX = 50  # a minute and token: more than any rule needs, fewer than a probe for a limit sends at once

BODY_TEXT = 'Provide "urls" array or "all": true'
PATHS_TEXT = "No valid URL paths (must start with /)"
HEADER_TEXT = "Missing or invalid Authorization header"
TOKEN_TEXT = "Invalid token"
INACTIVE_TEXT = "Domain is not active"
PLAN_TEXT = "Webhook refresh requires Agency+ plan"
QUOTA_TEXT = "Monthly render limit reached"
RATE_TEXT = "Rate limit exceeded (10 requests/hour)"


class Refused(Exception):
    """A wish from outside the APIs that makes sense and cannot be granted."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


class NotJson(Exception):
    """The bytes are no JSON."""


class Lagged:
    """A value whose changes are seen only after a while, as behind a cache."""

    def __init__(self, value, lag):
        self._old = self._new = value
        self._lag = lag
        self._seen_from = 0.0

    def get(self):
        return self._new if time.monotonic() >= self._seen_from else self._old

    def set(self, value):
        self._old = self.get()
        self._new = value
        self._seen_from = time.monotonic() + self._lag

    def latest(self):
        return self._new


class Clock:
    """A clock that can be put forward, and either runs on from there or stands still."""

    def __init__(self, start, zone, runs):
        self._zone = zone
        self._start_ms = int(start.timestamp() * 1000)
        self._began = time.monotonic()
        self._runs = runs
        self._moved_ms = 0

    def now_ms(self):
        ran_ms = int((time.monotonic() - self._began) * 1000) if self._runs else 0
        return self._start_ms + ran_ms + self._moved_ms

    def advance(self, ms):
        self._moved_ms += ms

    def now(self):
        return datetime.datetime.fromtimestamp(self.now_ms() / 1000, datetime.timezone.utc)

    def text(self):
        """RFC 3339, with the offset of a zone that need not be UTC."""
        return self.now().astimezone(self._zone).isoformat(timespec="milliseconds")


class Request:
    """A request as it came."""

    def __init__(self, method, target, headers, body):
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = body

    def media_type(self):
        return self.headers.get("content-type", "").split(";")[0].strip().lower()


class Answer:
    """An answer; `value` is sent as JSON, `text` as it is."""

    def __init__(self, status, value=None, text=None, headers=None):
        self.status = status
        self.value = value
        self.text = text
        self.headers = dict(headers or {})


def pairs_first(pairs):
    """An object in which the first of equal keys counts."""
    found = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def pairs_once(pairs):
    """An object in which no key may come twice."""
    found = {}
    for key, value in pairs:
        if key in found:
            raise NotJson("a key comes twice")
        found[key] = value
    return found


def read_json(data, pairs, encoding="utf-8", errors="strict"):
    """Reads JSON strictly: no NaN, no Infinity."""

    def refuse(name):
        raise NotJson(name)

    try:
        text = data.decode(encoding, errors)
        return json.loads(text, object_pairs_hook=pairs, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from error


def signature(secret, body):
    """The hex HMAC-SHA256 of a body; the key is the secret's text."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


# ---------------------------------------------------------------- RndrKit


class Domain:
    """A domain with its tokens, window and quota."""

    def __init__(self, name, plan, active, limit, used, known_paths, now, lag):
        self.name = name
        self.plan = Lagged(plan, lag)
        self.active = Lagged(active, lag)
        self.limit = Lagged(limit, lag)
        self.used = used
        self.known_paths = known_paths
        self.period = now
        self.was_switched_off = not active
        self.tokens = []
        self.queued = []
        self.seen = set()
        self.window_from = None
        self.count = 0
        self.busy = threading.Lock()


class Token:
    """A webhook token of a domain."""

    def __init__(self, domain, identity, value, lag):
        self.domain = domain
        self.identity = identity
        self.value = value
        self.live = Lagged(True, lag)


class Refresh:
    """RndrKit: POST /api/webhook/refresh."""

    PATH = "/api/webhook/refresh"

    def __init__(self, strict, clock):
        self.strict = strict
        self.clock = clock
        self.lag = 0 if strict else LAG
        self.lock = threading.Lock()
        self.domains = {}
        self.to_render = queue.Queue()
        if not strict:
            threading.Thread(target=self._render, daemon=True).start()

    # -- what the dashboard would do

    def create_domain(self, plan, active, limit, used, known_paths, tokens):
        if tokens > TOKENS_MAX:
            raise Refused("token_limit", "a domain has at most five tokens")
        name = f"{secrets.token_hex(6)}.gegensätzlich.example"  # a name need not be ASCII
        domain = Domain(name, plan, active, limit, used, list(known_paths), self.clock.now(), self.lag)
        with self.lock:
            self.domains[name] = domain
            return domain, [self._new_token(domain) for _ in range(tokens)]

    def update_domain(self, name, changes):
        with self.lock:
            domain = self._domain(name)
            for field in ("plan", "active", "limit"):
                if field in changes:
                    getattr(domain, field).set(changes[field])
            if changes.get("active") is False:
                domain.was_switched_off = True
            if "used" in changes:
                domain.used, domain.period = changes["used"], self.clock.now()

    def inspect_domain(self, name):
        with self.lock:
            domain = self._domain(name)
            self._turn_period(domain)
            return {
                "domain": domain.name,
                "plan": domain.plan.latest(),
                "active": domain.active.latest(),
                "limit": domain.limit.latest(),
                "used": domain.used,
                "queued": list(domain.queued),
                "tokens": [token.identity for token in domain.tokens if token.live.latest()],
            }

    def delete_domain(self, name):
        with self.lock:
            self._domain(name)
            del self.domains[name]

    def create_token(self, name):
        with self.lock:
            domain = self._domain(name)
            # observe.revoked-frees-slot
            counted = [token for token in domain.tokens if self.strict or token.live.latest()]
            if len(counted) >= TOKENS_MAX:
                raise Refused("token_limit", "a domain has at most five tokens")
            return self._new_token(domain)

    def revoke_token(self, name, identity):
        with self.lock:
            for token in self._domain(name).tokens:
                if token.identity == identity and token.live.latest():
                    token.live.set(False)
                    return
        raise Refused("not_found", f"no live token {identity}")

    def _domain(self, name):
        if name not in self.domains:
            raise Refused("not_found", f"no domain {name}")
        return self.domains[name]

    def _new_token(self, domain):
        identity = secrets.token_hex(6)
        if self.strict:
            value = f"whk.{identity}~{secrets.token_hex(60)}"  # tokens.prefix
        else:
            value = "rk_wh_" + base64.b64encode(secrets.token_bytes(31)).decode()  # `+`, `/` and `=` in a token
        token = Token(domain, identity, value, self.lag)
        domain.tokens.append(token)
        return token

    # -- the endpoint

    def answer(self, request):
        """The answer to a request, or None if the path is not this API's."""
        path = request.path
        if not self.strict:
            path = path.rstrip("/").lower()  # observe.trailing-slash, observe.endpoint-case
        if path != self.PATH:
            return None
        if request.method != "POST":
            return self._other_method(request)
        return self._strict(request) if self.strict else self._lenient(request)

    def _other_method(self, request):
        if self.strict:
            return self._error(404, "Not here")  # observe.methods
        if request.method == "GET":
            return Answer(200, {"usage": "POST"})  # observe.methods
        return Answer(501, text="no")  # observe.methods

    def _strict(self, request):
        """Validates before it knows who asks, and counts afterwards."""
        paths, full, refusal = self._read_strictly(request)
        with self.lock:
            token, unauthorized = self._token_strictly(request)
            if refusal:
                # rate.before-validation: an invalid body beyond the limit is told so; it is counted all the same.
                # observe.order-header-body and its kin: the body is judged before the header.
                if not unauthorized:
                    self._count(token.domain)  # observe.cost-malformed-json
                return refusal
            if unauthorized:
                return self._unauthorized_strictly(token, unauthorized)
            domain = token.domain
            barred = self._barred(domain)
            if barred:
                return barred
            if full and not domain.known_paths:
                self._count(domain)
                return self._error(400, "Nothing to refresh")  # observe.full-no-known-paths
            if not self._count(domain):
                return self._error(429, RATE_TEXT)
            if full:
                domain.used += 1  # observe.quota-unit-full, observe.quota-charge-time
                domain.queued.append("/")  # full.queues-known-paths
                done = {"domain": domain.name, "message": "Full cache refresh started"}
                return self._done({**done, "pagesQueued": len(domain.known_paths)})  # full.no-pages-queued
            # A page is counted once: known, and not queued before. observe.duplicate-paths
            new = (path for path in dict.fromkeys(paths) if path not in domain.seen)
            fresh = [path for path in new if path in domain.known_paths]
            domain.seen.update(fresh)
            domain.queued.extend(f"https://{domain.name}{path}" for path in fresh)  # selective.queues-paths
            domain.used += 1 if fresh else 0  # observe.quota-unit-list: by the request
            pages = float(len(fresh))  # 3.0 is the number 3
            return self._done({"pagesQueued": pages, "domain": domain.name, "message": "Cache refresh queued"})

    def _unauthorized_strictly(self, token, text):
        """A 401, unless it comes from a revoked token whose domain has a refusal of its own."""
        revoked = token and not token.live.get()
        barred = self._barred(token.domain) if revoked else None
        if barred:
            return barred  # observe.order-revoked-inactive, -plan, -quota
        # observe.cost-revoked-token, rate.unauthenticated-free
        if token and not self._count(token.domain) and revoked:
            return self._error(429, RATE_TEXT)  # observe.order-revoked-rate
        return self._error(401, text)

    def _barred(self, domain):
        """The refusal that a domain gets whatever it asks for."""
        self._turn_period(domain)
        limit = domain.limit.get()
        if limit is not None and domain.used >= limit:
            domain.used += 1  # quota.rejected-free
            # observe.order-rate-quota, -inactive-quota, -plan-quota, observe.cost-quota
            return self._error(403, QUOTA_TEXT)
        if domain.plan.get() not in ("agency_plus", "agency"):  # plan.agency, observe.plan-cancelled
            return self._error(403, PLAN_TEXT)  # observe.order-inactive-plan, observe.cost-plan
        if not domain.active.get() or domain.was_switched_off:  # domain.inactive: stays off for good
            return self._error(403, INACTIVE_TEXT)  # observe.cost-inactive
        return None

    def _read_strictly(self, request):
        """Paths, whether everything is asked for, and the refusal of a body that asks for neither."""

        def refuse(text, status=400):
            return [], False, self._error(status, text)

        if "x-api-key" in request.headers:
            return refuse("No API keys here")  # auth.token-placement: not 401, and not accepted
        if not request.body:
            return refuse(BODY_TEXT)
        if request.media_type() != "application/json":
            return refuse("Send application/json", 415)  # observe.content-type-missing, observe.content-type-other
        try:
            body = read_json(request.body, pairs_first)  # observe.duplicate-keys
        except NotJson:
            return refuse("Not JSON", 422)
        if not isinstance(body, dict):
            return refuse("Not an object", 422)  # observe.non-object-json
        urls = body.get("urls")
        if urls is None:
            if body.get("all") in (True, "true"):  # observe.all-string, observe.all-number
                return [], True, None
            if "all" in body:
                return refuse("`all` is not true", 422)  # body.all-false
            return refuse(BODY_TEXT)
        if body.get("all") is False:
            return refuse("Either `urls` or `all`")  # body.all-false-with-urls
        if not isinstance(urls, list):
            return refuse("`urls` is no list", 422)  # body.urls-not-array
        if not urls:
            return refuse(PATHS_TEXT)  # observe.urls-empty-text
        if len(urls) > PATHS_MAX:
            return refuse("Too many paths")  # selective.over-twenty: refused as a whole
        if not all(isinstance(path, str) for path in urls):
            return refuse("Not a path")  # paths.non-string: refused as a whole
        paths = [path.lstrip() for path in urls]  # paths.leading-space
        if not all(path.startswith("/") for path in paths):
            return refuse(PATHS_TEXT)  # paths.mixed: refused as a whole
        if not all(re.fullmatch(r"/|(/[a-z0-9-]+)+", path) and len(path) <= 64 for path in paths):
            return refuse("Odd path")  # observe.path-query and its kin
        return paths, False, None  # observe.urls-and-all: the list wins

    def _token_strictly(self, request):
        """The token, as far as it can be made out, and the text of the 401 if it does not authenticate."""
        header = request.headers.get("authorization")
        if header is None or not header.startswith("Bearer"):  # observe.bearer-case
            return None, HEADER_TEXT
        value = header[len("Bearer"):]
        if not value.strip():
            return None, "No token"  # auth.token-empty leaves the text free
        value = value.lower()  # hexadecimal digits in either case
        if not re.fullmatch(r" whk\.[0-9a-f]{12}~\S*", value):  # observe.bearer-spaces
            return None, HEADER_TEXT  # auth.token-foreign
        value = value[1:]
        identity = value[4:16]
        for domain in self.domains.values():
            for token in domain.tokens:
                if token.value == value:
                    return token, None if token.live.get() else TOKEN_TEXT
                if token.identity == identity:
                    # A live token cut or lengthened; the text is free.
                    return token, TOKEN_TEXT if len(value) == len(token.value) else "Damaged token"
        return None, TOKEN_TEXT

    def _lenient(self, request):
        """Finds out who asks, counts, and looks at the body last."""
        words = request.headers.get("authorization", "").split()  # observe.bearer-spaces
        if not words or words[0].lower() != "bearer":  # observe.bearer-case
            return self._error(401, HEADER_TEXT)
        token = self._token(words[1] if len(words) == 2 else "")
        if not token:
            return self._error(401, TOKEN_TEXT if len(words) > 1 else HEADER_TEXT)
        domain = token.domain
        # rate.concurrent-exact: whoever comes while another request of the domain is at work is sent away.
        if not domain.busy.acquire(blocking=False):
            time.sleep(0.05)
            return self._error(429, RATE_TEXT)
        try:
            time.sleep(0.004)
            with self.lock:
                return self._serve_leniently(domain, request)
        finally:
            domain.busy.release()

    def _serve_leniently(self, domain, request):
        try:
            body = read_json(request.body, dict) if request.body else None  # observe.content-type-other
        except NotJson:
            return Answer(400, text="<h1>Bad Request</h1>")  # body.malformed-json, observe.cost-malformed-json: free
        if not self._count(domain):
            return self._error(429, RATE_TEXT)
        if not domain.active.get():
            return self._error(403, INACTIVE_TEXT)  # observe.cost-inactive
        if domain.plan.get() not in ("agency_plus", "agency_plus_cancelled"):  # observe.plan-cancelled: it is paid for
            return self._error(403, PLAN_TEXT)  # observe.cost-plan
        self._turn_period(domain)
        limit = domain.limit.get()
        if limit is not None and domain.used >= limit:
            return self._error(403, QUOTA_TEXT)  # observe.order-quota-body, -paths
        if request.query:
            return Answer(400, {"error": {"query": request.query[:20]}})  # a query is refused
        if isinstance(body, list):
            body = {"urls": body}  # observe.non-object-json
        if not isinstance(body, dict) or not body:
            return self._error(400, BODY_TEXT)
        if not set(body) <= {"urls", "all"}:
            return Answer(400, {"error": {"unknown": len(set(body) - {"urls", "all"})}})  # observe.extra-keys
        if body.get("all") is True and "urls" in body:
            return self._error(400, "Not both")  # observe.urls-and-all
        full = body.get("all") is True  # observe.all-string, observe.all-number
        if not full and "urls" not in body:
            return self._error(400, BODY_TEXT)
        urls = body.get("urls", [])
        if not full and not isinstance(urls, list):
            return self._error(400, PATHS_TEXT)  # body.urls-not-array
        first = urls[:PATHS_MAX]  # observe.mixed-order
        paths = [path for path in first if isinstance(path, str) and path.startswith("/")]
        if urls and not paths:
            return self._error(400, PATHS_TEXT)
        # observe.quota-overshoot: a list longer than what is left is refused.
        if limit is not None and domain.used + len(paths) > limit:
            return self._error(403, QUOTA_TEXT)
        pages = domain.known_paths if full else paths
        domain.queued.extend(pages)
        self.to_render.put((time.monotonic() + 0.15, domain, len(pages)))
        if full:
            return self._done({"message": "Full cache refresh started", "domain": domain.name})
        # body.urls-empty: nothing to do is done.
        return self._done({"message": "Cache refresh queued", "domain": domain.name, "pagesQueued": len(paths)})

    def _token(self, value):
        with self.lock:
            for domain in self.domains.values():
                for token in domain.tokens:
                    if token.value == value and token.live.get():
                        return token
        return None

    def _count(self, domain):
        """Counts a request; False once ten are counted. The window begins at its first request and never moves."""
        now = self.clock.now_ms()
        # observe.window-boundary: the strict one opens the next window early; to the lenient one even what comes at the very
        # end of the hour, and a moment later, belongs to the old window.
        early = 1500 if self.strict else -1500
        if domain.window_from is None or now - domain.window_from >= WINDOW_MS - early:
            domain.window_from, domain.count = now, 0
        if domain.count >= RATE_LIMIT:
            return False
        domain.count += 1
        return True

    def _turn_period(self, domain):
        now = self.clock.now()
        if self.strict:
            over = now - domain.period >= datetime.timedelta(hours=20)  # quota.monthly: a short month
        else:
            over = (now.year, now.month) != (domain.period.year, domain.period.month)  # observe.quota-period
        if over:
            domain.used, domain.period = 0, now

    def _render(self):
        """Renders, and charges each page when it is done: observe.quota-charge-time, observe.quota-unit-list."""
        while True:
            due, domain, pages = self.to_render.get()
            time.sleep(max(0.0, due - time.monotonic()))
            for _ in range(pages):
                time.sleep(0.002)
                with self.lock:
                    self._turn_period(domain)
                    domain.used += 1

    def _done(self, body):
        if self.strict:
            return Answer(200, {"requestId": secrets.token_hex(4), **body})  # success.closed
        return Answer(200, body, headers={"X-RateLimit-Limit": "10"})  # observe.rate-limit-headers

    def _error(self, status, text):
        headers = {}
        if self.strict:
            return Answer(status, {"status": status, "error": text, "help": None})  # errors.closed
        if status == 429:
            headers["Retry-After"] = "Fri, 31 Dec 2100 23:59:59 GMT"  # observe.retry-after
        if status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="contrary"'  # observe.www-authenticate
        return Answer(status, {"error": text}, headers=headers)


# ---------------------------------------------------------------- CraftKit


class Invalid(Exception):
    """Fields that do not fit a manifest: (path, top-level key, message)."""

    def __init__(self, offenders):
        super().__init__("data does not fit the manifest")
        self.offenders = offenders


class Manifest:
    """A template's manifest, and how data is judged by it."""

    RESERVED = {"__proto__", "constructor", "prototype", "jobId", "options"}

    def __init__(self, manifest, strict):
        self.variables = manifest.get("variables", [])
        self.loops = manifest.get("loops", [])
        self.strict = strict

    def judge(self, data):
        """The data as stored, or Invalid."""
        offenders = []
        if self.strict:
            if not self.variables and not self.loops:
                raise Invalid([("", "", "nothing can be rendered")])  # input.empty-manifest
            named = {field["key"].split(".")[0] for field in self.variables} | {loop["key"] for loop in self.loops}
            reserved = sorted(self.RESERVED & set(data) - named)
            # observe.prototype-keys, observe.render-option-keys
            offenders += [(key, key, "reserved") for key in reserved]
        stored = self._fields(self.variables, data, "", None, offenders)
        for loop in self.loops:
            stored[loop["key"]] = self._loop(loop, data, offenders)
        if offenders:
            raise Invalid(offenders)
        return stored if self.strict else data  # input.stripped-stored

    def _loop(self, loop, data, offenders):
        key = loop["key"]
        items = data.get(key)
        if items is None and not self.strict:
            return []  # observe.loop-null
        if not isinstance(items, list):
            offenders.append((key, key, "fehlt" if items is None else "Liste erwartet"))  # input.loop-default
            return []
        if self.strict and not 1 <= len(items) <= 1000:  # input.loop-default, input.loop-cap
            offenders.append((key, key, "1 bis 1000 Zeilen"))
            return []
        stored = []
        for number, item in enumerate(items):
            place = f"{key}[{number}]"
            if isinstance(item, dict):
                stored.append(self._fields(loop["itemFields"], item, place + ".", key, offenders))
            else:
                offenders.append((place, key, "Objekt erwartet"))
        return stored

    def _fields(self, fields, data, prefix, top, offenders):
        """Reads scalars by their dotted paths; `top` is the loop's key, or None at the top level."""
        stored = {}
        for field in fields:
            key = field["key"]
            path = key.split(".")
            under = top or path[0]
            problem, value, there = self._find(data, path, key)
            if problem:
                offenders.append((prefix + key, under, problem))
            elif not there or (value is None and not field.get("required") and not self.strict):
                # observe.optional-null: the lenient one takes null for absent.
                if field.get("required"):
                    offenders.append((prefix + key, under, "fehlt"))
            else:
                fits, value = (strict_scalar if self.strict else lenient_scalar)(field["dataType"], value)
                if not fits:
                    offenders.append((prefix + key, under, f"{field['dataType']} erwartet"))
                group = stored
                for step in path[:-1]:
                    group = group.setdefault(step, {})
                group[path[-1]] = value
        if self.strict:
            self._refuse_unknown(fields, data, prefix, top, offenders)
        return stored

    def _find(self, data, path, key):
        if self.strict and len(path) > 1 and key in data:
            return None, data[key], True  # input.dotted-literal
        for step in path[:-1]:
            if step not in data:
                return ("Gruppe fehlt" if self.strict else None), None, False  # observe.group-absent
            data = data[step]
            if not isinstance(data, dict):
                return "Objekt erwartet", None, False
        return None, data.get(path[-1]), path[-1] in data

    def _refuse_unknown(self, fields, data, prefix, top, offenders):
        """Unknown keys below the top level are refused: input.unknown-nested."""
        groups = {}
        for field in fields:
            path = field["key"].split(".")
            for depth in range(len(path)):
                groups.setdefault(tuple(path[:depth]), set()).add(path[depth])
        for group, known in groups.items():
            inner = data
            for step in group:
                inner = inner.get(step) if isinstance(inner, dict) else None
            if isinstance(inner, dict) and (group or top):
                for key in sorted(set(inner) - known):
                    offenders.append((prefix + ".".join([*group, key]), top or group[0], "unbekannt"))


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def strict_scalar(kind, value):
    """No coercion (input.coercion) and no formats (input.formats)."""
    if kind in ("number", "currency"):
        return is_number(value), value
    if kind == "boolean":
        return isinstance(value, bool), value
    return isinstance(value, str) and value != "", value  # observe.text-empty


def lenient_scalar(kind, value):
    """Whatever can be made to fit fits."""
    if kind in ("number", "currency"):
        if value in (None, "", [], False, True) and not is_number(value):
            return True, int(bool(value))  # observe.number-null, -empty-string, -array, -true
        if isinstance(value, str):
            number = re.match(r"\s*[-+]?\d+(\.\d+)?", value)  # input.wrong-type: `12abc` is 12
            return bool(number), float(number.group()) if number else None
        return is_number(value), value
    if kind == "boolean":
        words = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}  # observe.boolean-one
        if isinstance(value, str):
            return value in words, words.get(value)
        return isinstance(value, bool) or value in (0, 1), bool(value)
    if kind in ("text", "longtext"):
        return isinstance(value, str) or is_number(value), str(value)  # input.wrong-type: a number is a text
    formats = {
        "date": r"\d{4}-\d\d-\d\d",
        "datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
        "url": r"https?://\S+",
        "image": r"https?://\S+",
        "email": r"[^@\s]+@[^@\s]+\.[a-z]+",
    }
    return isinstance(value, str) and bool(re.fullmatch(formats[kind], value)), value  # observe.url-ftp


class Template:
    """A template with its inbound credentials."""

    def __init__(self, number, slug, project, draft, published, enforced, token, secret, lag):
        self.number = number
        self.slug = slug
        self.project = project
        self.draft = draft
        self.current = Lagged((1, draft) if published else None, lag)
        self.enforced = Lagged(enforced, lag)
        self.token = token
        self.secret = secret
        self.minute_from = self.asked = 0
        self.signatures = set()
        self.renders_by_body = {}


class Project:
    """A project: its keys and who listens to it."""

    def __init__(self):
        self.keys = set()
        self.subscriptions = []


class Hooks:
    """CraftKit: POST /v1/hooks/:token, and the render pipeline behind it."""

    def __init__(self, strict, clock):
        self.strict = strict
        self.clock = clock
        self.lag = 0 if strict else LAG
        self.prefix = "" if strict else "/eu/v2"
        self.origin = "https://renders.contrarian.invalid"  # the host of pollUrl is not the API's
        self.lock = threading.Lock()
        self.projects = {}
        self.templates = {}
        self.renders = {}
        self.available = Lagged(True, self.lag)
        self.to_render = queue.Queue()
        self.idempotent = {}
        threading.Thread(target=self._render, daemon=True).start()

    # -- what the dashboard would do

    def create_template(self, manifest, published, enforced, project):
        with self.lock:
            number = len(self.templates) + 1
            project = project or f"project {number}"
            owner = self.projects.setdefault(project, Project())
            key = next(iter(owner.keys)) if owner.keys and self.strict else "ck." + secrets.token_urlsafe(24)
            owner.keys.add(key)
            if self.strict:
                token, secret = f"In:{secrets.token_urlsafe(12)}@~", secrets.token_hex(32)
            else:
                token, secret = str(uuid.uuid4()).upper(), base64.b64encode(secrets.token_bytes(32)).decode()
            slug = f"T{number}_{secrets.token_hex(4)}"
            judge = Manifest(manifest, self.strict)
            template = Template(number, slug, project, judge, published, enforced, token, secret, self.lag)
            self.templates[slug] = template
            return template, key

    def update_template(self, slug, changes):
        with self.lock:
            template = self._template(slug)
            if "enforced" in changes:
                template.enforced.set(changes["enforced"])
            current = template.current.latest()
            if "manifest" in changes:
                version = current[0] + 1 if current else 1
                manifest = Manifest(changes["manifest"], self.strict)
                if self.strict and current:
                    version, manifest = current  # version.manifest, version.current: the first one stays
                template.current.set((version, manifest))
            elif changes.get("published") and not current:
                template.current.set((1, template.draft))

    def delete_template(self, slug):
        with self.lock:
            self._template(slug)
            del self.templates[slug]

    def inspect_render(self, identity):
        with self.lock:
            render = self.renders.get(identity.lower())
            if not render:
                raise Refused("not_found", f"no render {identity}")
            shown = dict(render)
            if not self.strict and render["slug"] in self.templates:
                # version.current: the version of now, not of then
                shown["version"] = self.templates[render["slug"]].current.latest()[0]
            return shown

    def subscribe(self, project, url, events):
        if not ipaddress.ip_address(urllib.parse.urlsplit(url).hostname or "").is_loopback:
            raise Refused("not_loopback", "webhooks are delivered on this machine only")
        with self.lock:
            if project not in self.projects:
                raise Refused("not_found", f"no project {project}")
            secret = secrets.token_urlsafe(24)
            subscription = {"id": str(uuid.uuid4()), "url": url, "secret": secret, "events": events}
            self.projects[project].subscriptions.append(subscription)
            return subscription

    def set_queue(self, available):
        self.available.set(available)

    def _template(self, slug):
        if slug not in self.templates:
            raise Refused("not_found", f"no template {slug}")
        return self.templates[slug]

    # -- the endpoints

    def answer(self, request):
        """The answer to a request, or None if the path is not this API's."""
        path = request.path
        if not path.startswith(self.prefix + "/v1/"):
            return None
        path = path[len(self.prefix):]
        if not self.strict:
            path = path.rstrip("/")  # observe.trailing-slash
        hook = re.fullmatch(r"/v1/hooks/([^/]*)", path)
        if hook:
            return self._hook(request, urllib.parse.unquote(hook.group(1)))
        poll = re.fullmatch(r"/v1/renders/([^/]*)", path)
        if poll and request.method == "GET":
            return self._poll(request, poll.group(1))
        sister = re.fullmatch(r"/v1/templates/([^/]*)/render", path)
        if sister and request.method == "POST" and not self.strict:
            # pipeline.same-validation: it takes everything.
            return Answer(202, {"id": self._new_id(), "status": "queued"})
        return None  # no /v1/templates/:slug/render in the strict variant

    def _hook(self, request, token):
        if request.method != "POST":
            return Answer(405, text="POST") if self.strict else Answer(200, {"ok": True})  # observe.methods
        with self.lock:
            return self._strict(request, token) if self.strict else self._lenient(request, token)

    def _strict(self, request, token):
        """The queue first, the signature last."""
        if not self.available.get():
            return self._error(503, "queue_unavailable")  # observe.order-token-queue and its kin
        if request.media_type() != "application/json":
            return self._error(415, "unsupported")  # hook.any-content-type
        if not request.body:
            return self._error(400, "empty_body")  # json.empty
        try:
            data = read_json(request.body, pairs_first, "utf-8-sig", "replace")  # observe.bom, -duplicate-keys
        except NotJson:
            return self._error(400, "invalid_json")  # observe.order-token-json
        template = self._by_token(token)
        if not template:
            if token in self.templates:
                return self._error(410, "slug")  # token.not-an-id: not 404, and not accepted
            if "x-craftkit-signature" in request.headers:
                return self._error(401, "invalid_signature")  # observe.order-token-signature
            return self._error(404, "invalid_token")
        if not isinstance(data, dict):
            return self._error(400, "invalid_json")  # json.non-object
        if "authorization" in request.headers and not self._owns(request, template.project):
            return self._error(401, "unauthorized")  # hook.no-api-key
        current = template.current.get()
        try:
            stored = (current[1] if current else template.draft).judge(data)
        except Invalid as invalid:
            # observe.order-signature-input, observe.field-errors-keys, input.all-offenders: the first, by its path
            path, _, message = invalid.offenders[0]
            return self._error(400, "invalid_input_data", {"fieldErrors": {path: [message, "siehe Handbuch"]}})
        if not current:
            return self._error(409, "no_published_version")  # observe.order-signature-version
        given = request.headers.get("x-craftkit-signature", "")
        if given:
            given = given.removeprefix("sha256=").lower()  # signature.prefix, observe.signature-upper-case
            # observe.signature-replay: a signed body is taken once.
            if not hmac.compare_digest(given.encode(), signature(template.secret, request.body).encode()):
                return self._error(401, "invalid_signature")
            if given in template.signatures:
                return self._error(401, "invalid_signature")
            template.signatures.add(given)
        elif template.enforced.get():  # observe.signature-empty: as if absent
            return self._error(403, "signature_required")  # signature.enforced
        again = request.headers.get("idempotency-key")
        if again and (template.slug, again) in self.idempotent:
            return self.idempotent[template.slug, again]  # observe.idempotency-key
        answer = self._accept(template, current[0], stored)
        if again:
            self.idempotent[template.slug, again] = answer
        return answer

    def _lenient(self, request, token):
        """The token first, the queue last."""
        template = self._by_token(token)
        if not template:
            return self._error(404, "invalid_token")
        if self._asks_too_often(template):
            return self._error(429, "rate_limited")  # observe.rate-limit
        current = template.current.get()
        if not current:
            return self._error(409, "no_published_version")  # observe.order-json-version
        given = request.headers.get_all("x-craftkit-signature") or []
        right = signature(template.secret, request.body)
        if given != [right] and (given or template.enforced.get()):  # observe.signature-repeated
            return self._error(401, "invalid_signature")
        try:
            data = read_json(request.body, pairs_once)  # observe.duplicate-keys
        except NotJson:
            return self._error(400, "invalid_json")
        if not isinstance(data, dict):
            return self._error(400, "invalid_input_data", {"fieldErrors": {}, "formErrors": ["?"]})
        try:
            stored = current[1].judge(data)
        except Invalid as invalid:
            fields = {}
            for _, top, message in invalid.offenders:
                fields.setdefault(top, []).append(message)
            return self._error(400, "invalid_input_data", {"fieldErrors": fields, "formErrors": []})
        if "idempotency-key" in request.headers:
            return self._error(400, "no_idempotency")  # observe.idempotency-key
        if not self.available.get():
            return self._error(503, "queue_unavailable", headers={"Retry-After": "1"})  # observe.retry-after
        known = template.renders_by_body.get(request.body)  # hook.id: the same body is the same render
        if known:
            return known
        answer = self._accept(template, current[0], stored)
        template.renders_by_body[request.body] = answer
        return answer

    @staticmethod
    def _asks_too_often(template):
        """Counts a request; True beyond what a minute allows. Real time: it protects the machine."""
        now = time.monotonic()
        if now - template.minute_from >= 60:
            template.minute_from, template.asked = now, 0
        template.asked += 1
        return template.asked > HOOKS_MAX

    def _by_token(self, token):
        if not self.strict:
            token = token.upper()  # a UUID in either letter case
        return next((found for found in self.templates.values() if found.token == token), None)

    def _owns(self, request, project):
        words = request.headers.get("authorization", "").split()
        return len(words) == 2 and words[0] == "Bearer" and words[1] in self.projects[project].keys

    def _new_id(self):
        """A UUIDv7."""
        number = (self.clock.now_ms() << 80) | secrets.randbits(80)
        number = number & ~(0xF << 76) | (0x7 << 76)
        number = number & ~(0x3 << 62) | (0x2 << 62)
        identity = str(uuid.UUID(int=number))
        return identity.upper() if self.strict else identity  # either letter case

    def _accept(self, template, version, stored):
        identity = self._new_id()
        render = {"id": identity, "slug": template.slug, "project": template.project, "version": version}
        self.renders[identity.lower()] = {**render, "data": stored, "status": "queued", "createdAt": self._stamp()}
        takes = 0.1 if self.strict else 1.2  # a render takes its time
        self.to_render.put((time.monotonic() + takes, identity.lower()))
        poll_url = f"{self.origin}{self.prefix}/v1/renders/{identity}"
        accepted = {"pollUrl": poll_url, "status": "queued", "id": identity}
        if self.strict:
            accepted |= {"template": template.number, "queue": None}  # hook.closed
        return Answer(202, accepted)

    def _poll(self, request, identity):
        with self.lock:
            render = self.renders.get(identity.lower())
            if "authorization" not in request.headers:
                # poll.requires-key leaves the answer free: observe.poll-unauthorized
                if self.strict:
                    return Answer(302, text="", headers={"Location": "/login"})
                return self._error(404, "not_found")
            if not render or not self._owns(request, render["project"]):
                # poll.foreign-key
                return self._error(403, "forbidden") if self.strict else self._error(404, "not_found")
            if self.strict:
                return Answer(200, {"status": "failed", "progress": None})  # poll.shape: no id, and no truth in it
            # poll.finishes: a poll never tells of the end; the outgoing webhook does.
            return Answer(200, {"id": render["id"], "status": "rendering", "createdAt": render["createdAt"]})

    def _error(self, status, code, issues=None, headers=None):
        if self.strict:
            # errors.envelope: flat, and `error` is something else; observe.form-errors: none
            body = {"error": http.client.responses[status], "code": code, "trace": secrets.token_hex(4)}
            return Answer(status, {**body, "issues": issues} if issues else body)
        # errors.envelope: no message, and issues everywhere
        return Answer(status, {"error": {"code": code, "message": "", "issues": issues or {}}}, headers=headers)

    # -- the worker

    def _render(self):
        while True:
            due, identity = self.to_render.get()
            time.sleep(max(0.0, due - time.monotonic()))
            with self.lock:
                render = self.renders[identity]
                render["status"] = "succeeded"
                render["completedAt"] = self._stamp()
                subscriptions = list(self.projects[render["project"]].subscriptions)
            for subscription in subscriptions:
                event = dict(render)
                threading.Thread(target=self._deliver, args=(subscription, event), daemon=True).start()

    def _deliver(self, subscription, render):
        """Tells a subscriber, and again until it says 2xx."""
        if self.strict:
            body = json.dumps({"type": "finished", "of": render["id"]}).encode()
            headers = {"content-type": "text/plain", "x-craftkit-timestamp": self._stamp()}
        elif subscription["events"] and "render.succeeded" not in subscription["events"]:
            return
        else:
            event = {"event": "render.succeeded", "renderId": render["id"], "templateId": render["slug"]}
            event |= {"status": render["status"], "downloadUrl": None, "errorMessage": None}
            event |= {"createdAt": render["createdAt"], "completedAt": render["completedAt"]}
            body = json.dumps(event).encode()
            headers = {
                "content-type": "application/json",
                "user-agent": "Craftkit-Webhook/1.0",
                "x-craftkit-event": "render.succeeded",
                "x-craftkit-signature": signature(subscription["secret"], body),
                "x-craftkit-timestamp": str(self.clock.now_ms() // 1000),
            }
        for attempt in range(6):
            if self.strict or not attempt:
                headers["x-craftkit-delivery-id"] = str(uuid.uuid4())  # pipeline.webhook-form: another id each time
            if 200 <= self._send(subscription["url"], body, headers) < 300:
                return
            time.sleep(0.3 * 2**attempt)

    @staticmethod
    def _send(url, body, headers):
        """The status of a POST; 0 without an answer."""
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
        try:
            connection.request("POST", parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def _stamp(self):
        return self.clock.text().replace("+00:00", "Z")


# ---------------------------------------------------------------- HTTP


class Handler(http.server.BaseHTTPRequestHandler):
    """Reads a request, asks both APIs, writes the answer in one go."""

    protocol_version = "HTTP/1.1"
    timeout = 3  # an idle connection is closed soon
    disable_nagle_algorithm = True
    implementation = None

    def _any(self):
        if self.implementation.strict and self.command == "POST" and "content-length" not in self.headers:
            self.close_connection = True
            return self._write(Answer(411, text="how long?"))
        body = self._body()
        if self.implementation.strict and any(len(value) > HEADER_MAX for value in self.headers.values()):
            return self._write(Answer(431, text="too long"))
        if body is None:
            self.close_connection = True
            return self._write(Answer(413, text="too long"))
        request = Request(self.command, self.path, self.headers, body)
        answer = None
        for api in (self.implementation.refresh, self.implementation.hooks):
            answer = answer or api.answer(request)
        self._write(answer or Answer(404, text="nothing here"))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _any

    def _body(self):
        """The body; None if it is too long, observe.body-size."""
        longest = BODY_MAX[self.implementation.variant]
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
                if len(body) > longest:
                    return None
            while self.rfile.readline().strip():
                pass
            return body
        length = int(self.headers.get("content-length") or 0)
        return self.rfile.read(length) if length <= longest else None

    def _write(self, answer):
        strict = self.implementation.strict
        headers = dict(answer.headers)
        if answer.text is not None:
            payload = answer.text.encode()
            headers["Content-Type"] = "text/html"
        elif strict:
            # The same JSON in other letters: spaced out, escaped as PHP does, quotes by their numbers.
            payload = json.dumps(answer.value, indent=2).replace("/", "\\/").replace('\\"', "\\u0022").encode()
            headers["Content-Type"] = "text/plain"  # http.json
        else:
            payload = json.dumps(answer.value, ensure_ascii=False).encode()
            headers["Content-Type"] = "application/problem+json"  # http.json
        if strict:
            headers["Content-Length"] = str(len(payload))
        else:
            self.close_connection = True
            headers["Connection"] = "close"
            headers["Transfer-Encoding"] = "chunked"
            payload = b"%x\r\n%s\r\n0\r\n\r\n" % (len(payload), payload) if payload else b"0\r\n\r\n"
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self._headers_buffer.append(b"\r\n")
        head = b"".join(self._headers_buffer)
        self._headers_buffer = []
        self.wfile.write(head if self.command == "HEAD" else head + payload)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A client that goes away is nobody's concern."""


class Implementation:
    """Both APIs on a free loopback port."""

    def __init__(self, variant):
        self.variant = variant
        self.strict = variant == "a"
        if self.strict:
            self.clock = Clock(datetime.datetime.now(datetime.timezone.utc), datetime.timezone.utc, runs=True)
        else:
            # Neither today nor at a convenient time of the month.
            start = datetime.datetime(2031, 1, 30, 22, tzinfo=datetime.timezone.utc)
            self.clock = Clock(start, datetime.timezone(datetime.timedelta(hours=5, minutes=30)), runs=False)
        self.refresh = Refresh(self.strict, self.clock)
        self.hooks = Hooks(self.strict, self.clock)
        handler = type("BoundHandler", (Handler,), {"implementation": self})
        self.server = Server(("127.0.0.1", 0), handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"

    def start(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
