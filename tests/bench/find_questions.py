"""The searches, filters and orders of the device list that bin/bench find measures."""

SUBSTRINGS = {
    "substring, found": {"q": "erdru"},
    "substring, not found": {"q": "erdrx"},
}
FROZEN, PRODUCT, SPACE = (
    {"status": "FROZEN"},
    {"product": "product03"},
    {"space": "space3"},
)
DIRECT, PUMPS = {"node_type": "GATEWAY"}, {"q": "pump"}
QUESTIONS: dict[str, dict[str, str]] = {
    "list": {},
    "whole ID": {"q": "6677658004053898222199c7_unit-0005678"},
    "node ID": {"q": "unit-0005678"},
    **SUBSTRINGS,
    "part of an ID": {"q": "nit-00056"},
    "two words": {"q": "7 gate north"},
    "two Chinese characters": {"q": "水泵"},
    "word of a fifth of them": PUMPS,
    "word of all": {"q": "unit"},
    "word of all, frozen": {"q": "unit"} | FROZEN,
    "word of a fifth, product": PUMPS | {"product": "product05"},
    "substring, frozen": SUBSTRINGS["substring, found"] | FROZEN,
    "frozen": FROZEN,
    "abnormal (few)": {"status": "ABNORMAL"},
    "product": PRODUCT,
    "space": SPACE,
    "directly connected": DIRECT,
    "frozen, product": FROZEN | PRODUCT,
    "product, another space": PRODUCT | {"space": "space0"},
    "frozen, product, space, direct": FROZEN | PRODUCT | SPACE | DIRECT,
    "frozen, space": FROZEN | SPACE,
    "frozen, direct": FROZEN | DIRECT,
    "middle": {"after": "middle"},
    "product, middle": PRODUCT | {"after": "middle"},
    "by name": {"sort": "name"},
    "by name, descending, product": {"sort": "-name"} | PRODUCT,
    "by name, space": {"sort": "name"} | SPACE,
    "by name, frozen": {"sort": "name"} | FROZEN,
    "by name, frozen, product": {"sort": "name"} | FROZEN | PRODUCT,
    "by name, word of all": {"sort": "name", "q": "unit"},
    "by status": {"sort": "-status"},
    "by product": {"sort": "product"},
    "by product, frozen": {"sort": "-product"} | FROZEN,
    "by space": {"sort": "space"},
    "by space, substring": {"sort": "space"} | SUBSTRINGS["substring, found"],
}
# What the search finds is not where the list begins, so many devices are read.
APART = {
    "a fifth and a product apart": PUMPS | PRODUCT,
    "a fifth that begins late": {"sort": "name"} | PUMPS,
}
CONTROL = "control"
ASKED = [*QUESTIONS, *APART, CONTROL]
