"""The queries on the trail, and the events that they find."""

# Only the first events match; they are the slowest to find.
NEEDLES = 15
DEVICE, TICKET, CODE, WORD = "needle_device", "NEEDLE-1", "IOTDA.014016", "needle"
# This user only signs in and out.
WATCHER = "watcher"

POLICIES = [(f"{n:024x}", f"policy {n}") for n in range(3)]
CODES = ["IOTDA.015204", "IOTDA.014000", "IOTDA.014006", "IOTDA.000022"]

POLICY = POLICIES[1]
A_DAY = {"since": "2024-01-01T06:00Z", "until": "2024-01-02T06:00Z"}
QUESTIONS: dict[str, dict[str, str]] = {
    "newest": {},
    "the middle": {"after": "middle"},
    "back from the beginning": {"before": "60"},
    "person": {"actor": "agent3"},
    "event": {"kind": "login.failed"},
    "change": {"verb": "policy.unbind"},
    "target": {"target": DEVICE},
    "policy by id": {"policy": POLICY[0]},
    "policy by name": {"policy": POLICY[1]},
    "outcome ok": {"outcome": "ok"},
    "outcome unknown": {"outcome": "unknown"},
    "not allowed": {"outcome": "denied"},
    "error code, common": {"code": CODES[0]},
    "error code, rare and old": {"code": CODE},
    "ticket, old": {"ticket": TICKET.lower()},
    "reason, common": {"reason": "unpaid"},
    "reason, beginning of a word": {"reason": "custom lost"},
    "reason, Chinese": {"reason": "停机"},
    "reason, rare and old": {"reason": WORD},
    "operation": {"operation": "OP-3"},
    "source": {"source": "cli"},
    "time": A_DAY,
    "outside hours": {"outside": "on"},
    "whole space": {"whole": "on"},
    "person, change": {"actor": "agent3", "verb": "policy.bind"},
    "person, failed": {"actor": "agent0", "outcome": "failed"},
    "change, failed": {"verb": "policy.bind", "outcome": "failed"},
    "policy, failed": {"policy": POLICY[0], "outcome": "failed"},
    "target, failed, code": {"target": DEVICE, "outcome": "failed", "code": CODE},
    "ticket, failed": {"ticket": TICKET, "outcome": "failed"},
    "person, reason": {"actor": "agent3", "reason": "unpaid"},
    "change, rare reason": {"verb": "device.freeze", "reason": WORD},
    "time, person": A_DAY | {"actor": "agent3"},
    "time, failed": A_DAY | {"outcome": "failed"},
    "time, reason": A_DAY | {"reason": "unpaid"},
    "event, source, outside": {
        "kind": "operation.asked",
        "source": "cli",
        "outside": "on",
    },
    "whole space binds of a time": A_DAY
    | {"whole": "on", "verb": "policy.bind", "kind": "operation.asked"},
}
# Two frequent filters without a common event, for the limit of rows read for a page.
APART = {"actor": WATCHER, "verb": "device.freeze"}
ALL = [*QUESTIONS, "one event", "error codes", "apart", "control"]
