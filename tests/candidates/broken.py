"""A candidate that breaks in a way of its own: `broken.py HOW`. It greets first unless HOW says when."""

import json
import sys
import time

HOW = sys.argv[1]


def say(line):
    sys.stdout.write(line)
    sys.stdout.flush()


def answer(request, result):
    return json.dumps({"id": request["id"], "ok": True, "result": result}) + "\n"


def misbehave(request):
    x = {"shape": request["x0"]["shape"], "data": request["x0"]["data"]}
    right_form = answer(request, {"x": x})
    if HOW == "hang":
        time.sleep(3600)
    elif HOW == "die":
        sys.stderr.write("out of luck\n")
        sys.exit(3)
    elif HOW == "rubbish":
        say("loading weights...\n")
    elif HOW == "not-an-object":
        say("[1, 2]\n")
    elif HOW == "other-id":
        say(answer({"id": request["id"] + 1}, {"x": x}))
    elif HOW == "two-answers":
        say(right_form + right_form)
    elif HOW == "wrong-shape":
        say(answer(request, {"x": {"shape": [7], "data": [0] * 7}}))
    elif HOW == "short-data":
        say(answer(request, {"x": {"shape": x["shape"], "data": []}}))
    elif HOW == "no-field":
        say(answer(request, {"y": x}))
    elif HOW == "unfinished":
        say(right_form[: len(right_form) // 2])
        sys.exit(0)
    elif HOW == "unfinished-hang":
        say(right_form[: len(right_form) // 2])
        time.sleep(3600)
    elif HOW == "flood":
        while True:
            say("x" * 65536)
    elif HOW == "flood-lines":
        while True:
            say("{}\n" * 10000)
    elif HOW == "not-utf8":
        sys.stdout.buffer.write(b"\xff\xfe\n")
        sys.stdout.flush()
    elif HOW == "deaf":
        sys.stdin.close()
        time.sleep(3600)
    elif HOW == "nan":
        data = ", ".join("NaN" for _ in x["data"])
        say(right_form.replace(json.dumps(x["data"])[1:-1], data))
    elif HOW == "null":
        say(right_form.replace(json.dumps(x["data"])[1:-1], ", ".join("null" for _ in x["data"])))


if HOW == "no-hello":
    time.sleep(3600)
if HOW == "ends-at-once":
    sys.exit(1)
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] != "hello":
        misbehave(request)
        continue
    ops = "q_sample" if HOW == "bad-hello" else ["q_sample"]
    say(answer(request, {"protocol": 1, "name": "broken.py", "version": "1", "ops": ops}))
