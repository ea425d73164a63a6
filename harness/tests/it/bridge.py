"""An adapter that passes fixture calls on to a control plane and, after a number of calls, does harm.

Usage: bridge.py URL TOKEN HARM GOOD-CALLS
"""

import json
import sys
import urllib.request

URL, TOKEN, HARM, GOOD = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
# No proxy of the environment stands between.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def passed_on(line):
    headers = {"Authorization": "Bearer " + TOKEN}
    with OPENER.open(urllib.request.Request(URL, line.encode(), headers)) as answer:
        return json.dumps(json.load(answer))


def for_ever(text):
    while True:
        say(text)


def dies(_):
    sys.exit(1)


def complains(line):
    answer = passed_on(line)
    sys.stderr.write("\x1b[2J\x07 heard " + line + " said " + answer + "\n")
    sys.stderr.write("noise " * 1_000 + "\n" + answer + "\n")
    sys.stderr.flush()
    say(answer + "\n")


def with_id(line, value):
    answer = json.loads(passed_on(line))
    answer["id"] = value
    say(json.dumps(answer) + "\n")


HARMS = {
    "garbage": lambda line: say("}{ no JSON\n"),
    "another id": lambda line: with_id(line, 1_000_000),
    "an id of another type": lambda line: with_id(line, "1"),
    "silence": lambda line: None,
    "an endless line": lambda line: for_ever("x" * 65_536),
    "endless lines": lambda line: for_ever("chatter\n" * 4096),
    "a line beyond the limit": lambda line: say(json.dumps({"jsonrpc": "2.0", "id": json.loads(line)["id"], "result": "x" * 2_000_000}) + "\n"),
    "values nested too deep": lambda line: say('{"jsonrpc":"2.0","id":%d,"result":%s}\n' % (json.loads(line)["id"], "[" * 100 + "]" * 100)),
    "its end": dies,
    "every answer twice": lambda line: say((passed_on(line) + "\n") * 2),
    "chatter between answers": lambda line: say("chatter\n[]\n7\n" + passed_on(line) + "\nmore\n"),
    "complaints": complains,
}

for number, message in enumerate(sys.stdin):
    if number < GOOD:
        say(passed_on(message) + "\n")
    else:
        HARMS[HARM](message)
