"""Who may do what: the five roles, as Django groups."""

SEE_OWN = {"operations.view_own_operation"}
SEE_ALL = SEE_OWN | {"operations.view_operation"}
FREEZE = {"devices.freeze_device"}
BIND = {"policies.bind_policy", "policies.bind_space"}
CARE = {"failures.change_care"}
AUDIT = {"audit.view_event", "audit.export_event"}

# Everyone who is signed in may read devices, products, spaces and policies.
ROLES: dict[str, set[str]] = {
    "viewer": set(),
    "operator": SEE_OWN | FREEZE | CARE,
    "policy admin": SEE_ALL | BIND | CARE,
    "auditor": SEE_ALL | AUDIT,
    "admin": SEE_ALL | FREEZE | BIND | CARE | AUDIT,
}

# Where each permission lives and what it is called in Django's admin.
PERMISSIONS = {
    "operations.view_own_operation": ("operation", "Can see own operations"),
    "operations.view_operation": ("operation", "Can see all operations"),
    "devices.freeze_device": ("device", "Can freeze and unfreeze devices"),
    "policies.bind_policy": ("binding", "Can bind and unbind policies"),
    "policies.bind_space": (
        "binding",
        "Can bind and unbind policies on a whole resource space",
    ),
    "failures.change_care": ("care", "Can take care of failures"),
    "audit.view_event": ("event", "Can read the audit trail"),
    "audit.export_event": ("event", "Can export the audit trail"),
}
