"""Measures ADWIN of river on the streams of the benchmark: false alarms without a change, delays after one.

Only rises count, as only rises are looked for. ADWIN is measured as it comes (it looks at every 32nd event) and looking at
every event, which is the soonest that it can be.
"""

import json
import random
import sys

from river.drift import ADWIN

USUAL, CHANGES, BEFORE = 0.02, [0.06, 0.1, 0.3], 2_000
SETTINGS = [(0.1, 1), (0.3, 1), (0.9, 1), (0.3, 32), (0.9, 32)]
EVENTS, RUNS = int(sys.argv[2]), int(sys.argv[3])


def rises(detector, x):
    """Takes in an event; whether the mean has risen."""
    before = detector.estimation
    detector.update(x)
    return detector.drift_detected and detector.estimation > before


def false_alarms(delta, clock):
    draw, detector, alarms = random.Random(1), ADWIN(delta=delta, clock=clock), 0
    for _ in range(EVENTS):
        if rises(detector, float(draw.random() < USUAL)):
            alarms += 1
            detector = ADWIN(delta=delta, clock=clock)
    return alarms


def delay(delta, clock, change, seed):
    draw, detector = random.Random(seed), ADWIN(delta=delta, clock=clock)
    for _ in range(BEFORE):
        if rises(detector, float(draw.random() < USUAL)):
            return None
    for number in range(1, 50_001):
        if rises(detector, float(draw.random() < change)):
            return number
    return 50_000


measured = []
for delta, clock in SETTINGS:
    alarms = false_alarms(delta, clock)
    if alarms >= 20:
        found = {c: [delay(delta, clock, c, seed) for seed in range(RUNS)] for c in CHANGES}
        delays = {str(c): [d for d in ds if d is not None] for c, ds in found.items()}
    else:
        delays = {}
    measured.append({"delta": delta, "clock": clock, "events": EVENTS, "alarms": alarms, "delays": delays})
    print(f"ADWIN delta {delta}, clock {clock}: {alarms} false alarms in {EVENTS} events", file=sys.stderr)
with open(sys.argv[1], "w") as out:
    json.dump(measured, out)
