"""Runs the lines of a page against a running API, and sees whether each is answered.

lines.py PAGE URL TOKEN FOLDER
"""

import json
import re
import subprocess
import sys
import time

ADDRESS = "http://127.0.0.1:7070"
RUN = re.compile(r"^(curl|api|tail) ")
DEFINED = re.compile(r"^api\(\) ")
# Seconds after which what does not end by itself is ended.
PATIENCE = 30


def blocks(page):
    """The lines of a page that are to be run, in their order; and how many of its lines look so anywhere."""
    inside, found = False, []
    text = open(page, encoding="utf-8").read().splitlines()
    for line in text:
        if line.startswith("```"):
            inside = not inside
        elif inside and (RUN.match(line) or DEFINED.match(line)):
            found.append(line)
    seen = sum(1 for line in text if "curl -s" in line or line.startswith("api "))
    return found, seen


class Page:
    def __init__(self, url, token, folder):
        self.url, self.folder = url, folder
        self.names = {"TOKEN": token}
        self.prelude = "set -euo pipefail\n"

    def shell(self, line, patience=PATIENCE):
        line = line.replace(ADDRESS, self.url)
        return subprocess.run(
            ["bash", "-c", f"{self.prelude}\n{line}"], cwd=self.folder, env={"PATH": "/usr/bin:/bin", **self.names},
            capture_output=True, text=True, timeout=patience,
        )

    def get(self, path):
        done = self.shell(f"curl -sf -H 'Authorization: Bearer {self.names['TOKEN']}' '{ADDRESS}/api/v1{path}'")
        if done.returncode != 0:
            raise SystemExit(f"GET {path}: {done.stderr}")
        return json.loads(done.stdout)

    def wait(self, what, path, choose):
        """Asks until there is what is wanted: what is said is read back about a second later."""
        for _ in range(300):
            found = choose(self.get(path)["items"])
            if found:
                return found
            time.sleep(0.2)
        raise SystemExit(f"there is no {what}")

    def prepare(self):
        """What the page calls $ID, $REF and so on."""
        findings = self.wait("pair of findings", "/findings", lambda items: items if len(items) > 1 else None)
        first = findings[0]["finding"]
        other = next(one["finding"] for one in findings[1:] if one["finding"]["tenant_uid"] == first["tenant_uid"])
        self.names.update(ID=first["id"], OTHER=other["id"], TASK=first["task"]["root_id"], TENANT=first["tenant_uid"])
        proved = self.wait("event", "/events?kind=tool_call.requested", lambda items: items)
        self.names["REF"] = proved[-1]["ref"]
        waiting = lambda items: [one["id"] for one in items if one["state"] == "waiting"]
        self.names["APPROVAL"] = self.wait("response that waits", "/approvals", waiting)[0]

    def run(self, line):
        """Runs one line; why it is not answered, or nothing."""
        if DEFINED.match(line):
            self.prelude += line.replace(ADDRESS, self.url) + "\n"
            return None
        if "/deny" in line:
            # The first has been approved: the next one is denied.
            waiting = lambda items: [one["id"] for one in items if one["state"] == "waiting" and one["id"] != self.names["APPROVAL"]]
            self.names["APPROVAL"] = self.wait("second response that waits", "/approvals", waiting)[0]
        if " -sN " in line:
            return self.follow(line)
        done = self.shell(line)
        if done.returncode != 0:
            return f"exit code {done.returncode}: {done.stdout}{done.stderr}"
        if "-o " in line:
            return None
        if line.endswith("/metrics"):
            return None if "ambit_api_answer_seconds_bucket" in done.stdout else "no metrics"
        answer = json.loads(done.stdout)
        if answer.get("type") == "about:blank":
            return json.dumps(answer)
        self.remember(line, answer)
        return None

    def follow(self, line):
        """A tail does not end: something has to come, and no problem."""
        done = self.shell(f"timeout 20 {line.replace('curl -sN', 'curl -sN -i')} || [ $? = 124 ]")
        return None if "200 OK" in done.stdout and "event:" in done.stdout else done.stdout + done.stderr

    def remember(self, line, answer):
        for path, name in [("/suppressions '", "SUPPRESSION"), ("/cases '", "CASE"), ("/searches '", "SEARCH")]:
            if f"api {path}" in line:
                known = answer["now"]["id"]
                self.names[name] = known
                self.wait(name.lower(), path.removesuffix(" '"), lambda items: [one for one in items if one["id"] == known])


def main(page, url, token, folder):
    lines, seen = blocks(page)
    runs = [line for line in lines if not DEFINED.match(line)]
    if len([line for line in lines if "curl -s" in line or line.startswith("api ")]) != seen or not runs:
        raise SystemExit(f"{page}: {seen} lines look as if they were to be run, and others are found")
    at = Page(url, token, folder)
    at.prepare()
    failed = 0
    for line in lines:
        why = at.run(line)
        if why is not None:
            failed += 1
            print(f"FAILED  {line}\n        {why}", file=sys.stderr)
        elif not DEFINED.match(line):
            print(f"ok      {line}")
    if failed:
        raise SystemExit(f"{failed} of {len(runs)} lines are not so")
    print(f"{page}: all {len(runs)} lines are so")


if __name__ == "__main__":
    main(*sys.argv[1:])
