"""A headless Chromium that opens page after page, by its debugging protocol over two pipes."""

import json
import os
import select
import shutil
import subprocess
import sys

BROWSERS = "chromium", "chromium-browser", "google-chrome"
PATH = next(filter(None, map(shutil.which, BROWSERS)), None)
# The protocol reads from descriptor 3 and writes to 4, messages end with a zero byte. Both ends
# move out of the way first, for they may be 3 or 4 themselves.
LAUNCH = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""
PATIENCE = 60  # seconds without a word of the browser


class Browser:
    """One window of a given width, in pixels of the page."""

    def __init__(self, folder, width):
        ours, theirs = os.pipe(), os.pipe()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", LAUNCH, str(ours[0]), str(theirs[1])),
                *(PATH, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *("--remote-debugging-pipe", f"--user-data-dir={folder}"),
            ],
            pass_fds=(ours[0], theirs[1]),
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        self.to, self.back = os.fdopen(ours[1], "wb"), os.fdopen(theirs[0], "rb")
        self.count, self.rest, self.events, self.session = 0, b"", [], {}
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.resize(width)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.to.close()
        self.back.close()

    def ask(self, method, **params):
        """Send a command and wait for its result; events on the way are kept."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params, **self.session}
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        while (answer := self._read()).get("id") != self.count:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self):
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.back], [], [], PATIENCE)
            part = os.read(self.back.fileno(), 2**16) if ready else b""
            if not part:
                raise RuntimeError("the browser ended, or is silent")
            self.rest += part
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def resize(self, width, height=900):
        """Pixels of the window, also of a phone."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )

    def open(self, path):
        """Open a page, wait until its scripts have run, and return the errors that it logged."""
        self.events = []
        self.ask("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())
        self.value("new Promise(done => requestAnimationFrame(() => done(true)))")
        return [str(event["params"]) for event in self.events if is_error(event)]

    def value(self, expression):
        """What an expression of JavaScript, or the promise that it is, evaluates to."""
        options = {"returnByValue": True, "awaitPromise": True}
        return self.ask("Runtime.evaluate", expression=expression, **options)["result"]["value"]


def is_error(event):
    """Whether an event of the protocol is an exception, an error in the console or a lost file."""
    method, params = event.get("method"), event.get("params", {})
    return (
        method in ("Runtime.exceptionThrown", "Network.loadingFailed")
        or (method == "Runtime.consoleAPICalled" and params["type"] == "error")
        or (method == "Log.entryAdded" and params["entry"]["level"] == "error")
    )
