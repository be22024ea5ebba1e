from django.db import migrations

# The permissions and roles of that day; later ones are declared by their apps.
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
SEE_OWN, SEE_ALL, FREEZE, BIND, BIND_SPACE, CARE, READ, EXPORT = PERMISSIONS
ROLES = {
    "viewer": set(),
    "operator": {SEE_OWN, FREEZE, CARE},
    "policy admin": {SEE_OWN, SEE_ALL, BIND, BIND_SPACE, CARE},
    "auditor": {SEE_OWN, SEE_ALL, READ, EXPORT},
    "admin": set(PERMISSIONS),
}


def make_roles(apps, schema_editor):
    # Django makes permissions only after all migrations, too late for the groups that hold them.
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    made = {}
    for label, (model, name) in PERMISSIONS.items():
        app_label, codename = label.split(".")
        kind, _ = ContentType.objects.get_or_create(app_label=app_label, model=model)
        made[label], _ = Permission.objects.get_or_create(
            content_type=kind, codename=codename, defaults={"name": name}
        )
    for role, labels in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.add(*(made[label] for label in labels))


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
